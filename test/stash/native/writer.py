"""A writer of native stash files, valid and deliberately odd, for tests: written from docs/stash-format.md alone.

It checks nothing: what the script says is written, and what it does not say is as the document wants it. As a library:
`operation`, `body`, `slot`, `page`, `Log` and `build`. As a command: one JSON request a line on standard input, one JSON
answer a line on standard output.

Bytes are hexadecimal, or {"repeat": hex, "count": n}. Names are JSON strings, a lone surrogate as its escape, or
{"bytes": hex} for bytes that are no WTF-8. Numbers of operations are written as short as possible unless `raw` is used.

    {"op": "write", "path": ..., "seed": text?, "storeId"?, "dataKey"?, "epoch": 1?, "base": 0?,
     "slots": [SLOT, ...]?, "header": HEADER?, "items": [ITEM, ...]?, "patches": [PATCH, ...]?, "cut": n?}
    -> {"byteLength", "storeId", "dataKey", "items": [{"offset", "byteLength", "sequence"?, "tag"?}, ...],
        "sequence", "tag" (of the log, without side frames), "floor"}

With a seed all that is random comes from it: the same script gives the same file. All requests of `reader.py` are answered, too.

SLOT: {"kind": "password" | "recovery" | "key" | number, "secret": bytes, "derivation": "scrypt" for passwords, "none" for
    others | "argon2id" | "pbkdf2" | number, "parameters": [1, 1, 1] (cheap)?, "label": text or bytes?, "at": index?} and, as
    they are written: "id", "salt", "nonce", "reserved" (2 bytes), "commitment", "wrapped", "wraps" (other data key);
    with both "commitment" and "wrapped" nothing is derived, so that any parameters can stand there;
    or instead of all that {"raw": 192 bytes, "at": index?}.
HEADER: {"version", "features", "zero12", "zero80", "zero3936": bytes, "generation": of the newer page (2), "floor": as below,
    "base", "epoch", "storeId": for the pages only, "macId": for their HMAC key only, "pages": "ab" | "a" | "b" | "", "badHash", "badMac": true,
    "a": {...}, "b": {...}: other values in one of the pages, "atA": "a" | "b"?, "atB"?: which page stands there}
    The older page has one generation less and otherwise the same. "pages" leaves zeros for the other.
    "floor": "none" (default) | "last": the last frame | {"item": index} | {"sequence": n, "tag": bytes}.
ITEM: {"raw": bytes} | {"zeros": n} | {"copy": index of an item, whole} | {"part": index, "from": n, "to": n} | FRAME.
FRAME: {"type": "batch" | "page" | "chunk" | number, "ops": [OPERATION, ...] or "body": bytes,
    "pad": multiple of this many bytes (batch 256, others 1) | "padTo": length?, "unsynced": 0?}, and to be odd:
    "sequence": n | "previous": bytes or {"item": index}: other than those due;
    "after": index of an item or null: continues from that frame (null: from the start of the file), not from the last one;
    "side": true: the frames after this one do not continue from it (superseded, unless "lost" below makes room);
    "lost": true: written nowhere, though the frames after it continue from it;
    "keep": n: only its first n bytes (negative: but for the last n) are written; "hole": true: all zeros instead;
    "blank": [from, to]: zeros in that range of it; "length", "reserved", "epoch", "storeId", "nonce": other fields;
    "badMac", "badTag": true: one bit of the header MAC or of the body's tag flipped; "headerKey": bytes.
OPERATION: {"set": key, "value": bytes} | {"remove": key} | {"chunks": key, "byteLength": n, "sequence": n or {"item": index}}
    | {"make": key} | {"raw": bytes}, with "shared": n (default: as many as possible).
PATCH, applied at the end in order: {"offset": n, "xor": bytes} | {"offset": n, "bytes": bytes} | {"offset": n, "insert": bytes} |
    {"offset": n, "remove": n}; "item": index adds the offset of that item. Then "cut" keeps that many bytes (negative: all but).
"""

import hashlib
import json
import os
import struct
import sys

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as aead_encrypt

# No __pycache__ beside the tests.
sys.dont_write_bytecode = True

from reader import ANSWERS, CHUNK
from reader_header import DERIVATIONS, FRAMES, KINDS, MAGIC, NO_TAG, PAGE, SLOT, SLOTS, Refused, derive, hkdf, hmac256, sha256, u64

KIND_NUMBERS = {name: number for number, name in KINDS.items()}
DERIVATION_NUMBERS = {name: number for number, name in DERIVATIONS.items()}
TYPES = {"batch": 1, "page": 2, "chunk": 3}
CHEAP = {0: (0, 0, 0), 1: (1, 1, 1), 2: (8, 1, 1), 3: (1, 0, 0)}


class Random:
    """Random bytes, or those of a seed."""

    def __init__(self, seed=None):
        self.seed, self.count = seed, 0

    def __call__(self, length):
        if self.seed is None:
            return os.urandom(length)
        self.count += 1
        return hashlib.shake_256(f"{self.count} {self.seed}".encode()).digest(length)


