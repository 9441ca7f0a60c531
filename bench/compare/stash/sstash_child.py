"""Writes to a file of the sstash format as the Python program of that name does, with the same libraries: json, hashlib,
PyNaCl and jsonschema. The same commands and answers as sstash-child.mjs.

usage: sstash_child.py WAY PATH PASSWORD NAME...

For each write the file is read and decrypted, the contents are copied, changed and encrypted, and the file is written over in
place, without a sync. WAY is

  sstash      a handle of the program: the key is derived once; the contents are checked by jsonschema after reading, and again
              before writing
  unchecked   the same, without these checks
  derived     as `sstash`, with a handle opened for each write, as its command line does: the key is derived each time
"""

import copy
import hashlib
import json
import sys
import time

import nacl.secret

way, path, password, *key = sys.argv[1:]

OUTER = {
    "type": "object",
    "required": ["hash", "salt", "iterations", "enc_blob"],
    "properties": {
        "hash": {"type": "string"},
        "salt": {"type": "string"},
        "iterations": {"type": "integer", "minimum": 0},
        "enc_blob": {"type": "string"},
    },
    "additionalProperties": False,
}
INNER = {
    "$ref": "#/definitions/nodes",
    "definitions": {
        "nodes": {
            "type": "object",
            "patternProperties": {".*": {"$ref": "#/definitions/node"}},
            "additionalProperties": False,
        },
        "node": {
            "type": "object",
            "required": ["children"],
            "properties": {"children": {"$ref": "#/definitions/nodes"}, "value": {"type": "string"}},
            "additionalProperties": False,
        },
    },
}

if way == "unchecked":

    def check(contents, schema):
        pass

else:
    from jsonschema import validate as check


def read_outer():
    with open(path, encoding="ascii") as file:
        outer = json.load(file)
    check(outer, OUTER)
    return outer


def open_box():
    outer = read_outer()
    salt = bytes.fromhex(outer["salt"])
    return nacl.secret.SecretBox(hashlib.pbkdf2_hmac(outer["hash"], password.encode(), salt, outer["iterations"], 32))


def read_contents(box):
    outer = read_outer()
    return outer, json.loads(box.decrypt(bytes.fromhex(outer["enc_blob"])))


def write(value):
    global box
    if way == "derived":
        box = open_box()
        # Opening a handle reads the contents, to see that the key is right.
        read_contents(box)
    outer, contents = read_contents(box)
    contents = copy.deepcopy(contents)
    check(contents, INNER)
    node = {"children": contents}
    for name in key:
        node = node["children"].setdefault(name, {"children": {}})
    node["value"] = value.hex()
    check(contents, INNER)
    outer["enc_blob"] = box.encrypt(json.dumps(contents).encode()).hex()
    with open(path, "w", encoding="ascii") as file:
        json.dump(outer, file)


def write_for(time_ms):
    global written
    end = time.monotonic() + time_ms / 1000
    before, cpu_before, count = time.monotonic_ns(), time.process_time_ns(), 0
    while True:
        written += 1
        write(written.to_bytes(32, "big"))
        count += 1
        if time.monotonic() >= end:
            break
    return {"count": count, "wall": time.monotonic_ns() - before, "cpu": time.process_time_ns() - cpu_before}


written = 0
box = open_box()
for line in sys.stdin:
    command, _, rest = line.strip().partition(" ")
    print(json.dumps({"written": written} if command == "written" else write_for(float(rest))), flush=True)
