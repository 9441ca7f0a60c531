"""Writes header.json: two header pages, made of docs/stash-format.md alone. Needs python3-nacl.

    python3 header.py > header.json
"""

import hashlib
import hmac
import json
import struct

from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt as seal


def hkdf(key, salt, info, length):
    extracted = hmac.new(salt, key, hashlib.sha256).digest()
    result, block, counter = b"", b"", 1
    while len(result) < length:
        block = hmac.new(extracted, block + info + bytes([counter]), hashlib.sha256).digest()
        result, counter = result + block, counter + 1
    return result[:length]


def run(start, length):
    return bytes((start + index) % 256 for index in range(length))


STORE_ID, DATA_KEY, RECOVERY, KEY = run(0xA0, 16), run(0x30, 32), run(0x50, 32), run(0x70, 40)
PASSWORD = "pässword".encode("utf-8")
HEADER_KEY = hkdf(DATA_KEY, STORE_ID, b"secretbus stash 1 header pages", 32)

# What PyNaCl cannot do, which has one lane: Argon2id with the first 16 bytes of the salt, by test/stash/native/argon2.py.
ARGON2ID = bytes.fromhex("8fd459ad27492c7d72d3aad62fe43252bdf1f156c3109cbb06d450abfbd44d6f")


def slot(number, kind, derivation, parameters, secret, label):
    slot_id, salt, nonce = run(0x10 * number, 16), run(0x10 * number + 1, 32), run(0x10 * number + 2, 24)
    if derivation == 0:
        key = hkdf(secret, salt, b"secretbus stash 1 secret", 32)
    elif derivation == 1:
        log_n, r, p = parameters
        key = hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, dklen=32)
    elif derivation == 2:
        key = ARGON2ID
    else:
        key = hashlib.pbkdf2_hmac("sha512", secret, salt, parameters[0], 32)
    keys = hkdf(key, STORE_ID + slot_id, b"secretbus stash 1 slot", 64)
    head = struct.pack("<BBH3I", kind, derivation, 0, *parameters) + slot_id + salt + keys[32:]
    wrapped = seal(DATA_KEY, STORE_ID + head, nonce, keys[:32])
    made = head + nonce + wrapped + label.encode("utf-8").ljust(24, b"\0")
    assert len(made) == 192
    return made


SLOTS = [
    slot(1, 1, 1, (4, 2, 3), PASSWORD, "scrypt"),
    slot(2, 1, 2, (64, 2, 3), PASSWORD, "argon2id of 24 bytes, ü"),
    slot(3, 1, 3, (1000, 0, 0), PASSWORD, ""),
    slot(4, 2, 0, (0, 0, 0), RECOVERY, "drawer"),
    slot(5, 3, 0, (0, 0, 0), KEY, "key file"),
]


def page(generation, epoch, floor, tag, base, slots):
    text = bytes.fromhex("895342530D0A1A0A") + struct.pack("<HHI", 1, 0, 0) + STORE_ID
    text += struct.pack("<QQQ", generation, epoch, floor) + tag + struct.pack("<Q", base) + bytes(16)
    text += b"".join(slots)
    text = text.ljust(4032, b"\0")
    text += hmac.new(HEADER_KEY, text, hashlib.sha256).digest()
    return text + hashlib.sha256(text).digest()


def recovery_text():
    bits = "".join(f"{byte:08b}" for byte in RECOVERY + hashlib.sha256(RECOVERY).digest()[:3])
    digits = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(bits[at : at + 5], 2)] for at in range(0, len(bits), 5)]
    return "-".join("".join(digits[at : at + 4]) for at in range(0, len(digits), 4))


if __name__ == "__main__":
    vector = {
        "storeId": STORE_ID.hex(),
        "dataKey": DATA_KEY.hex(),
        "headerKey": HEADER_KEY.hex(),
        "password": PASSWORD.decode("utf-8"),
        "recoveryKey": recovery_text(),
        "recoveryBytes": RECOVERY.hex(),
        "key": KEY.hex(),
        "pages": [
            page(2**40 + 6, 1, 0, bytes(16), 0, SLOTS[:4]).hex(),
            page(2**40 + 7, 3, 2**52 + 9, run(0xC0, 16), 2**33 + 5, SLOTS).hex(),
        ],
    }
    print(json.dumps(vector, indent=1, ensure_ascii=False))
