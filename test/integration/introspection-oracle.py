"""Reads documents as a JSON array and writes, for each, what expat and GLib make of it.

`glib` is null where GLib refuses the document or is not asked for, `expat` whether it is well-formed.
"""

import json
import sys
from xml.parsers import expat

with_glib = sys.argv[1] == "glib"
if with_glib:
    from gi.repository import Gio, GLib


def is_well_formed(document):
    parser = expat.ParserCreate()
    try:
        parser.Parse(document.encode("utf-8", "surrogatepass"), True)
        return True
    except expat.ExpatError:
        return False


def annotations(info):
    return [[one.key, one.value] for one in info.annotations]


def args(infos):
    return [[one.name, one.signature] for one in infos]


def interface(info):
    return {
        "name": info.name,
        "methods": [
            {
                "name": one.name,
                "in": args(one.in_args),
                "out": args(one.out_args),
                "annotations": annotations(one),
            }
            for one in info.methods
        ],
        "signals": [
            {"name": one.name, "args": args(one.args), "annotations": annotations(one)} for one in info.signals
        ],
        "properties": [
            {
                "name": one.name,
                "type": one.signature,
                "access": int(one.flags),
                "annotations": annotations(one),
            }
            for one in info.properties
        ],
        "annotations": annotations(info),
    }


def with_gio(document):
    try:
        node = Gio.DBusNodeInfo.new_for_xml(document)
    # The last is what Python makes of a GLib error whose text is not valid UTF-8.
    except (GLib.Error, UnicodeError, RuntimeError):
        return None
    return {
        "interfaces": [interface(one) for one in node.interfaces],
        "children": [one.path for one in node.nodes],
    }


answers = [
    {"expat": is_well_formed(one), "glib": with_gio(one) if with_glib else None} for one in json.load(sys.stdin)
]
json.dump(answers, sys.stdout)