def octets(given):
    """Bytes of a request."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, dict):
        return bytes.fromhex(given["repeat"]) * given["count"]
    return bytes.fromhex(given)


def number(value):
    """LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def name_bytes(name):
    return octets(name["bytes"]) if isinstance(name, dict) else name.encode("utf-8", "surrogatepass")


def key_bytes(key, before, shared=None):
    if shared is None:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
    own = [name_bytes(name) for name in key[shared:]]
    return number(shared) + number(len(own)) + b"".join(number(len(name)) + name for name in own)


def operation(op, before=(), sequence_of=None):
    """The bytes of an operation and its key, with the key of the operation before."""
    if "raw" in op:
        return octets(op["raw"]), before
    code, field = next((code, field) for code, field in ((1, "set"), (2, "remove"), (3, "chunks"), (4, "make")) if field in op)
    out = bytes([code]) + key_bytes(op[field], before, op.get("shared"))
    if code == 1:
        value = octets(op["value"])
        out += number(len(value)) + value
    if code == 3:
        first = op["sequence"]
        out += number(op["byteLength"]) + number(sequence_of(first["item"]) if isinstance(first, dict) else first)
    return out, op[field]


def body(ops, pad=1, sequence_of=None):
    """The plaintext of operations, padded to a multiple of `pad`."""
    out, before = b"", ()
    for op in ops:
        encoded, before = operation(op, before, sequence_of)
        out += encoded
    return out + bytes(-len(out) % pad)


def slot(store_id, data_key, given, random):
    """192 bytes of a key slot."""
    if "raw" in given:
        return octets(given["raw"])
    kind = given["kind"] if isinstance(given["kind"], int) else KIND_NUMBERS[given["kind"]]
    derivation = given.get("derivation", "scrypt" if kind == 1 else "none")
    derivation = derivation if isinstance(derivation, int) else DERIVATION_NUMBERS[derivation]
    parameters = given.get("parameters", CHEAP.get(derivation, (0, 0, 0)))
    own = {name: octets(given[name]) if name in given else random(size) for name, size in (("id", 16), ("salt", 32), ("nonce", 24))}
    label = given.get("label", "")
    label = label.encode("utf-8") if isinstance(label, str) else octets(label)
    known = {"commitment", "wrapped"} <= set(given)
    both = bytes(64) if known else hkdf(
        derive(derivation, parameters, octets(given["secret"]), own["salt"]), store_id + own["id"], b"secretbus stash 1 slot", 64
    )
    head = bytes([kind, derivation]) + octets(given.get("reserved", "0000")) + struct.pack("<3I", *parameters)
    head += own["id"] + own["salt"] + octets(given.get("commitment", both[32:]))
    wraps = octets(given.get("wraps", data_key))
    wrapped = octets(given["wrapped"]) if "wrapped" in given else aead_encrypt(wraps, store_id + head, own["nonce"], both[:32])
    return (head + own["nonce"] + wrapped + label.ljust(24, b"\0"))[:SLOT]


def page(data_key, slots, fields):
    """4,096 bytes of a header page."""
    store_id = octets(fields["storeId"])
    out = MAGIC + struct.pack("<HH", fields.get("version", 1), fields.get("features", 0)) + octets(fields.get("zero12", "00000000"))
    out += store_id + struct.pack("<3Q", fields["generation"], fields["epoch"], fields["floor"][0]) + fields["floor"][1]
    out += u64(fields["base"]) + octets(fields.get("zero80", bytes(16)))
    out += b"".join(slots) + octets(fields.get("zero3936", bytes(96)))
    mac = hmac256(hkdf(data_key, octets(fields.get("macId", store_id)), b"secretbus stash 1 header pages", 32), out)
    out += flipped(mac) if fields.get("badMac") else mac
    digest = sha256(out)
    return out + (flipped(digest) if fields.get("badHash") else digest)


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


