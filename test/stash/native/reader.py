"""A reader of the native stash format, written from docs/stash-format.md and from nothing else.

It only reads, and is as strict as the document. Needs the standard library of Python 3.9 and PyNaCl. Beside it:
`reader_header.py`, `reader_bodies.py`, `argon2.py`.

As a library: `read(data, kind, secret)` gives a `Store` or raises `Refused`. As a command, `reader.py [FILE]`: one JSON
request a line on standard input, one JSON answer a line on standard output; bytes travel as hexadecimal, names as
JSON strings in which a lone surrogate is its own escape.

    {"op": "hello"} -> {"version": ...}
    {"op": "read", "path": FILE unless given as argument, "password" | "recovery" | "key": secret, "limits": {...}?}
    -> {"entries": [[names, value or null], ...] in the order of the tree, a key before those below it,
        "storeId", "epoch", "sequence", "tip", "floor", "base", "generation",
        "recovered": {"offset", "byteLength"} or null, "superseded": [offset, ...] of frames that were skipped,
        "slots": [{"kind", "derivation", "label", "id"}, ...]}
    or {"error": kind, "offset": number or null, "why": one sentence}
    {"op": "argon2id", "password", "salt": bytes, "memory", "passes", "lanes"} -> {"key"}

The kinds: not-a-stash, unsupported-version, damaged-header, damaged-slot, derivation-too-costly, wrong-password,
wrong-key, damaged-frame, lost-frames; invalid-request for the caller's own faults. A frame of the sequence of the floor
with another tag is a damaged-frame.
"""

import hmac
import json
import re
import struct
import sys

# No __pycache__ beside the tests.
sys.dont_write_bytecode = True

from argon2 import argon2id
from reader_bodies import INTEGER_END, Malformed, Tree
from reader_header import DERIVATIONS, FRAMES, KINDS, LIMITS, NO_TAG, Refused, hkdf, hmac256, open_sealed, open_slot, read_header, u64

HEADER = 72
CHUNK = 65_536
BODY_MIN, BODY_MAX = 17, 67_108_864
BATCH, PAGE, CHUNKS = 1, 2, 3
CANDIDATES_MAX = 4096


class Frame:
    """What 72 bytes with a right MAC say."""

    def __init__(self, data, at):
        self.length, self.kind, zero, self.unsynced, self.sequence = struct.unpack_from("<IBBHQ", data, at)
        self.previous = data[at + 16:at + 32]
        self.at, self.body = at, at + HEADER
        self.end = self.body + self.length
        self.in_range = (
            BODY_MIN <= self.length <= BODY_MAX and self.kind in (BATCH, PAGE, CHUNKS) and zero == 0 and self.sequence < INTEGER_END
        )
        # That of the last frame of which the writer knew that it was on the disk.
        self.synced = self.sequence - 1 - self.unsynced


