"""Whether libdbus takes messages: reads frames (u32 little-endian length, bytes), writes `1` or `0` for each."""

import ctypes
import struct
import sys

library = ctypes.CDLL("libdbus-1.so.3")
library.dbus_message_demarshal.restype = ctypes.c_void_p
library.dbus_message_demarshal.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
library.dbus_message_unref.argtypes = [ctypes.c_void_p]

while len(head := sys.stdin.buffer.read(4)) == 4:
    frame = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
    message = library.dbus_message_demarshal(frame, len(frame), None)
    if message is not None:
        library.dbus_message_unref(message)
    sys.stdout.write("0" if message is None else "1")
    sys.stdout.flush()
