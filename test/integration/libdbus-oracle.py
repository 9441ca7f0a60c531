"""Judges messages as libdbus does: reads frames (u32 little-endian length, bytes), writes `1` or `0` for each."""
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


lib.dbus_message_demarshal.restype = ctypes.c_void_p
lib.dbus_message_demarshal.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(Error)]
lib.dbus_message_unref.argtypes = [ctypes.c_void_p]


def accepted(data):
    error = Error()
    lib.dbus_error_init(ctypes.byref(error))
    message = lib.dbus_message_demarshal(data, len(data), ctypes.byref(error))
    if message is None:
        lib.dbus_error_free(ctypes.byref(error))
        return False
    lib.dbus_message_unref(message)
    return True


def main():
    verdicts = bytearray()
    stream = sys.stdin.buffer
    while len(head := stream.read(4)) == 4:
        data = stream.read(struct.unpack("<I", head)[0])
        verdicts += b"1" if accepted(data) else b"0"
    sys.stdout.buffer.write(verdicts)


main()
