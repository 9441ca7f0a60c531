"""The header pages and key slots of a native stash, for `reader.py`: of docs/stash-format.md and of nothing else."""

import hashlib
import hmac
import struct
import sys

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt as aead_decrypt
from nacl.exceptions import CryptoError

# No __pycache__ beside the tests.
sys.dont_write_bytecode = True

from argon2 import argon2id

MAGIC = bytes.fromhex("89534253 0D0A1A0A")
PAGE = 4096
FRAMES = 2 * PAGE
SLOT = 192
SLOTS = 20
INTEGER_END = 1 << 53
NO_TAG = bytes(16)

KINDS = {1: "password", 2: "recovery", 3: "key"}
DERIVATIONS = {0: "none", 1: "scrypt", 2: "argon2id", 3: "pbkdf2"}
LIMITS = {"memory": 1 << 30, "passes": 16, "lanes": 16, "iterations": 1 << 24, "logN": 24, "r": 32}


class Refused(Exception):
    def __init__(self, kind, offset, why):
        super().__init__(f"{kind} at {offset}: {why}")
        self.kind, self.offset, self.why = kind, offset, why


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.digest(key, data, "sha256")


def hkdf(key, salt, info, length):
    """HKDF-SHA-256, RFC 5869."""
    prk, block, out, count = hmac256(salt, key), b"", b"", 0
    while len(out) < length:
        count += 1
        block = hmac256(prk, block + info + bytes([count]))
        out += block
    return out[:length]


def u64(number):
    return struct.pack("<Q", number)


def open_sealed(key, nonce, associated, sealed):
    """The plaintext, or None."""
    try:
        return aead_decrypt(bytes(sealed), bytes(associated), bytes(nonce), bytes(key))
    except CryptoError:
        return None


def derive(derivation, parameters, secret, salt):
    """K of a slot whose parameters have been bounded."""
    a, b, c = parameters
    if derivation == 0:
        return hkdf(secret, salt, b"secretbus stash 1 secret", 32)
    if derivation == 1:
        memory = 128 * b * ((1 << a) + c + 4)
        return hashlib.scrypt(secret, salt=salt, n=1 << a, r=b, p=c, maxmem=memory + (1 << 20), dklen=32)
    if derivation == 2:
        return argon2id(secret, salt[:16], a, b, c, 32)
    return hashlib.pbkdf2_hmac("sha512", secret, salt, a, 32)


class Header:
    def __init__(self, page, offset):
        self.page, self.offset = page, offset
        self.version, self.features, zero = struct.unpack_from("<HHI", page, 8)
        if self.version != 1 or self.features != 0:
            raise Refused("unsupported-version", offset, f"version {self.version}, features {self.features}")
        self.store_id = page[16:32]
        self.generation, self.epoch, self.floor = struct.unpack_from("<3Q", page, 32)
        self.floor_tag = page[56:72]
        (self.base,) = struct.unpack_from("<Q", page, 72)
        if zero or any(page[80:96]) or any(page[3936:4032]):
            raise Refused("damaged-header", offset, "a reserved byte is not zero")
        if self.epoch == 0:
            raise Refused("damaged-header", offset, "epoch 0")
        if max(self.generation, self.epoch, self.base, self.floor) >= INTEGER_END:
            raise Refused("damaged-header", offset, "a number of 2^53 or more")
        if self.floor == 0 and self.floor_tag != NO_TAG:
            raise Refused("damaged-header", offset, "a tag without a floor")
        if 0 < self.floor <= self.base:
            raise Refused("damaged-header", offset, "a floor before the first frame")
        self.slots = [slot for slot in map(self._slot, range(SLOTS)) if slot]

    def _slot(self, index):
        at = 96 + index * SLOT
        data, offset = self.page[at:at + SLOT], self.offset + at
        return Slot(data, offset) if data[0] else self._free(data, offset)

    @staticmethod
    def _free(data, offset):
        if any(data):
            raise Refused("damaged-slot", offset, "a free slot is not zeros")


