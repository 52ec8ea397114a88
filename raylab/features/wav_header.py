"""The sizes in the header of a .wav file: whole, cut short, or unknown to the program that streamed it."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# A program that writes to a pipe does not know the size: it writes 0, the largest number (0xffffffff, 0x7fffffff, SoX 0x7ffff024), or a round
# one (2,000,000,000). A sound that is used here is seconds long, 1 GB is an hour and a half at least.
_UNKNOWN = 1_000_000_000
_CHUNK, _HEAD = 8, 12
_MOST_CHUNKS = 1000


@dataclass(frozen=True)
class WavSizes:
    """Sizes in bytes.

    Attributes:
        data_start: place of the first byte of the sound.
        block: bytes of one sample of all channels; 1 if the header does not say.
        declared: size of the file, as the header gives it.
        available: size of the file.
        declared_data: size of the sound, as the header gives it.
        ends_in_parts: whether other parts follow the sound, to the end of the file: then the sound's size is what it says.
    """

    data_start: int
    block: int
    declared: int
    available: int
    declared_data: int
    ends_in_parts: bool = False

    @property
    def available_data(self) -> int:
        """From the first byte of the sound to the end of the file."""
        return self.available - self.data_start

    @property
    def is_unknown(self) -> bool:
        """Whether the size of the sound was unknown to the program that wrote it."""
        if self.declared_data == 0:
            return self.available_data >= self.block and not self.ends_in_parts
        return self.declared_data >= _UNKNOWN and self.available_data < self.declared_data

    @property
    def missing(self) -> int:
        """Bytes that the header declares and the file does not have; a last byte that only fills up a pair does not count."""
        if self.is_unknown:
            return 0
        lacking = max(0, self.declared_data - self.available_data)
        if self.declared < _UNKNOWN:
            lacking = max(lacking, self.declared - self.declared_data % 2 - self.available)
        return lacking


def wav_sizes(path: Path) -> WavSizes | None:
    """The sizes in the header; None if the file is no RIFF file, or has no sound part that they could be read from."""
    available, block = path.stat().st_size, 1
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if len(head) < _HEAD or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        declared, place = struct.unpack("<I", head[4:8])[0] + _CHUNK, _HEAD
        for _ in range(_MOST_CHUNKS):
            file.seek(place)
            chunk = file.read(_CHUNK)
            if len(chunk) < _CHUNK:
                break
            size = struct.unpack("<I", chunk[4:])[0]
            if chunk[:4] == b"data":
                start = place + _CHUNK
                return WavSizes(
                    start, block, declared, available, size, _ends_in_parts(file, start + size + size % 2, available)
                )
            if chunk[:4] == b"fmt ":
                block = struct.unpack("<H", (file.read(14) + bytes(14))[12:14])[0] or 1
            place += _CHUNK + size + size % 2
    return WavSizes(available, 1, declared, available, 0) if declared > available and declared < _UNKNOWN else None


def _ends_in_parts(file: BinaryIO, place: int, end: int) -> bool:
    """Whether parts with names of letters follow from here on and fill the file exactly."""
    n_parts = 0
    while place < end and n_parts < _MOST_CHUNKS:
        file.seek(place)
        chunk = file.read(_CHUNK)
        if len(chunk) < _CHUNK or not chunk[:4].strip().isalnum():
            return False
        size = struct.unpack("<I", chunk[4:])[0]
        place, n_parts = place + _CHUNK + size + size % 2, n_parts + 1
    return n_parts > 0 and place in (end, end + 1)


def with_true_sizes(path: Path, sizes: WavSizes) -> bytes:
    """The file with the sizes that it has, for a library that believes the header."""
    data = bytearray(path.read_bytes())
    n_bytes = sizes.available_data - sizes.available_data % sizes.block
    del data[sizes.data_start + n_bytes :]
    data[4:8] = struct.pack("<I", len(data) - _CHUNK)
    data[sizes.data_start - 4 : sizes.data_start] = struct.pack("<I", n_bytes)
    return bytes(data)
