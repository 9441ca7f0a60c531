"""A small sstash of our own, with Python's json, hashlib and PyNaCl: the oracle of the tests.

One JSON request a line on standard input, one JSON answer a line on standard output. Bytes travel as
hexadecimal. An answer has "error" where Python refuses the input.
"""

import binascii
import hashlib
import json
import sys

try:
    import nacl.secret
except ImportError:
    nacl = None


class Refused(Exception):
    pass


def check_children(children):
    if not isinstance(children, dict):
        raise Refused("children")
    for node in children.values():
        if not isinstance(node, dict) or "children" not in node or not set(node) <= {"children", "value"}:
            raise Refused("node")
        if not isinstance(node.get("value", ""), str):
            raise Refused("value")
        check_children(node["children"])


def load_contents(data):
    tree = json.loads(data.decode("utf-8"))
    check_children(tree)
    return tree


def dump_contents(tree):
    return json.dumps(tree).encode("utf-8")


def load_container(data):
    outer = json.loads(data.decode("ascii"))
    if not isinstance(outer, dict) or set(outer) != {"hash", "salt", "iterations", "enc_blob"}:
        raise Refused("members")
    if not all(isinstance(outer[name], str) for name in ("hash", "salt", "enc_blob")):
        raise Refused("type")
    iterations = outer["iterations"]
    if not isinstance(iterations, int) or isinstance(iterations, bool) or iterations <= 0:
        raise Refused("iterations")
    blob = binascii.unhexlify(outer["enc_blob"])
    if len(blob) < 40:
        raise Refused("blob")
    return outer["hash"], binascii.unhexlify(outer["salt"]), iterations, blob


def dump_container(name, salt, iterations, blob):
    outer = {"hash": name, "salt": salt.hex(), "iterations": iterations, "enc_blob": blob.hex()}
    return json.dumps(outer).encode("ascii")


def box(password, name, salt, iterations):
    return nacl.secret.SecretBox(hashlib.pbkdf2_hmac(name, password, salt, iterations, 32))


def open_file(data, password):
    name, salt, iterations, blob = load_container(data)
    return load_contents(bytes(box(password, name, salt, iterations).decrypt(blob)))


def write(tree, key, value):
    children = tree
    for name in key:
        node = children.setdefault(name, {"children": {}})
        children = node["children"]
    node["value"] = value.hex()


def remove(tree, key):
    if not key:
        tree.clear()
        return
    children = tree
    for name in key[:-1]:
        children = children[name]["children"]
    del children[key[-1]]


def hello(request):
    return {"version": sys.version, "nacl": nacl is not None}


def contents(request):
    return {"contents": dump_contents(load_contents(bytes.fromhex(request["contents"]))).hex()}


def container(request):
    name, salt, iterations, blob = load_container(bytes.fromhex(request["file"]))
    # The limit is ours, not Python's.
    return {"hash": name, "salt": salt.hex(), "iterations": str(iterations), "blob": blob.hex()}


def pbkdf2(request):
    password, salt = bytes.fromhex(request["password"]), bytes.fromhex(request["salt"])
    return {"key": hashlib.pbkdf2_hmac(request["hash"], password, salt, request["iterations"], 32).hex()}


def decrypt(request):
    return {"contents": dump_contents(open_file(bytes.fromhex(request["file"]), bytes.fromhex(request["password"]))).hex()}


def encrypt(request):
    password, salt, nonce = (bytes.fromhex(request[name]) for name in ("password", "salt", "nonce"))
    name, iterations = request["hash"], request["iterations"]
    sealed = box(password, name, salt, iterations).encrypt(bytes.fromhex(request["contents"]), nonce)
    return {"file": dump_container(name, salt, iterations, bytes(sealed)).hex()}


def change(request):
    """Changes a file as the Python program does: read, change, truncate and write in place."""
    password = bytes.fromhex(request["password"])
    with open(request["path"], "rb") as file:
        data = file.read()
    name, salt, iterations, _ = load_container(data)
    tree = open_file(data, password)
    for step in request["steps"]:
        if "value" in step:
            write(tree, step["key"], bytes.fromhex(step["value"]))
        else:
            remove(tree, step["key"])
    sealed = box(password, name, salt, iterations).encrypt(dump_contents(tree))
    with open(request["path"], "wb") as file:
        file.write(dump_container(name, salt, iterations, bytes(sealed)))
    return {"contents": dump_contents(tree).hex()}


OPERATIONS = {f.__name__: f for f in (hello, contents, container, pbkdf2, decrypt, encrypt, change)}

for line in sys.stdin:
    try:
        asked = json.loads(line)
        answer = OPERATIONS[asked["op"]](asked)
    except Exception as error:
        answer = {"error": type(error).__name__}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
