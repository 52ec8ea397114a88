"""Faults as they happen: killed processes and raylets, a disk that is full, a stage file cut short, a NaN in the windows."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.nodes import Nodes, wait_until
from raylab.files import Folder
from raylab.trials.trial import Trial
from raylab.windows.card import joint_fingerprint
from raylab.windows.dataset import CARD, fingerprint_of, read_card, stored_columns
from raylab.windows.segmentation import statistics
from raylab.windows.stored_rows import VALUES, read_rows

import psutil  # isort: skip


def say(line: str) -> None:
    """What a long test tells whoever runs it with `pytest -s`; kept in docs/."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def with_a_nan(source: Path, target: Path, rng: np.random.Generator) -> str:
    """A copy of prepared windows with one sample that is NaN, and a card that fits; says where it is.

    `raylab prepare` refuses NaN. These are windows from a tool that does not.
    """
    shutil.copytree(source, target)
    folder = Folder(target)
    card = read_card(folder)
    number, channel = int(rng.integers(len(card.participants))), card.channels[int(rng.integers(len(card.channels)))]
    entry, stored = card.participants[number], stored_columns(card.labels, card.channels)
    table = read_rows(folder, entry.name, stored | {f"s_{one.name}": VALUES for one in card.channels})
    shape = (table.num_rows, channel.length, channel.n_features)
    values = table[channel.name].combine_chunks().flatten().to_numpy().reshape(shape).copy()
    window, sample = int(rng.integers(shape[0])), int(rng.integers(shape[1]))
    values[window, sample, 0] = np.nan
    for name, content in ((channel.name, values), (f"s_{channel.name}", statistics(values))):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(content.reshape(-1), pa.float32()), int(content[0].size))
        table = table.set_column(table.schema.get_field_index(name), name, lists)
    folder.remove(f"participant={entry.name}")
    folder.write_table(f"participant={entry.name}/part-0.parquet", table)
    changed = entry.changed(fingerprint=fingerprint_of(table, stored))
    entries = (*card.participants[:number], changed, *card.participants[number + 1 :])
    folder.write_json(CARD, card.changed(participants=entries, fingerprint=joint_fingerprint(entries)).as_json())
    return f"{target.name}: {entry.name}, window {window}, channel {channel.name}, sample {sample}"


@contextmanager
def small_disk(where: Path, megabytes: float) -> Iterator[Path]:
    """A disk of its own for a folder; the test is skipped where this user may mount none."""
    where.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(where)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(disk: Path) -> Path:
    """Write until nothing more fits; the file to remove."""
    filler = disk / "filler"
    for size in (2**20, 2**12):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * size)
    return filler


def cut_short(run: Path, stage: str, share: float) -> None:
    """Leave this share of a stage's file."""
    path = run / "stages" / f"{stage}.safetensors"
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


@dataclass
class Saboteur:
    """Does one kind of fault at a time to a run, and says what it did."""

    nodes: Nodes
    run: Path
    trials: list[Trial]
    rng: np.random.Generator

    def ended(self) -> set[str]:
        """Keys of the trials that have a record."""
        return {path.stem for path in (self.run / "trials").glob("*.json")}

    def killed_worker(self) -> str:
        """kill -9 of a process that runs trials, as the kernel does when memory is out."""
        wait_until(lambda: self.nodes.workers(self._all()), "a worker to kill")
        victim = self.rng.choice(self.nodes.workers(self._all()))  # type: ignore[arg-type]
        victim.kill()
        return f"kill -9 of worker process {victim.pid}"

    def full_disk(self) -> str:
        """For a moment: trials fail as fast as they start meanwhile, a hundred a second on a quick machine, each with those that need its base."""
        seconds = float(self.rng.uniform(0.05, 0.2))
        filler = fill(self.run)
        time.sleep(seconds)
        filler.unlink()
        return f"disk full for {seconds:.2f} s"

    def truncated_stage(self) -> str:
        """Of a stage that is stored and that trials still wait for, as long as there is one."""
        wait_until(self._stored, "a stage to cut short")
        ended = self.ended()
        wanted = {trial.stages[0] for trial in self.trials if trial.key not in ended} & self._stored()
        stage, share = str(self.rng.choice(sorted(wanted or self._stored()))), float(self.rng.uniform(0, 0.95))
        cut_short(self.run, stage, share)
        return f"stage {stage} cut to {share:.0%}{'' if wanted else ' (nobody needed it any more)'}"

    def killed_raylet(self) -> str:
        """kill -9 of a worker node's raylet; another node joins meanwhile, or the trials would be over before the next fault."""
        wait_until(lambda: self.nodes.raylets(head=False), "a worker node to lose")
        victim = self.rng.choice(self.nodes.raylets(head=False))  # type: ignore[arg-type]
        victim.kill()
        self.nodes.join(wait=False)
        return f"kill -9 of raylet {victim.pid}, another node joins"

    def _all(self) -> list[psutil.Process]:
        return [*self.nodes.raylets(head=True), *self.nodes.raylets(head=False)]

    def _stored(self) -> set[str]:
        return {path.stem for path in (self.run / "stages").glob("*.safetensors")}
