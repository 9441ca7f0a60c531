"""libsecret as a client: one JSON object with `op` a line in, one answer a line out, secrets in base64.

What PyGObject does not take, values that are no text and typed attributes, goes to the library by ctypes.
"""
import base64
import ctypes
import json
import sys

import gi

gi.require_version("Secret", "1")
from gi.repository import GLib, Secret  # noqa: E402

EVERY = Secret.SearchFlags.ALL | Secret.SearchFlags.LOAD_SECRETS | Secret.SearchFlags.UNLOCK
TYPES = {
    "string": Secret.SchemaAttributeType.STRING,
    "integer": Secret.SchemaAttributeType.INTEGER,
    "boolean": Secret.SchemaAttributeType.BOOLEAN,
}

library = ctypes.CDLL("libsecret-1.so.0")
glib = ctypes.CDLL("libglib-2.0.so.0")
POINTER = ctypes.c_void_p
library.secret_schema_new.restype = POINTER
library.secret_value_new.restype = POINTER
library.secret_value_new.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t, ctypes.c_char_p]
library.secret_attributes_build.restype = POINTER
library.secret_password_storev_binary_sync.argtypes = [
    POINTER, POINTER, ctypes.c_char_p, ctypes.c_char_p, POINTER, POINTER, POINTER,
]
glib.g_hash_table_new.restype = POINTER
glib.g_hash_table_new.argtypes = [POINTER, POINTER]
glib.g_hash_table_insert.argtypes = [POINTER, ctypes.c_char_p, ctypes.c_char_p]
glib.g_hash_table_lookup.restype = ctypes.c_char_p
glib.g_hash_table_lookup.argtypes = [POINTER, ctypes.c_char_p]


class GError(ctypes.Structure):
    _fields_ = [("domain", ctypes.c_uint32), ("code", ctypes.c_int), ("message", ctypes.c_char_p)]


class Failure(Exception):
    pass


def schema_of(schema):
    if schema is None:
        return None
    fields = {name: TYPES[kind] for name, kind in schema["fields"].items()}
    return Secret.Schema.new(schema["name"], Secret.SchemaFlags.NONE, fields)


def schema_pointer(schema):
    if schema is None:
        return None
    parts = [
        part
        for name, kind in schema["fields"].items()
        for part in (name.encode(), ctypes.c_int(int(TYPES[kind])))
    ]
    return POINTER(library.secret_schema_new(schema["name"].encode(), ctypes.c_int(0), *parts, None))


class Client:
    def __init__(self):
        flags = Secret.ServiceFlags.OPEN_SESSION | Secret.ServiceFlags.LOAD_COLLECTIONS
        self.service = Secret.Service.get_sync(flags, None)

    def store(self, items, collection=None, schema=None):
        target = None if collection is None else collection.encode()
        pointer = schema_pointer(schema)
        for item in items:
            secret = base64.b64decode(item["secret"])
            value = library.secret_value_new(secret, len(secret), item["contentType"].encode())
            pairs = [(name.encode(), text.encode()) for name, text in item["attributes"].items()]
            table = glib.g_hash_table_new(glib.g_str_hash, glib.g_str_equal)
            for name, text in pairs:
                glib.g_hash_table_insert(table, name, text)
            error = ctypes.POINTER(GError)()
            label = item["label"].encode()
            if not library.secret_password_storev_binary_sync(
                pointer, table, target, label, value, None, ctypes.byref(error)
            ):
                raise Failure(error.contents.message.decode() if error else "the attributes are not valid")

    def find(self, attributes, schema=None):
        return [
            {
                "path": item.get_object_path(),
                "label": item.get_label(),
                "attributes": item.get_attributes(),
                "secret": base64.b64encode(bytes(item.get_secret().get())).decode(),
                "contentType": item.get_secret().get_content_type(),
            }
            for item in self.service.search_sync(schema_of(schema), attributes, EVERY, None)
        ]

    def clear(self, attributes, schema=None):
        """How many there were: libsecret itself says no more than whether there were some."""
        count = len(self.service.search_sync(schema_of(schema), attributes, Secret.SearchFlags.ALL, None))
        removed = self.service.clear_sync(schema_of(schema), attributes, None)
        return count if removed else 0

    def format(self, schema, values):
        """The attributes that libsecret makes of typed values."""
        parts = [
            part
            for name, value in values.items()
            for part in (name.encode(), value.encode() if isinstance(value, str) else ctypes.c_int(value))
        ]
        table = library.secret_attributes_build(schema_pointer(schema), *parts, None)
        return {name: glib.g_hash_table_lookup(table, name.encode()).decode() for name in values}


def main():
    client = Client()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": getattr(client, request.pop("op"))(**request)}
        except GLib.Error as error:
            answer = {"error": error.message}
        except Failure as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
