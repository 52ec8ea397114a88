"""One damaged input, from a seed folder and a number: the same number damages the same seed in the same way."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from benchmarks.fuzz.mutate_bytes import BINARY, PICKLE, Mutator
from benchmarks.fuzz.mutate_containers import BOOK, PARQUET
from benchmarks.fuzz.mutate_text import TABLE
from benchmarks.fuzz.mutate_trees import JSON, YAML

MUTATORS: Mapping[str, Sequence[Mutator]] = {
    ".csv": TABLE, ".txt": TABLE, ".yaml": YAML, ".json": JSON, ".jsonl": JSON, ".xlsx": BOOK, ".parquet": PARQUET, ".pkl": PICKLE,
}  # fmt: skip
TEXT = (".csv", ".txt", ".yaml", ".json", ".jsonl")
MOST_BYTES = 50_000_000

Files = dict[str, bytes | None]


@dataclass(frozen=True)
class SeedInput:
    """A small valid input.

    Attributes:
        files: name, relative to the input's folder, to content.
        targets: names of those that are damaged.
        mutators: ending of a name to the damage of such files, beside ``MUTATORS``.
    """

    files: Mapping[str, bytes]
    targets: tuple[str, ...]
    mutators: Mapping[str, Sequence[Mutator]] = field(default_factory=dict)

    def size(self, damaged: Files) -> int:
        """Bytes of the input with these files in place of the seed's."""
        return sum(len(content) for content in {**self.files, **damaged}.values() if content is not None)


def read_seed(folder: Path, patterns: Sequence[str], mutators: Mapping[str, Sequence[Mutator]]) -> SeedInput:
    """The seed in a folder; of its files those that match one of the patterns are damaged."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    targets = tuple(name for name in files if any(fnmatch(name, pattern) for pattern in patterns))
    if not targets:
        raise ValueError(f"{folder} holds no file that matches {', '.join(patterns)}")
    return SeedInput(files, targets, mutators)


def damaged(seed: SeedInput, key: str) -> Files:
    """The files that differ from the seed's (None: missing) in the input of this key.

    Patterns of targets count alike, however many files match: a run has thousands of predictions and one plan.
    """
    rng = random.Random(key)
    folders = sorted({str(PurePosixPath(name).with_name(PurePosixPath(name).suffix)) for name in seed.targets})
    folder = rng.choice(folders)
    name = rng.choice(
        [name for name in seed.targets if str(PurePosixPath(name).with_name(PurePosixPath(name).suffix)) == folder]
    )
    content = seed.files[name]
    roll = rng.random()
    if roll < 0.002:
        return {name: None}
    if roll < 0.004:
        return {name: b""}
    if roll < 0.01:
        return {name: seed.files[rng.choice(list(seed.files))]}
    mutators = {**MUTATORS, **seed.mutators}.get(PurePosixPath(name).suffix, BINARY)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        content = rng.choice(mutators)(content, rng)[:MOST_BYTES]
    return {name: content}
