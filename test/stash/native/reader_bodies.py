"""The bodies of a native stash and the tree they make, for `reader.py`: of docs/stash-format.md and of nothing else."""

import re

INTEGER_END = 1 << 53
INLINE_MAX = 32_768
VALUE_MAX = 1 << 28
KEYS_MAX = 1 << 23
NAMES_MAX = 64
UNITS_MAX = 16_383
SET, REMOVE, CHUNKED, MAKE = 1, 2, 3, 4

PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Malformed(Exception):
    """What is wrong with a body; the offset of its frame is added by the caller."""


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if length > len(self.data) - self.at:
            raise Malformed("an operation reaches over the end of the body")
        self.at += length
        return self.data[self.at - length:self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if byte == 0 and shift:
                    raise Malformed("a number is longer than it has to be")
                if value >= INTEGER_END:
                    raise Malformed("a number of 2^53 or more")
                return value
            shift += 7
            if shift > 49:
                raise Malformed("a number of 2^53 or more")

    def name(self):
        data = self.take(self.number())
        try:
            name = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Malformed("a name is not WTF-8") from None
        if PAIR.search(name):
            raise Malformed("a name has a surrogate pair as two")
        if len(name) + sum(letter > "\uffff" for letter in name) > UNITS_MAX:
            raise Malformed("a name is too long")
        return name

    def key(self, before):
        shared, count = self.number(), self.number()
        if shared > len(before):
            raise Malformed("a key shares names that the one before does not have")
        if shared + count > NAMES_MAX:
            raise Malformed("a key of more than 64 names")
        return before[:shared] + tuple(self.name() for _ in range(count))


def operations(body, is_page):
    """The operations of a body: (code, key, value or None or (length, sequence))."""
    cursor, before = Cursor(body), ()
    while cursor.at < len(body):
        code = cursor.take(1)[0]
        if code == 0:
            if any(body[cursor.at:]):
                raise Malformed("the padding is not zeros")
            return
        if code > MAKE or code == REMOVE and is_page:
            raise Malformed("no such operation")
        before = cursor.key(before)
        if not before and code != REMOVE:
            raise Malformed("a key without names")
        what = None
        if code == SET:
            length = cursor.number()
            if length > INLINE_MAX:
                raise Malformed("a value that should be in chunks")
            what = bytes(cursor.take(length))
        elif code == CHUNKED:
            what = (cursor.number(), cursor.number())
            if not INLINE_MAX < what[0] <= VALUE_MAX:
                raise Malformed("a value in chunks of a length that chunks are not for")
        yield code, before, what


class Node:
    __slots__ = ("children", "value")

    def __init__(self):
        self.children, self.value = {}, None

    def walk(self):
        """This node and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.children.values())


class Tree:
    """What the operations of all bodies have made; the value of a node is bytes, None, or (length, sequence of its first chunk)."""

    def __init__(self):
        self.root, self.count = Node(), 0

    def apply(self, body, is_page, chunks_are_there):
        for code, key, what in operations(body, is_page):
            if code == REMOVE:
                self._remove(key)
                continue
            if code == CHUNKED and not chunks_are_there(*what):
                raise Malformed("a chunk is not there")
            node = self._make(key)
            if code != MAKE:
                node.value = what

    def _make(self, key):
        node = self.root
        for name in key:
            child = node.children.get(name)
            if child is None:
                if self.count >= KEYS_MAX:
                    raise Malformed("too many keys")
                child = node.children[name] = Node()
                self.count += 1
            node = child
        return node

    def _remove(self, key):
        if not key:
            self.root, self.count = Node(), 0
            return
        node = self.root
        for name in key[:-1]:
            node = node.children.get(name)
            if node is None:
                raise Malformed("a remove of a key that is not there")
        if key[-1] not in node.children:
            raise Malformed("a remove of a key that is not there")
        self.count -= sum(1 for _ in node.children.pop(key[-1]).walk())

    def entries(self):
        """[names, value or None] in order, a key before those below it."""
        found, waiting = [], [((), self.root)]
        while waiting:
            key, node = waiting.pop()
            if key:
                found.append([list(key), node.value])
            waiting.extend((key + (name,), child) for name, child in reversed(node.children.items()))
        return found