class Slot:
    def __init__(self, data, offset):
        self.data, self.offset = data, offset
        self.kind, self.derivation = data[0], data[1]
        self.parameters = struct.unpack_from("<3I", data, 4)
        self.id, self.salt, self.commitment = data[16:32], data[32:64], data[64:96]
        self.nonce, self.wrapped = data[96:120], data[120:168]
        label = data[168:].rstrip(b"\0")
        try:
            self.label = label.decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged("the label is not UTF-8") from None
        if b"\0" in label:
            raise self.damaged("a zero inside the label")
        if data[2] or data[3]:
            raise self.damaged("a reserved byte is not zero")
        if self.kind > 3 or self.derivation > 3 or (self.kind == 1) != (self.derivation > 0):
            raise self.damaged("no such kind and derivation")
        a, b, c = self.parameters
        if self.derivation in (0, 3) and (b or c) or self.derivation == 0 and a:
            raise self.damaged("a parameter that is not used is not zero")
        if self.derivation and a == 0 or self.derivation in (1, 2) and (b == 0 or c == 0):
            raise self.damaged("a parameter is zero")
        if self.derivation == 1 and a >= 16 * b:
            raise self.damaged("scrypt is not defined for an N of 2^(16 r) or more")
        if self.derivation == 2 and a < 8 * c:
            raise self.damaged("Argon2 memory below 8 KiB a lane")

    def damaged(self, why):
        return Refused("damaged-slot", self.offset, why)

    def too_costly(self, limits):
        a, b, c = self.parameters
        if self.derivation == 1:
            return a > limits["logN"] or b > limits["r"] or c > limits["lanes"] or 128 * b << a > limits["memory"]
        if self.derivation == 2:
            return a * 1024 > limits["memory"] or b > limits["passes"] or c > limits["lanes"]
        return self.derivation == 3 and a > limits["iterations"]

    def data_key(self, secret, store_id):
        """The data key, or None when this is not the secret of the slot."""
        derived = derive(self.derivation, self.parameters, secret, self.salt)
        both = hkdf(derived, store_id + self.id, b"secretbus stash 1 slot", 64)
        if not hmac.compare_digest(both[32:], self.commitment):
            return None
        key = open_sealed(both[:32], self.nonce, store_id + self.data[:96], self.wrapped)
        if key is None:
            raise self.damaged("the commitment is right, the wrapped key is not")
        return key


def read_header(data):
    """The header in force, of which all is checked but the HMAC."""
    pages = [(offset, data[offset:offset + PAGE]) for offset in (0, PAGE)]
    marked = [(offset, page) for offset, page in pages if page.startswith(MAGIC)]
    if not marked:
        raise Refused("not-a-stash", 0, "no magic")
    whole = []
    for offset, page in marked:
        if len(page) < PAGE:
            continue
        (generation,) = struct.unpack_from("<Q", page, 32)
        if sha256(page[:4064]) == page[4064:] and offset == generation % 2 * PAGE:
            whole.append((generation, offset, page))
    if not whole:
        raise Refused("damaged-header", marked[0][0], "no page has a right SHA-256 in its place")
    _, offset, page = max(whole)
    header = Header(page, offset)
    if len(data) < FRAMES:
        raise Refused("damaged-header", len(data), "the file ends within the header pages")
    return header


def open_slot(header, kind, secret, limits):
    wrong = "wrong-password" if kind == 1 else "wrong-key"
    if kind == 2 and len(secret) != 32 or kind == 3 and not 32 <= len(secret) <= 1 << 20:
        raise Refused(wrong, None, "a secret of this length opens nothing")
    costly = None
    for slot in header.slots:
        if slot.kind != kind:
            continue
        if slot.too_costly(limits):
            costly = costly or slot
            continue
        key = slot.data_key(secret, header.store_id)
        if key is not None:
            return key
    if costly:
        raise Refused("derivation-too-costly", costly.offset, "a slot asks for more than the limits")
    raise Refused(wrong, None, "no slot opens")