class Log:
    """The frames of a file; `bytes` is what stands from offset 8,192 on."""

    def __init__(self, store_id, data_key, epoch, base, random):
        self.store_id, self.data_key, self.epoch, self.random = store_id, data_key, epoch, random
        self.start = self.tip = (base, NO_TAG)
        self.bytes, self.items, self._whole = b"", [], []

    def add(self, item):
        """Writes one ITEM."""
        whole, shown, written = self._item(item)
        entry = {"offset": FRAMES + len(self.bytes), "byteLength": len(written)}
        if shown:
            entry.update(sequence=shown[0], tag=shown[1].hex())
            if not item.get("side"):
                self.tip = shown
        self.items.append(entry)
        self._whole.append(whole)
        self.bytes += written
        return entry

    def _item(self, item):
        if "raw" in item:
            return octets(item["raw"]), None, octets(item["raw"])
        if "zeros" in item:
            return bytes(item["zeros"]), None, bytes(item["zeros"])
        if "copy" in item:
            return self._whole[item["copy"]], None, self._whole[item["copy"]]
        if "part" in item:
            cut = self._whole[item["part"]][item.get("from", 0):item.get("to")]
            return cut, None, cut
        return self._frame(item)

    def _at(self, index):
        return (self.items[index]["sequence"], bytes.fromhex(self.items[index]["tag"]))

    def _frame(self, item):
        kind = item["type"] if isinstance(item["type"], int) else TYPES[item["type"]]
        last, tag = self.tip
        if "after" in item:
            last, tag = self.start if item["after"] is None else self._at(item["after"])
        sequence = item.get("sequence", last + 1)
        previous = item.get("previous", tag)
        previous = self._at(previous["item"])[1] if isinstance(previous, dict) and "item" in previous else octets(previous)
        if "body" in item:
            text = octets(item["body"])
            text += bytes(-len(text) % item.get("pad", 1))
        else:
            text = body(item.get("ops", []), item.get("pad", 256 if kind == 1 else 1), lambda index: self.items[index]["sequence"])
        text = text.ljust(item.get("padTo", 0), b"\0")
        store_id = octets(item.get("storeId", self.store_id))
        context = store_id + u64(item.get("epoch", self.epoch))
        head = struct.pack("<IBBHQ", item.get("length", len(text) + 16), kind, item.get("reserved", 0), item.get("unsynced", 0), sequence)
        head += previous + octets(item.get("nonce", self.random(24)))
        header_key = octets(item.get("headerKey", hkdf(self.data_key, store_id, b"secretbus stash 1 frame headers", 32)))
        mac = hmac256(header_key, context + head)[:16]
        head += flipped(mac) if item.get("badMac") else mac
        sealed = aead_encrypt(text, context + head, head[32:56], hkdf(self.data_key, store_id, b"secretbus stash 1 frames", 32))
        whole = head + (flipped(sealed) if item.get("badTag") else sealed)
        written = b"" if item.get("lost") else bytes(len(whole)) if item.get("hole") else whole
        if "keep" in item:
            written = written[:item["keep"]]
        if "blank" in item:
            start, end = item["blank"]
            written = written[:start] + bytes(len(written[start:end])) + written[end:]
        return whole, (sequence, whole[-16:]), written


def build(script):
    """The bytes of a script and the answer that goes with them."""
    random = Random(script.get("seed"))
    store_id, data_key = (octets(script[name]) if name in script else random(size) for name, size in (("storeId", 16), ("dataKey", 32)))
    epoch, base = script.get("epoch", 1), script.get("base", 0)
    slots = [bytes(SLOT)] * SLOTS
    for index, given in enumerate(script.get("slots", [])):
        slots[given.get("at", index)] = slot(store_id, data_key, given, random)
    log = Log(store_id, data_key, epoch, base, random)
    for item in script.get("items", []):
        log.add(item)

    header = script.get("header", {})
    common = {"storeId": store_id, "epoch": epoch, "base": base, "floor": "none", **header}
    generation = header.get("generation", 2)
    pages, floors = {}, {}
    for name in "ab":
        newer = generation % 2 == "ab".index(name)
        fields = {**common, "generation": generation if newer else abs(generation - 1), **header.get(name, {})}
        floor = fields["floor"]
        if floor == "none":
            floor = (0, NO_TAG)
        elif floor == "last":
            floor = log.tip
        else:
            floor = log._at(floor["item"]) if "item" in floor else (floor["sequence"], octets(floor["tag"]))
        fields["floor"], floors[name] = floor, floor
        pages[name] = page(data_key, slots, fields) if name in header.get("pages", "ab") else bytes(PAGE)
    data = bytearray(pages[header.get("atA", "a")] + pages[header.get("atB", "b")] + log.bytes)

    for patch in script.get("patches", []):
        at = patch["offset"] + (log.items[patch["item"]]["offset"] if "item" in patch else 0)
        if "xor" in patch:
            for index, byte in enumerate(octets(patch["xor"])):
                data[(at + index) % len(data)] ^= byte
        elif "bytes" in patch:
            data[at:at + len(octets(patch["bytes"]))] = octets(patch["bytes"])
        elif "insert" in patch:
            data[at:at] = octets(patch["insert"])
        else:
            del data[at:at + patch["remove"]]
    if "cut" in script:
        del data[script["cut"]:]
    return bytes(data), {
        "byteLength": len(data), "storeId": store_id.hex(), "dataKey": data_key.hex(), "items": log.items,
        "sequence": log.tip[0], "tag": log.tip[1].hex(), "floor": floors["ab"[generation % 2]][0],
    }


def chunked(key, value, first_item, pad=CHUNK):
    """Frames for a value in chunks: the items, to be added as items `first_item` and on, and the batch that refers to them."""
    parts = [value[at:at + CHUNK] for at in range(0, len(value), CHUNK)]
    frames = [{"type": "chunk", "body": part + bytes(-len(part) % pad)} for part in parts]
    return frames + [{"type": "batch", "ops": [{"chunks": key, "byteLength": len(value), "sequence": {"item": first_item}}]}]


def main():
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["op"] == "write":
                data, answer = build(request)
                with open(request["path"], "wb") as file:
                    file.write(data)
            else:
                answer = ANSWERS[request["op"]](request, None)
        except Refused as refused:
            answer = {"error": refused.kind, "offset": refused.offset, "why": refused.why}
        except Exception as error:
            answer = {"error": "invalid-request", "offset": None, "why": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
