"""Decodes messages with GLib and encodes them anew: frames (u32 little-endian length, bytes) in and out, empty for a refusal."""
import struct
import sys

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

NO_CAPABILITIES = Gio.DBusCapabilityFlags.NONE


def encoded_anew(data):
    try:
        message = Gio.DBusMessage.new_from_blob(data, NO_CAPABILITIES)
        return bytes(message.to_blob(NO_CAPABILITIES))
    # The texts of some errors are cut inside a character, which PyGObject cannot convert.
    except (GLib.Error, UnicodeDecodeError, RuntimeError):
        return b""


def main():
    stream = sys.stdin.buffer
    out = bytearray()
    while len(head := stream.read(4)) == 4:
        answer = encoded_anew(stream.read(struct.unpack("<I", head)[0]))
        out += struct.pack("<I", len(answer)) + answer
    sys.stdout.buffer.write(out)


main()