class Store:
    """What the file holds; see `read`."""

    def __init__(self, data, header, data_key):
        self.data, self.header = data, header
        # A MAC over bytes 0 to 55 starts with these, an associated data too.
        self.context = header.store_id + u64(header.epoch)
        self.header_key, self.frame_key = (
            hkdf(data_key, header.store_id, info, 32) for info in (b"secretbus stash 1 frame headers", b"secretbus stash 1 frames")
        )
        self.tree, self.chunks = Tree(), {}
        self.skipped, self.superseded = [], set()
        self.recovered = None
        self.sequence, self.tip = header.base, NO_TAG
        self._read_log()
        for node in self.tree.root.walk():
            if isinstance(node.value, tuple):
                node.value = self._chunked(*node.value)

    def _has_mac(self, at):
        found = self.data[at:at + HEADER]
        return len(found) == HEADER and hmac.compare_digest(hmac256(self.header_key, self.context + found[:56])[:16], found[56:])

    def _decrypt(self, frame):
        """The body, or None."""
        head = self.data[frame.at:frame.body]
        return open_sealed(self.frame_key, head[32:56], self.context + head, self.data[frame.body:frame.end])

    # "Reading the log", by its numbers.

    def _read_log(self):
        at = FRAMES
        while at < len(self.data):  # 1
            frame = Frame(self.data, at) if self._has_mac(at) else None
            if frame and not frame.in_range:
                raise Refused("damaged-frame", at, "a field of a frame header, whose MAC is right, is out of range")
            if not frame or frame.end > len(self.data) or not (self._is_next(frame) or self._is_skipped(frame)):
                self._require_torn(at)
                self.recovered = (at, len(self.data) - at)
                break
            at = frame.end
        if self.sequence < self.header.floor:
            raise Refused("lost-frames", at, "the log ends below the floor")

    def _is_next(self, frame):  # 2
        if frame.sequence != self.sequence + 1 or frame.previous != self.tip:
            return False
        if frame.kind == CHUNKS:
            self.chunks[frame.sequence] = frame
        else:
            body = self._decrypt(frame)
            if body is None:
                return False
            try:
                self.tree.apply(body, frame.kind == PAGE, self._chunks_are_there)
            except Malformed as problem:
                raise Refused("damaged-frame", frame.at, str(problem)) from None
        self.sequence, self.tip = frame.sequence, self.data[frame.end - 16:frame.end]
        if self.sequence == self.header.floor and self.tip != self.header.floor_tag:
            raise Refused("damaged-frame", frame.at, "the frame of the floor has another tag")
        return True

    def _is_skipped(self, frame):  # 3
        is_old, follows = frame.sequence <= self.sequence, frame.previous in self.superseded
        decrypts = (is_old or follows) and self._decrypt(frame) is not None
        if decrypts:
            self.superseded.add(self.data[frame.end - 16:frame.end])
        if is_old or decrypts:
            self.skipped.append(frame.at)
        return is_old or decrypts

    # What has its fields in range, so that a MAC is worth while, but for the exact length.
    CANDIDATE = re.compile(rb"(?=.{3}[\x00-\x04][\x01-\x03]\x00.{8}[\x00-\x1f]\x00)", re.DOTALL)

    def _require_torn(self, hole):  # 4
        wrong = 0
        for match in self.CANDIDATE.finditer(self.data, hole):
            at = match.start()
            if len(self.data) - at < HEADER:
                return
            frame = Frame(self.data, at)
            if not frame.in_range:
                continue
            if not self._has_mac(at):
                wrong += 1
                if wrong == CANDIDATES_MAX:
                    raise Refused("damaged-frame", hole, "too much that looks like a frame")
            elif frame.synced > self.sequence:
                raise Refused("damaged-frame", hole, f"the frame at {at} was written when this one was on the disk")
            elif at == hole and frame.synced == self.sequence and frame.previous != self.tip:
                raise Refused("damaged-frame", hole, "the frame was written when another one was before it")

    # Chunks.

    def _chunks_are_there(self, length, first):
        return all(first + index in self.chunks for index in range(-(-length // CHUNK)))

    def _chunked(self, length, first):
        value = b""
        for index in range(-(-length // CHUNK)):
            frame, rest = self.chunks[first + index], min(CHUNK, length - len(value))
            body = self._decrypt(frame)
            if body is None:
                raise Refused("damaged-frame", frame.at, "a chunk does not decrypt")
            if not rest <= len(body) <= CHUNK:
                raise Refused("damaged-frame", frame.at, "a chunk has the wrong length")
            if any(body[rest:]):
                raise Refused("damaged-frame", frame.at, "the end of the last chunk is not zeros")
            value += body[:rest]
        return value


def read(data, kind, secret, limits=None):
    """A `Store` from the bytes of a file; `kind` is "password", "recovery" or "key". Raises `Refused`."""
    header = read_header(data)
    number = next(number for number, name in KINDS.items() if name == kind)
    data_key = open_slot(header, number, secret, {**LIMITS, **(limits or {})})
    page_key = hkdf(data_key, header.store_id, b"secretbus stash 1 header pages", 32)
    if not hmac.compare_digest(hmac256(page_key, header.page[:4032]), header.page[4032:4064]):
        raise Refused("damaged-header", header.offset, "the HMAC is wrong")
    return Store(data, header, data_key)


# --- the command --------------------------------------------------------------------------------------------------


def answer_read(request, path):
    given = [name for name in ("password", "recovery", "key") if name in request]
    if len(given) != 1:
        raise Refused("invalid-request", None, "one of password, recovery and key")
    with open(request.get("path", path), "rb") as file:
        data = file.read()
    store = read(data, given[0], bytes.fromhex(request[given[0]]), request.get("limits"))
    header = store.header
    return {
        "entries": [[names, None if value is None else value.hex()] for names, value in store.tree.entries()],
        "storeId": header.store_id.hex(),
        "epoch": header.epoch,
        "generation": header.generation,
        "base": header.base,
        "sequence": store.sequence,
        "tip": store.tip.hex(),
        "floor": header.floor,
        "recovered": store.recovered and {"offset": store.recovered[0], "byteLength": store.recovered[1]},
        "superseded": store.skipped,
        "slots": [
            {"kind": KINDS[slot.kind], "derivation": DERIVATIONS[slot.derivation], "label": slot.label, "id": slot.id.hex()}
            for slot in header.slots
        ],
    }


def answer_argon2id(request, _path):
    secret, salt = (bytes.fromhex(request[name]) for name in ("password", "salt"))
    return {"key": argon2id(secret, salt, request["memory"], request["passes"], request["lanes"], 32).hex()}


ANSWERS = {
    "hello": lambda _request, _path: {"version": sys.version},
    "read": answer_read,
    "argon2id": answer_argon2id,
}


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = ANSWERS[request["op"]](request, path)
        except Refused as refused:
            answer = {"error": refused.kind, "offset": refused.offset, "why": refused.why}
        except Exception as error:
            answer = {"error": "invalid-request", "offset": None, "why": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
