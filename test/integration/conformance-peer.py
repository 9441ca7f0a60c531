"""Foreign peers of a server of ours, without a bus. Prints one line of JSON.

Arguments: what to do, the address.
"""

import json
import sys

INTERFACE = "org.example.Peer"
MANY = (255, True, -32768, 65535, -2147483648, 4294967295, -(2**63), 2**64 - 1, -0.5, "\u00e9\U0010ffff", "/a/b", "a{sv}")


def gdbus(address):
    from gi.repository import Gio, GLib

    connection = Gio.DBusConnection.new_for_address_sync(
        address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, None, None
    )
    result = {"guid": connection.get_guid()}
    nested = GLib.Variant(
        "(a{s(iv)}aaaay)",
        (
            {"__proto__": (1, GLib.Variant("d", 0.5)), "": (2, GLib.Variant("as", ["x", ""]))},
            [[[b"\x01\x02"], []], []],
        ),
    )

    def ask(member, body, order=None, path="/o"):
        message = Gio.DBusMessage.new_method_call(None, path, INTERFACE, member)
        if order is not None:
            message.set_byte_order(order)
        if body is not None:
            message.set_body(body)
        reply, _ = connection.send_message_with_reply_sync(
            message, Gio.DBusSendMessageFlags.NONE, 10000, None
        )
        return reply

    for name, order in (("little", Gio.DBusMessageByteOrder.LITTLE_ENDIAN), ("big", Gio.DBusMessageByteOrder.BIG_ENDIAN)):
        body = GLib.Variant("(ybnqiuxtdsog)", MANY)
        reply = ask("Many", body, order)
        back = ask("Nested", nested, order).get_body()
        result[name] = {
            "many": reply.get_body().equal(body),
            "nested": back.equal(nested),
            "order": ask("Order", None, order).get_body().unpack()[0],
        }
    error = ask("Fail", None)
    result["error"] = [error.get_error_name(), error.get_body().unpack()]
    result["unknown"] = ask("None", None).get_error_name()
    result["object"] = ask("Many", None, path="/none").get_error_name()
    seen = []
    connection.signal_subscribe(
        None, INTERFACE, "Ticked", "/o", None, Gio.DBusSignalFlags.NONE,
        lambda _c, _s, path, _i, member, body: seen.append([path, member, list(body.unpack())]),
    )
    ask("Tick", GLib.Variant("(u)", (3,)))
    context = GLib.MainContext.default()
    late = []
    GLib.timeout_add_seconds(10, lambda: late.append(1))
    while len(seen) < 3 and not late:
        context.iteration(True)
    result["signals"] = seen
    properties = connection.call_sync(
        None, "/o", "org.freedesktop.DBus.Properties", "GetAll", GLib.Variant("(s)", (INTERFACE,)),
        None, Gio.DBusCallFlags.NONE, 10000, None,
    )
    result["properties"] = properties.unpack()[0]
    connection.close_sync(None)
    return result


def jeepney(address):
    import socket

    from jeepney import DBusAddress, Endianness, MessageType, Parser, new_method_call
    from jeepney.auth import BEGIN, Authenticator

    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(10)
    path = address.split("unix:path=")[1].split(",")[0]
    peer.connect(path)
    auth = Authenticator()
    for data in auth:
        peer.sendall(data)
        auth.feed(peer.recv(1024))
    peer.sendall(BEGIN)
    parser = Parser()
    # It cannot call nobody in particular.
    at = DBusAddress("/o", bus_name="org.example.Name", interface=INTERFACE)
    result = {}

    def ask(serial, order, member, signature=None, body=()):
        message = new_method_call(at, member, signature, body)
        message.header.endianness = order
        peer.sendall(message.serialise(serial))
        while True:
            reply = parser.get_next_message()
            if reply is not None:
                return reply
            parser.add_data(peer.recv(65536))

    for name, order in (("little", Endianness.little), ("big", Endianness.big)):
        reply = ask(1, order, "Many", "ybnqiuxtdsog", MANY)
        bodies = ({"__proto__": (1, ("d", 0.5)), "": (2, ("as", ["x", ""]))}, [[[b"\x01\x02"], []], []])
        nested = ask(2, order, "Nested", "a{s(iv)}aaaay", bodies)
        result[name] = {
            "many": reply.body == MANY,
            "nested": nested.body == bodies,
            "order": ask(3, order, "Order").body[0],
        }
    failed = ask(4, Endianness.little, "Fail")
    result["error"] = failed.header.message_type == MessageType.error
    peer.close()
    return result


if __name__ == "__main__":
    print(json.dumps({"gdbus": gdbus, "jeepney": jeepney}[sys.argv[1]](sys.argv[2])))
