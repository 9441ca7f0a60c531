"""Peers of our exported objects: GDBus's proxy and object manager, and jeepney. Prints one line of JSON."""

import json
import sys


def plain(value):
    return value.unpack()


def gdbus_connection(address):
    from gi.repository import Gio

    flags = Gio.DBusConnectionFlags
    return Gio.DBusConnection.new_for_address_sync(
        address, flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION, None, None
    )


def wait_until(condition):
    """Runs the main loop until `condition` holds; 20 seconds at most."""
    from gi.repository import GLib

    context = GLib.MainContext.default()
    late = []
    source = GLib.timeout_add_seconds(20, lambda: late.append(True))
    while not condition() and not late:
        context.iteration(True)
    if not late:
        GLib.source_remove(source)


def proxy(address, name, root):
    from gi.repository import Gio, GLib

    connection = gdbus_connection(address)
    box = Gio.DBusProxy.new_sync(
        connection, Gio.DBusProxyFlags.NONE, None, name, root, "org.example.Jukebox", None
    )
    result = {"cached": {key: plain(box.get_cached_property(key)) for key in box.get_cached_property_names()}}
    changes = []
    signals = []
    box.connect("g-properties-changed", lambda _, new, gone: changes.append([plain(new), list(gone)]))
    box.connect("g-signal", lambda _, sender, member, body: signals.append([member, list(plain(body))]))

    connection.call_sync(
        name, root, "org.freedesktop.DBus.Properties", "Set",
        GLib.Variant("(ssv)", ("org.example.Jukebox", "Volume", GLib.Variant("u", 9))),
        None, Gio.DBusCallFlags.NONE, -1, None,
    )
    wait_until(lambda: changes)
    result["changed"] = list(changes)
    result["after"] = plain(box.get_cached_property("Volume"))

    changes.clear()
    result["inserted"] = box.Insert("(s)", "One")
    wait_until(lambda: changes)
    result["invalidated"] = list(changes)
    box.Eject("(o)", result["inserted"])
    wait_until(lambda: signals)
    result["signals"] = list(signals)
    try:
        box.Fail("(s)", "x")
    except GLib.Error as error:
        result["error"] = Gio.dbus_error_get_remote_error(error)
    return result


def manager(address, name, root):
    from gi.repository import Gio

    connection = gdbus_connection(address)
    box = Gio.DBusProxy.new_sync(
        connection, Gio.DBusProxyFlags.NONE, None, name, root, "org.example.Jukebox", None
    )
    first = box.Insert("(s)", "One")
    client = Gio.DBusObjectManagerClient.new_sync(
        connection, Gio.DBusObjectManagerClientFlags.NONE, name, root, None, None, None
    )

    def paths():
        return sorted(one.get_object_path() for one in client.get_objects())

    result = {"before": paths()}
    added, removed, changed = [], [], []
    client.connect("object-added", lambda _, one: added.append(one.get_object_path()))
    client.connect("object-removed", lambda _, one: removed.append(one.get_object_path()))
    client.connect(
        "interface-proxy-properties-changed",
        lambda _, one, interface, new, gone: changed.append(
            [one.get_object_path().rsplit("/", 1)[1], plain(new)]
        ),
    )
    second = box.Insert("(s)", "Two")
    wait_until(lambda: added)
    result["added"] = list(added)
    record = client.get_interface(second, "org.example.Record")
    result["title"] = plain(record.get_cached_property("Title"))
    result["known"] = paths()

    from gi.repository import GLib

    record.call_sync(
        "org.freedesktop.DBus.Properties.Set",
        GLib.Variant("(ssv)", ("org.example.Record", "Title", GLib.Variant("s", "Deux"))),
        Gio.DBusCallFlags.NONE, -1, None,
    )
    wait_until(lambda: changed)
    result["changed"] = changed[0]
    box.Eject("(o)", first)
    wait_until(lambda: removed)
    result["removed"] = list(removed)
    result["after"] = paths()
    return result


def pipeline(address, name, root):
    from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    connection = open_dbus_connection(address)
    box = DBusAddress(root, bus_name=name, interface="org.example.Jukebox")
    wanted = {}
    for index in range(200):
        # Half of them take their time: replies come in another order than calls.
        call = new_method_call(box, "Later", "u", (index % 7,)) if index % 2 else new_method_call(
            box, "Add", "ii", (index, 1)
        )
        serial = next(connection.outgoing_serial)
        wanted[serial] = index % 7 if index % 2 else index + 1
        connection.send(call, serial=serial)
    right = replies = 0
    while replies < 200:
        message = connection.receive(timeout=20)
        serial = message.header.fields.get(HeaderFields.reply_serial)
        if serial in wanted:
            replies += 1
            right += message.header.message_type == MessageType.method_return and message.body == (
                wanted[serial],
            )
    refused = connection.send_and_get_reply(new_method_call(box, "Add", "s", ("x",)), timeout=20)
    fields = refused.header.fields
    connection.close()
    return {
        "replies": replies,
        "right": right,
        "error": [fields[HeaderFields.error_name], fields[HeaderFields.signature]],
    }


if __name__ == "__main__":
    part = {"proxy": proxy, "manager": manager, "pipeline": pipeline}[sys.argv[1]]
    print(json.dumps(part(*sys.argv[2:])))
