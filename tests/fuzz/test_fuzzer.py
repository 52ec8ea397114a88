"""The fuzzer itself: the same seed damages alike, every kind of fault is found, kept and repeated."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz.damage import MUTATORS, SeedInput, damaged
from benchmarks.fuzz.findings import load, save, shrunk
from benchmarks.fuzz.mutate_bytes import BINARY
from benchmarks.fuzz.pool import FuzzAccount, FuzzFinding, ReaderProcess
from benchmarks.fuzz.reader import MODULES, reader_of

SEED = SeedInput({"input.txt": b"fine"}, ("input.txt",))


@pytest.fixture(scope="module")
def process() -> Iterator[ReaderProcess]:
    """A process of the reader that has every fault."""
    reading = ReaderProcess("faults", SEED, timeout_s=10.0)
    yield reading
    reading.close()


@pytest.mark.parametrize(
    ("word", "verdict", "kind"),
    [
        ("fine", "accepted", ""), ("refused", "refused", ""), ("other", "finding", "unlike"), ("error", "finding", "error"),
        ("unnamed", "finding", "unnamed"), ("long", "finding", "long"), ("more", "finding", "memory"), ("crash", "finding", "crash"),
        pytest.param("memory", "finding", "memory", marks=pytest.mark.slow), pytest.param("hang", "finding", "hang", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_every_fault_is_a_finding(process: ReaderProcess, word: str, verdict: str, kind: str) -> None:
    """What a reader does wrong is told apart by kind, and the next input is read all the same."""
    outcome = process.read({"input.txt": word.encode()})
    assert (verdict, kind) == (outcome.verdict, outcome.kind), outcome
    assert process.read({"input.txt": b"fine"}).verdict == "accepted"


@pytest.mark.slow  # 300 MB are written, and read from /proc
def test_a_peak_of_memory_is_counted_for_its_own_input(process: ReaderProcess) -> None:
    """300 MB of one input are not those of the next."""
    assert process.read({"input.txt": b"memory"}).bytes > 250_000_000
    assert process.read({"input.txt": b"fine"}).bytes < 50_000_000


def test_the_same_key_damages_alike() -> None:
    """An input is told by the seed of the command and its number."""
    seed = SeedInput({"a/b.csv": b"time_s,stress\n0,1\n5,2\n", "c.yaml": b"name: x\nlist: [1, 2]\n"}, ("a/b.csv", "c.yaml"))
    first, again, other = ([damaged(seed, f"{key}/{number}") for number in range(200)] for key in (3, 3, 4))
    assert first == again
    assert first != other
    assert {"a/b.csv", "c.yaml"} == {name for files in first for name in files}


@pytest.mark.parametrize("ending", [*MUTATORS, ""])
def test_damage_never_fails(ending: str) -> None:
    """Every mutator takes whatever another one has left, nothing at all included."""
    rng = random.Random(0)
    contents = (
        b"",
        b"\n",
        b"\x80\x02.",
        b"a,b\n1,2\n",
        b'{"a": [1, {"b": null}]}',
        b"MATLAB 5.0" + bytes(300),
        b"PK\x03\x04",
        b"\xff" * 50,
    )
    for content in contents:
        for mutator in MUTATORS.get(ending, BINARY):
            for _ in range(20):
                assert isinstance(mutator(content, rng), bytes)


def test_a_finding_is_kept_made_smaller_and_repeated(process: ReaderProcess, tmp_path: Path) -> None:
    """The folder holds the smallest input that shows the fault, and the command that reads it again."""
    files: dict[str, bytes | None] = {"input.txt": b"error\nof\nmany\nlines\n"}
    account = FuzzAccount()
    account.add(process.read(files), "0/7", files)
    account.add(process.read({"input.txt": b"error of one line"}), "0/8", {"input.txt": b"error of one line"})
    (finding,) = account.findings.values()
    assert (2, "0/8") == (finding.count, finding.key)
    folder = save(shrunk(FuzzFinding(finding.outcome, "0/7", files, 2), process, tries=50), "faults", tmp_path)
    stored = json.loads((folder / "finding.json").read_text())
    assert {"input.txt": b"error"} == load(folder)
    assert f"python -m benchmarks.fuzz faults --repeat {folder}" == stored["repeat"]
    assert "error" == process.read(load(folder)).kind
    assert "findings     2 of  1 kinds" in account.line("faults")


def test_the_command_counts_and_ends_with_3_if_something_is_found(tmp_path: Path) -> None:
    """One line a reader; exit code 3 only with findings; an unknown reader is told."""
    arguments = ["faults", "--processes", "1", "--tries", "3", "--timeout", "3", "--out", str(tmp_path)]
    done = CliRunner().invoke(_app(), [*arguments, "--count", "12"])
    assert 3 == done.exit_code, done.output
    assert "tried      12" in done.output and "unlike" in done.output
    folder = next(path for path in (tmp_path / "faults").iterdir() if path.name.startswith("unlike"))
    repeated = CliRunner().invoke(_app(), [*arguments, "--repeat", str(folder)])
    assert (3, True) == (repeated.exit_code, "finding unlike" in repeated.output)
    assert 2 == CliRunner().invoke(_app(), ["nothing"]).exit_code


def test_a_stop_is_not_the_start_of_the_next_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl-C ends the command, with what was counted by then."""
    monkeypatch.setattr(command, "fuzz", lambda *arguments: FuzzAccount(stopped=True))
    done = CliRunner().invoke(_app(), ["faults,faults", "--out", str(tmp_path)])
    assert (130, 1) == (done.exit_code, done.output.count("tried")), done.output


def _app() -> object:
    import typer  # noqa: PLC0415  (only this test needs it)

    app = typer.Typer()
    app.command()(command.main)
    return app


def test_every_reader_of_the_table_exists() -> None:
    """The table's names are those of the modules, which make their own seeds."""
    for name in MODULES:
        reader = reader_of(name)
        assert reader.targets and callable(reader.seed) and reader.count in (10_000, 100_000), name
