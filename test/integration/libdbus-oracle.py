"""Judges and reads messages as libdbus does.

Reads frames (u32 little-endian length, bytes). Writes for each a frame of the same form: empty when libdbus refuses the
message, else all it reads in it as text, in the form of `libdbus-dump.ts`.
"""
import ctypes
import struct
import sys

lib = ctypes.CDLL("libdbus-1.so.3")


class Error(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("message", ctypes.c_char_p),
        ("bits", ctypes.c_uint),
        ("padding", ctypes.c_void_p),
    ]


# More than a DBusMessageIter takes.
Iter = ctypes.c_void_p * 16

lib.dbus_message_demarshal.restype = ctypes.c_void_p
lib.dbus_message_demarshal.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(Error)]
lib.dbus_message_unref.argtypes = [ctypes.c_void_p]
for name in ("path", "interface", "member", "error_name", "destination", "sender", "signature"):
    getter = getattr(lib, f"dbus_message_get_{name}")
    getter.argtypes = [ctypes.c_void_p]
    getter.restype = ctypes.c_char_p
for name in ("get_type", "get_no_reply", "get_auto_start", "get_allow_interactive_authorization"):
    getattr(lib, f"dbus_message_{name}").argtypes = [ctypes.c_void_p]
for name in ("get_serial", "get_reply_serial"):
    getter = getattr(lib, f"dbus_message_{name}")
    getter.argtypes = [ctypes.c_void_p]
    getter.restype = ctypes.c_uint32
lib.dbus_message_iter_init.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
for name in ("get_arg_type", "get_element_type", "next"):
    getattr(lib, f"dbus_message_iter_{name}").argtypes = [ctypes.c_void_p]
for name in ("recurse", "get_basic"):
    getattr(lib, f"dbus_message_iter_{name}").argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    getattr(lib, f"dbus_message_iter_{name}").restype = None
lib.dbus_message_iter_get_fixed_array.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
lib.dbus_message_iter_get_fixed_array.restype = None
lib.dbus_message_iter_get_signature.argtypes = [ctypes.c_void_p]
lib.dbus_message_iter_get_signature.restype = ctypes.c_void_p
lib.dbus_free.argtypes = [ctypes.c_void_p]

type_of = lib.dbus_message_iter_get_arg_type
next_of = lib.dbus_message_iter_next
get_basic = lib.dbus_message_iter_get_basic
recurse = lib.dbus_message_iter_recurse

BYTE, DOUBLE, VARIANT, ARRAY, STRUCT, DICT_ENTRY, DESCRIPTOR = map(ord, "ydvareh")
INTEGERS = {
    ord("y"): ctypes.c_uint8,
    ord("b"): ctypes.c_uint32,
    ord("n"): ctypes.c_int16,
    ord("q"): ctypes.c_uint16,
    ord("i"): ctypes.c_int32,
    ord("u"): ctypes.c_uint32,
    ord("x"): ctypes.c_int64,
    ord("t"): ctypes.c_uint64,
}


def text(data):
    return b"%d:%b" % (len(data), data)


def signature_at(it):
    pointer = lib.dbus_message_iter_get_signature(it)
    signature = ctypes.string_at(pointer)
    lib.dbus_free(pointer)
    return signature


def read_double(it):
    value = ctypes.c_double()
    get_basic(it, ctypes.byref(value))
    return b"nan" if value.value != value.value else struct.pack(">d", value.value).hex().encode()


def read_array(it, inner):
    element = lib.dbus_message_iter_get_element_type(it)
    recurse(it, inner)
    if element == BYTE:
        pointer = ctypes.c_void_p()
        length = ctypes.c_int()
        lib.dbus_message_iter_get_fixed_array(inner, ctypes.byref(pointer), ctypes.byref(length))
        return b"<%b>" % ctypes.string_at(pointer, length.value).hex().encode() if length.value else b"<>"
    if element != DICT_ENTRY:
        return b"[%b]" % b" ".join(read_all(inner))
    # Of two entries with one key the later value is kept, in the place of the first; -0 and 0 are one key.
    entries = {}
    while type_of(inner) != 0:
        entry = Iter()
        recurse(inner, entry)
        if type_of(entry) == DESCRIPTOR:
            return b"{h}"
        key, value = read_all(entry)
        entries[b"0" * 16 if key == b"80" + b"0" * 14 else key] = value
        next_of(inner)
    return b"{%b}" % b" ".join(key + b"=" + value for key, value in entries.items())


def read(it, kind):
    integer = INTEGERS.get(kind)
    if integer is not None:
        value = integer()
        get_basic(it, ctypes.byref(value))
        return b"%d" % value.value
    if kind == DOUBLE:
        return read_double(it)
    if kind == DESCRIPTOR:
        # libdbus tells of the descriptor, of which there is none, and not of its index.
        return b"h"
    if kind == ARRAY:
        return read_array(it, Iter())
    if kind in (STRUCT, VARIANT):
        inner = Iter()
        recurse(it, inner)
        if kind == STRUCT:
            return b"(%b)" % b" ".join(read_all(inner))
        return b"v" + text(signature_at(inner)) + read_all(inner)[0]
    value = ctypes.c_char_p()
    get_basic(it, ctypes.byref(value))
    return text(value.value)


def read_all(it):
    values = []
    while (kind := type_of(it)) != 0:
        values.append(read(it, kind))
        next_of(it)
    return values


def read_message(message):
    fields = [b"%d" % lib.dbus_message_get_type(message)]
    flags = (
        (1 if lib.dbus_message_get_no_reply(message) else 0)
        | (0 if lib.dbus_message_get_auto_start(message) else 2)
        | (4 if lib.dbus_message_get_allow_interactive_authorization(message) else 0)
    )
    fields += [b"%d" % flags, b"%d" % lib.dbus_message_get_serial(message)]
    for name in ("path", "interface", "member", "error_name", "destination", "sender", "signature"):
        value = getattr(lib, f"dbus_message_get_{name}")(message)
        fields.append(b"-" if value is None else text(value))
    fields.append(b"%d" % lib.dbus_message_get_reply_serial(message))
    it = Iter()
    lib.dbus_message_iter_init(message, it)
    return b" ".join(fields + read_all(it))


def judge(data):
    error = Error()
    lib.dbus_error_init(ctypes.byref(error))
    message = lib.dbus_message_demarshal(data, len(data), ctypes.byref(error))
    if message is None:
        lib.dbus_error_free(ctypes.byref(error))
        return b""
    found = read_message(message)
    lib.dbus_message_unref(message)
    return found


def main():
    stream = sys.stdin.buffer
    while len(head := stream.read(4)) == 4:
        found = judge(stream.read(struct.unpack("<I", head)[0]))
        sys.stdout.buffer.write(struct.pack("<I", len(found)) + found)


main()
