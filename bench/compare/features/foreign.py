"""One call by a library that is not JavaScript: `foreign.py LIBRARY PARAMETERS`. Prints RESULT and JSON, as child.mjs does."""
import ctypes
import json
import resource
import sys
import time

NAME, PATH, INTERFACE, MEMBER = ":1.5", "/a", "org.example.Test", "Get"
TIMEOUT_MS = 4000


def ask_libdbus(address):
    lib = ctypes.CDLL("libdbus-1.so.3")

    class Error(ctypes.Structure):
        _fields_ = [("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("bits", ctypes.c_uint), ("pad", ctypes.c_void_p)]

    error = Error()
    lib.dbus_error_init(ctypes.byref(error))

    def check(ok):
        if not ok:
            raise RuntimeError(f"{(error.name or b'').decode()}: {(error.message or b'').decode()}")
        return ok

    for name in ("dbus_connection_open_private", "dbus_message_new_method_call", "dbus_connection_send_with_reply_and_block"):
        getattr(lib, name).restype = ctypes.c_void_p
    lib.dbus_message_get_signature.restype = ctypes.c_char_p
    connection = ctypes.c_void_p(check(lib.dbus_connection_open_private(address.encode(), ctypes.byref(error))))
    lib.dbus_connection_set_exit_on_disconnect(connection, 0)
    check(lib.dbus_bus_register(connection, ctypes.byref(error)))
    call = ctypes.c_void_p(lib.dbus_message_new_method_call(*(text.encode() for text in (NAME, PATH, INTERFACE, MEMBER))))
    reply = ctypes.c_void_p(
        check(lib.dbus_connection_send_with_reply_and_block(connection, call, TIMEOUT_MS, ctypes.byref(error)))
    )
    if lib.dbus_message_get_signature(reply) != b"u":
        return "taken"
    it = (ctypes.c_void_p * 16)()
    lib.dbus_message_iter_init(reply, it)
    value = ctypes.c_uint32()
    lib.dbus_message_iter_get_basic(it, ctypes.byref(value))
    return value.value


def ask_gdbus(address, peer=False):
    from gi.repository import Gio

    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
    if not peer:
        flags |= Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    connection = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
    connection.set_exit_on_close(False)
    reply = connection.call_sync(None if peer else NAME, PATH, INTERFACE, MEMBER, None, None, Gio.DBusCallFlags.NONE, TIMEOUT_MS, None)
    return reply.unpack()[0] if reply.get_type_string() == "(u)" else "taken"


def ask_jeepney(address):
    from jeepney import DBusAddress, new_method_call
    from jeepney.io.blocking import open_dbus_connection
    from jeepney.wrappers import unwrap_msg

    connection = open_dbus_connection(address)
    call = new_method_call(DBusAddress(PATH, NAME, INTERFACE), MEMBER)
    value = unwrap_msg(connection.send_and_get_reply(call, timeout=TIMEOUT_MS / 1000))
    return value[0] if len(value) == 1 and isinstance(value[0], int) else "taken"


ASK = {"libdbus": ask_libdbus, "GDBus": ask_gdbus, "jeepney": ask_jeepney}


def main():
    library, parameters = sys.argv[1], json.loads(sys.argv[2])
    start = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        result = {"outcome": "value", "value": ASK[library](**parameters)}
    except Exception as error:
        text = f"{type(error).__name__} {error}"
        late = time.monotonic() - start > 0.9 * TIMEOUT_MS / 1000
        result = {"outcome": "hangs" if late else "error", "text": text[:300]}
    result["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print("RESULT " + json.dumps(result), flush=True)


main()
