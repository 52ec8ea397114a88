"""A reader that is fuzzed, and the table of all of them by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from benchmarks.fuzz.mutate_bytes import Mutator

# Name of a reader to the module that has it in its READERS. A process loads only the module of the reader that it is for.
MODULES: dict[str, str] = {
    **dict.fromkeys(
        (
            "tables",
            "dataset_yaml",
            "traits",
            "e4",
            "questionnaires",
            "kemocon",
            "wesad",
            "amigos",
            "amigos_original",
            "ascertain",
            "case",
        ),
        "of_recordings",
    ),
    "wav": "of_sounds",
    **dict.fromkeys(("card", "resealed_card", "windows", "study", "run", "predictions", "lease"), "of_runs"),
    **dict.fromkeys(("model", "live_wav", "live_lines"), "of_models"),
}
SELF_TEST: dict[str, str] = {"faults": "of_faults"}  # no reader of raylab's


class UnlikeSeedError(Exception):
    """An input that was accepted and is not what was written, or holds what no reader may let through."""


@dataclass(frozen=True)
class FuzzedReader:
    """A reader, and how it is fuzzed.

    Attributes:
        about: what is read and what is damaged.
        seed: writes a small valid input into an empty folder.
        targets: patterns of the files that are damaged.
        read: reads the input; what it returns is compared with the seed's if ``notices_all``, unless it is None.
        notices_all: whether every change of the content has to be noticed, because a digest covers it.
        binary: whether the input is no text.
        folder: name of the input's folder.
        mutators: ending of a name to the damage of such files, beside ``benchmarks.fuzz.damage.MUTATORS``.
    """

    about: str
    seed: Callable[[Path], None]
    targets: tuple[str, ...]
    read: Callable[[Path], object]
    notices_all: bool = False
    binary: bool = False
    folder: str = "input"
    mutators: Mapping[str, Sequence[Mutator]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Inputs of one night: 100,000 of a text reader, 10,000 of a binary one."""
        return 10_000 if self.binary else 100_000


def reader_of(name: str) -> FuzzedReader:
    """The reader of this name."""
    readers: Mapping[str, FuzzedReader] = import_module(f"benchmarks.fuzz.{(MODULES | SELF_TEST)[name]}").READERS
    return readers[name]
