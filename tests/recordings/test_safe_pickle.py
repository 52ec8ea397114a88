"""Hostile and damaged pickles: refused before anything is built, by hand-written steps that call nothing the file names."""

import contextlib
import io
import pickle
import pickletools
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raylab.errors import RecordingError
from raylab.recordings.safe_pickle import read_pickle

ARRAY, TYPE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"


def _int(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _bytes(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def _shape(*lengths: int) -> bytes:
    return b"(" + b"".join(map(_int, lengths)) + b"t"


def _blank() -> bytes:
    return RECONSTRUCT + b"(" + ARRAY + _shape(0) + _bytes(b"b") + b"tR"


def _type(code: str, state: bytes = b"") -> bytes:
    return TYPE + b"(" + _text(code) + b"\x89\x88tR" + state


def _array(code: str, shape: bytes, data: bytes) -> bytes:
    return _blank() + b"(" + _int(1) + shape + _type(code) + b"\x89" + data + b"tb"


def _load(folder: Path, data: bytes) -> Any:
    (folder / "a.pkl").write_bytes(data)
    return read_pickle(folder, "a.pkl", "S2")


ATTACKS = {
    "ndarray over a buffer of object pointers": ARRAY + b"(" + _shape(4) + _text("O") + _bytes(b"A" * 32) + b"tR",
    "ndarray over another array": _array("u8", _shape(1), _bytes(bytes(8)))
    + b"0"
    + ARRAY
    + b"("
    + _shape(1)
    + _text("u8")
    + b"NtR",
    "ndarray of uninitialised memory": ARRAY + b"(" + _shape(1920, 3) + _text("f8") + b"tR",
    "ndarray of 300 MB": ARRAY + b"(" + _shape(300_000_000, 1) + _text("u1") + b"tR",
    "array of objects": _array("O", _shape(1), b"]Na"),
    "array of records": _array("f8,O", _shape(1), _bytes(bytes(16))),
    "array of raw memory": _array("V8", _shape(1), _bytes(bytes(8))),
    "array of dates": _array("M8", _shape(1), _bytes(bytes(8))),
    "type of fields": _type("f8", b"(" + _int(3) + _text("<") + b"N(tN" + _int(-1) * 2 + _int(0) + b"tb"),
    "type of another size": _type("f8", b"(" + _int(3) + _text("<") + b"NNN" + _int(800) + _int(-1) + _int(0) + b"tb"),
    "shape larger than the bytes": _array("f8", _shape(1000), _bytes(bytes(8))),
    "shape smaller than the bytes": _array("f8", _shape(1), _bytes(bytes(16))),
    "negative shape": _array("f8", _shape(-1, -1), _bytes(bytes(8))),
    "shape whose product overflows": _array("u1", _shape(2**32, 2**32), _bytes(b"")),
    "empty shape of huge sides": _array("u1", _shape(0, 2**62), _bytes(b"")),
    "text of no width": _array("S0", _shape(2**40), _bytes(b"")),
    "array without contents": _blank(),
    "array filled twice": _array("u1", _shape(1), _bytes(b"a"))
    + b"("
    + _int(1)
    + _shape(1)
    + _type("u1")
    + b"\x89"
    + _bytes(b"a")
    + b"tb",
    "state of a list": b"](" + _int(1) + b"tb",
    "reconstruct of another class": RECONSTRUCT + b"(" + TYPE + _shape(0) + _bytes(b"b") + b"tR",
    "reconstruct of a size": RECONSTRUCT + b"(" + ARRAY + _shape(10**9) + _bytes(b"b") + b"tR",
    "scalar of too few bytes": b"cnumpy.core.multiarray\nscalar\n(" + _type("f8") + _bytes(b"abc") + b"tR",
    "buffer of too few bytes": b"cnumpy.core.numeric\n_frombuffer\n("
    + _bytes(b"abc")
    + _type("f8")
    + _shape(9)
    + _text("C")
    + b"tR",
    "encode by another codec": b"c_codecs\nencode\n(" + _text("a") + _text("zlib_codec") + b"tR",
    "bytes of a length": b"cbuiltins\nbytes\n(" + _int(10**9) + b"tR",
    "a name as the result": ARRAY,
    "a type as the result": _type("f8"),
    "a call of an array": _array("u1", _shape(1), _bytes(b"a")) + b"(tR",
    "memo place beyond the file": b"]r" + struct.pack("<I", 2**26 - 1),
    "memo place by PUT": b"]p99999999999\n",
    "a byte string longer than the file": b"B" + struct.pack("<I", 2**32 - 1) + b"a",
    "a byte string of 8 exabytes": b"\x8e" + struct.pack("<Q", 2**62) + b"a",
    "a number of 2 GB": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a",
    "a decimal number of 100 kB": b"L" + b"9" * 100_000 + b"L\n",
    "deep lists": b"]" * 100_000 + b"a" * 99_999,
    "deep tuples as a key": b"})" + b"\x85" * 100_000 + b"Ns",
    "deep tuples in a set": b"\x8f()" + b"\x85" * 100_000 + b"\x90",
    "many containers": b"]" * 600_000,
    "a class by OBJ": b"(" + ARRAY + b"o",
    "a class by INST": b"(inumpy\nndarray\n",
    "a class by NEWOBJ": ARRAY + b")\x81",
    "an extension": b"\x82\x01",
    "a persistent object": b"Pa\n",
    "a buffer out of band": b"\x97",
    "a pop of nothing": b"0",
    "an append to a number": b"K\x01K\x02a",
    "items without a mark": b"]K\x01e",
    "a place of the memo that is empty": b"h\x05",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_pickle_is_refused_in_little_memory(tmp_path: Path, attack: str) -> None:
    """Every one by file, participant and remedy, and with memory in proportion to the file."""
    data = b"\x80\x04" + ATTACKS[attack] + b"."
    tracemalloc.start()
    try:
        with pytest.raises(
            RecordingError, match=r"participant S2, .*file .*a\.pkl: cannot be unpickled .*never open it with plain pickle"
        ):
            _load(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(data) + 100_000_000
    finally:
        tracemalloc.stop()


def test_the_same_bytes_are_not_copied_without_end(tmp_path: Path) -> None:
    """A text of 100 kB that is encoded a thousand times would take 100 MB."""
    once = b"c_codecs\nencode\n(" + b"h\x01" + _text("latin1") + b"tR"
    data = b"\x80\x02" + _text("a" * 100_000) + b"q\x010(" + 1000 * once + b"l."
    with pytest.raises(RecordingError, match="many copies of the same bytes"):
        _load(tmp_path, data)


VALUES: dict[str, Any] = {
    "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "columns": np.asfortranarray(np.ones((3, 4))),
    "strided": np.arange(6, dtype=np.float16)[::2],
    "other byte order": np.arange(2000, dtype=">i4"),
    "text": np.array(["ab", "ü"]),
    "byte text": np.array([b"ab", b"c"]),
    "boolean": np.array([True, False]),
    "long": np.longdouble(2.5),
    "scalar": np.float32(3),
    "empty bytes": b"",
    "nested": {1: {"two": [3, (4, 5, 6, 7)], None: -(10**50)}, "ü": True},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", VALUES)
def test_arrays_come_back_as_unpickled(tmp_path: Path, name: str, protocol: int) -> None:
    """Type, shape, memory order and bytes are those that pickle gives."""
    data = pickle.dumps([VALUES[name]] * 2, protocol)
    for found, expected in zip(_load(tmp_path, data), pickle.loads(data), strict=True):
        if isinstance(expected, np.ndarray):
            assert (found.dtype, found.shape, found.strides) == (expected.dtype, expected.shape, expected.strides)
            np.testing.assert_array_equal(found, expected, strict=True)
        else:
            assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("protocol", [0, 2])
def test_files_of_python_2_open(tmp_path: Path, protocol: int) -> None:
    """WESAD was pickled by Python 2: names and bytes of arrays are strings of 8 bits."""
    raw = np.arange(300.0).tobytes()
    plain = repr(raw)[1:].encode() if protocol == 0 else b""
    string = b"S" + plain + b"\n" if protocol == 0 else b"T" + struct.pack("<i", len(raw)) + raw

    def short(value: bytes) -> bytes:
        return b"S'" + value + b"'\n" if protocol == 0 else b"U" + bytes([len(value)]) + value

    data = b"}" + short(b"signal") + RECONSTRUCT + b"(" + ARRAY + b"(I0\nt" + short(b"b") + b"tRp1\n"
    number_type = TYPE + b"(" + short(b"f8") + b"I0\nI1\ntRp2\n(I3\n" + short(b"<") + b"NNNI-1\nI-1\nI0\ntb"
    data += b"(I1\n(I100\nI3\nt" + number_type + b"I00\n" + string + b"tbs."
    expected = pickle.loads(data, encoding="latin1")
    found = _load(tmp_path, data)
    np.testing.assert_array_equal(found["signal"], expected["signal"], strict=True)
    np.testing.assert_array_equal(found["signal"], np.arange(300.0).reshape(100, 3), strict=True)


def test_no_mutation_of_a_good_file_does_more_than_be_refused(tmp_path: Path) -> None:
    """2,000 flips and cuts of bytes: an object of plain kinds, or a sentence."""
    rng = np.random.default_rng(16)
    value = {
        "signal": {"wrist": {"EDA": np.arange(40.0).reshape(-1, 1), "BVP": np.arange(9, dtype=np.float32)}},
        "label": np.zeros(5),
    }
    seeds = [bytearray(pickle.dumps(value, protocol)) for protocol in (0, 2, 4, 5)]
    refused = 0
    for number in range(2000):
        data = bytearray(seeds[number % 4])
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        try:
            _load(tmp_path, bytes(data[: rng.integers(len(data))] if number % 10 == 0 else data))
        except RecordingError:
            refused += 1
    assert refused > 400


def test_every_step_of_a_pickle_is_known_or_refused(tmp_path: Path) -> None:
    """No opcode alone does anything but end in a value or in a sentence."""
    for opcode in pickletools.opcodes:
        for rest in (b"", b"\x00" * 16, b"a\nb\n"):
            with contextlib.suppress(RecordingError):
                _load(tmp_path, opcode.code.encode("latin1") + rest + b".")


def test_the_dumped_attack_is_one(tmp_path: Path) -> None:
    """The builder of the attacks writes arrays as numpy does: the sound version of each part opens, with pickle and here."""
    data = b"\x80\x04" + _array("f8", _shape(2), _bytes(np.array([1.0, 2.0]).tobytes())) + b"."
    np.testing.assert_array_equal(pickle.load(io.BytesIO(data)), _load(tmp_path, data), strict=True)
