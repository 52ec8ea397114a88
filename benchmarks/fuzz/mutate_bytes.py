"""Damage to files as bytes: flipped bits, cut ends, moved pieces, and lengths that lie."""

import pickletools
import random
import re
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache

Mutator = Callable[[bytes, random.Random], bytes]

# Numbers at the edges of what lengths, counts and offsets can be.
EDGES = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 10**6, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**40, 2**63 - 1)
HEAD, TAIL = 256, 512  # bytes in which most formats keep what describes the rest
MOST_HOT = 20_000


@lru_cache(maxsize=64)
def _hot_positions(data: bytes) -> tuple[int, ...]:
    """Positions of the bytes that describe others: the head, the end, opcodes of a pickle, tags of a .mat file."""
    size = len(data)
    hot = [*range(min(HEAD, size)), *range(max(0, size - TAIL), size)]
    if data[:1] == b"\x80":
        try:
            hot += [position for _, _, position in pickletools.genops(data) if position is not None]
        except Exception:  # a seed that is no pickle after all
            return tuple(hot)
    elif data.startswith(b"MATLAB"):
        # Tags of elements stand at multiples of 8: a type of one byte, three zeros, a size.
        tags = re.finditer(rb"[\x01-\x12]\x00\x00\x00", data[:4_000_000])
        hot += [match.start() + step for match in tags if match.start() % 8 == 0 for step in range(8)]
    return tuple(hot[:MOST_HOT])


def _position(data: bytes, rng: random.Random) -> int:
    """A position in the data, three times of four one that describes others."""
    if not data:
        return 0
    hot = _hot_positions(data) if rng.random() < 0.75 else ()
    return min(rng.choice(hot), len(data) - 1) if hot else rng.randrange(len(data))


def _put(data: bytes, position: int, piece: bytes) -> bytes:
    """The data with a piece in the place of as many bytes."""
    return data[:position] + piece + data[position + len(piece) :]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """One to four flipped bits."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4)) if data else 0):
        damaged[_position(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def set_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to eight bytes replaced by one value or by random ones."""
    count = rng.choice((1, 1, 2, 4, 8))
    piece = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))]) * count if rng.random() < 0.5 else rng.randbytes(count)
    return _put(data, _position(data, rng), piece)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """The first part; sometimes nothing."""
    if rng.random() < 0.1:
        return data[: rng.randrange(10)]
    return data[: _position(data, rng)]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    """Without a piece."""
    first = _position(data, rng)
    return data[:first] + data[first + _piece_length(rng) :]


def splice(data: bytes, rng: random.Random) -> bytes:
    """A piece of the file over, or before, another place in it."""
    first, target = _position(data, rng), _position(data, rng)
    piece = data[first : first + _piece_length(rng)]
    return _put(data, target, piece) if rng.random() < 0.5 else data[:target] + piece + data[target:]


def append(data: bytes, rng: random.Random) -> bytes:
    """More bytes at the end: random ones, zeros or the file again."""
    return data + rng.choice((rng.randbytes(_piece_length(rng)), bytes(_piece_length(rng)), data))


def set_length(data: bytes, rng: random.Random) -> bytes:
    """An integer of 1 to 8 bytes set to an edge, or to the size of the file and its neighbours."""
    form = rng.choice(("B", "<H", "<I", "<I", "<Q", ">H", ">I", ">Q"))
    value = rng.choice((*EDGES, len(data), len(data) + 1, len(data) - 1, 10 * len(data), rng.getrandbits(32)))
    return _put(data, _position(data, rng), struct.pack(form, value & ((1 << 8 * struct.calcsize(form)) - 1)))


def nudge_length(data: bytes, rng: random.Random) -> bytes:
    """An integer of 4 bytes, a little larger or smaller."""
    position = _position(data, rng)
    field = data[position : position + 4]
    if len(field) < 4:
        return set_bytes(data, rng)
    value = int.from_bytes(field, "little") + rng.choice((-8, -4, -1, 1, 4, 8, 256))
    return _put(data, position, (value & 0xFFFFFFFF).to_bytes(4, "little"))


def _piece_length(rng: random.Random) -> int:
    return rng.choice((1, 2, 4, 8, 16, 64, 256, 4096))


# Steps of a pickle that build, call or multiply something; a valid one does without them or with other arguments.
_STEPS = (
    b"cnumpy\nndarray\n", b"cbuiltins\neval\n", b"cos\nsystem\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"R", b"b", b"(", b"t", b"0",
    b"2", b"l", b"d", b"}", b")", b".", b"Q", b"\x81", b"\x92", b"\x93", b"\x94", b"h\x00", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\xff",
    b"\x8b\xff\xff\xff\x7f" + bytes(8), b"B\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"J\xff\xff\xff\x7f", b"K\x00", b"M\xff\xff", b"N",
    b"\x95" + b"\xff" * 8, b"(" * 5000, b"]" * 5000, b"U\x04aaaa", b"I99999999999\n", b"G" + struct.pack(">d", float("nan")),
)  # fmt: skip


def pickle_step(data: bytes, rng: random.Random) -> bytes:
    """A step that valid files do not have, before or over one of the steps."""
    position, step = _position(data, rng), rng.choice(_STEPS)
    return _put(data, position, step) if rng.random() < 0.4 else data[:position] + step + data[position:]


BINARY: Sequence[Mutator] = (
    flip_bits, flip_bits, set_bytes, truncate, cut_out, splice, append, set_length, set_length, nudge_length,
)  # fmt: skip
PICKLE: Sequence[Mutator] = (*BINARY, pickle_step, pickle_step, pickle_step)
