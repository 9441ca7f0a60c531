"""Argon2id of RFC 9106 in plain Python, for the reader: libsodium's takes one lane only. Slow: some 5 MiB a second."""

import hashlib
import struct

WORD = (1 << 64) - 1
LOW = (1 << 32) - 1


def _round(v, indices):
    """The BLAKE2b round of Argon2 on sixteen words of `v`."""
    def mix(a, b, c, d):
        va, vb, vc, vd = v[a], v[b], v[c], v[d]
        va = (va + vb + 2 * (va & LOW) * (vb & LOW)) & WORD
        vd ^= va
        vd = (vd >> 32 | vd << 32) & WORD
        vc = (vc + vd + 2 * (vc & LOW) * (vd & LOW)) & WORD
        vb ^= vc
        vb = (vb >> 24 | vb << 40) & WORD
        va = (va + vb + 2 * (va & LOW) * (vb & LOW)) & WORD
        vd ^= va
        vd = (vd >> 16 | vd << 48) & WORD
        vc = (vc + vd + 2 * (vc & LOW) * (vd & LOW)) & WORD
        vb ^= vc
        v[a], v[b], v[c], v[d] = va, (vb >> 63 | vb << 1) & WORD, vc, vd

    i = indices
    for column in range(4):
        mix(i[column], i[column + 4], i[column + 8], i[column + 12])
    for column in range(4):
        mix(i[column], i[4 + (column + 1) % 4], i[8 + (column + 2) % 4], i[12 + (column + 3) % 4])


_ROWS = [[16 * row + i for i in range(16)] for row in range(8)]
_COLUMNS = [[2 * column + 16 * (i // 2) + i % 2 for i in range(16)] for column in range(8)]


def _compress(x, y):
    mixed = [a ^ b for a, b in zip(x, y)]
    kept = mixed[:]
    for indices in _ROWS + _COLUMNS:
        _round(mixed, indices)
    return [a ^ b for a, b in zip(kept, mixed)]


def _long_hash(data, length):
    data = struct.pack("<I", length) + data
    if length <= 64:
        return hashlib.blake2b(data, digest_size=length).digest()
    block = hashlib.blake2b(data).digest()
    out = b""
    while length - len(out) > 64:
        out += block[:32]
        left = length - len(out)
        block = hashlib.blake2b(block, digest_size=min(64, left)).digest()
    return out + block


def argon2id(password, salt, memory, passes, lanes, length):
    """The tag of a password; `memory` in KiB."""
    first = hashlib.blake2b(
        struct.pack("<6I", lanes, length, memory, passes, 0x13, 2)
        + struct.pack("<I", len(password)) + password + struct.pack("<I", len(salt)) + salt + bytes(8)
    ).digest()
    segment = memory // (4 * lanes)
    width = 4 * segment
    blocks = [[None] * width for _ in range(lanes)]
    for lane in range(lanes):
        for column in (0, 1):
            blocks[lane][column] = list(struct.unpack("<128Q", _long_hash(first + struct.pack("<2I", column, lane), 1024)))
    zero = [0] * 128
    for turn in range(passes):
        for part in range(4):
            for lane in range(lanes):
                row, addresses = blocks[lane], None
                for index in range(2 if turn == 0 and part == 0 else 0, segment):
                    column = part * segment + index
                    before = row[column - 1]
                    if turn == 0 and part < 2:
                        if addresses is None or index % 128 == 0:
                            seed = [turn, lane, part, width * lanes, passes, 2, index // 128 + 1] + [0] * 121
                            addresses = _compress(zero, _compress(zero, seed))
                        chosen = addresses[index % 128]
                    else:
                        chosen = before[0]
                    other = lane if turn == 0 and part == 0 else (chosen >> 32) % lanes
                    size = part * segment if turn == 0 else width - segment
                    size += index - 1 if other == lane else (-1 if index == 0 else 0)
                    low = chosen & LOW
                    place = size - 1 - (size * (low * low >> 32) >> 32)
                    start = 0 if turn == 0 or part == 3 else (part + 1) * segment
                    block = _compress(before, blocks[other][(start + place) % width])
                    row[column] = block if turn == 0 else [a ^ b for a, b in zip(block, row[column])]
    last = zero
    for row in blocks:
        last = [a ^ b for a, b in zip(last, row[-1])]
    return _long_hash(struct.pack("<128Q", *last), length)
