"""Reads addresses as libdbus does: a line of JSON in, a list of [text, keys of each entry]; a line of JSON out, for each
text null or the list of [transport, values of those keys], in hexadecimal."""
import ctypes
import json
import sys

lib = ctypes.CDLL("libdbus-1.so.3")


class Error(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("message", ctypes.c_char_p),
        ("bits", ctypes.c_uint),
        ("padding", ctypes.c_void_p),
    ]


ERROR = ctypes.POINTER(Error)
lib.dbus_parse_address.argtypes = [
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)),
    ctypes.POINTER(ctypes.c_int),
    ERROR,
]
lib.dbus_address_entries_free.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
lib.dbus_address_entry_get_method.restype = ctypes.c_char_p
lib.dbus_address_entry_get_method.argtypes = [ctypes.c_void_p]
lib.dbus_address_entry_get_value.restype = ctypes.c_char_p
lib.dbus_address_entry_get_value.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
for function in (lib.dbus_address_escape_value, lib.dbus_address_unescape_value):
    function.restype = ctypes.c_void_p
lib.dbus_address_escape_value.argtypes = [ctypes.c_char_p]
lib.dbus_address_unescape_value.argtypes = [ctypes.c_char_p, ERROR]
lib.dbus_free.argtypes = [ctypes.c_void_p]


def new_error():
    error = Error()
    lib.dbus_error_init(ctypes.byref(error))
    return error


def taken(pointer):
    if pointer is None:
        return None
    text = ctypes.string_at(pointer)
    lib.dbus_free(pointer)
    return text


def parse(text, keys):
    error = new_error()
    entries = ctypes.POINTER(ctypes.c_void_p)()
    count = ctypes.c_int()
    if not lib.dbus_parse_address(text.encode(), ctypes.byref(entries), ctypes.byref(count), ctypes.byref(error)):
        lib.dbus_error_free(ctypes.byref(error))
        return None
    found = []
    for index in range(count.value):
        wanted = keys[index] if index < len(keys) else []
        values = [lib.dbus_address_entry_get_value(entries[index], key.encode()) for key in wanted]
        found.append(
            [
                lib.dbus_address_entry_get_method(entries[index]).hex(),
                [None if value is None else value.hex() for value in values],
            ]
        )
    lib.dbus_address_entries_free(entries)
    return found


def escape(text):
    """What libdbus escapes a text to, and what it reads back from that."""
    escaped = taken(lib.dbus_address_escape_value(text.encode()))
    error = new_error()
    back = taken(lib.dbus_address_unescape_value(escaped, ctypes.byref(error)))
    return [escaped.hex(), None if back is None else back.hex()]


for line in sys.stdin:
    request = json.loads(line)
    print(
        json.dumps(
            {
                "parsed": [parse(text, keys) for text, keys in request["addresses"]],
                "escaped": [escape(text) for text in request["values"]],
            }
        ),
        flush=True,
    )
