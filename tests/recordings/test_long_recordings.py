"""A long recording is prepared beside its own samples, not beside copies of them."""

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.wesad_subject import wesad_content, write_wesad

from raylab.files import Folder
from raylab.recordings.safe_pickle import read_pickle
from raylab.runs.prepare import PrepareRequest, prepare

SECONDS = 300  # of WESAD's chest device: 13 MB of signals


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wesad")
    write_wesad(root, wesad_content(seconds=SECONDS, devices=("chest", "wrist")))
    return root


@pytest.fixture
def traced() -> Iterator[None]:
    """Memory is counted, and no garbage is collected: nothing may wait for that."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


def test_a_pickle_is_read_without_a_second_copy(root: Path, traced: None) -> None:
    """Beside the arrays there is at most the file's buffer; afterwards the arrays alone."""
    content = read_pickle(root, "S2/S2.pkl", "S2")
    arrays = sum(x.nbytes for device in content["signal"].values() for x in device.values()) + content["label"].nbytes
    now, peak = tracemalloc.get_traced_memory()
    assert now < 1.01 * arrays + 200_000
    assert peak < 1.01 * arrays + 400_000


def test_preparing_takes_little_beside_the_signals(root: Path, tmp_path: Path, traced: None) -> None:
    """1.6 times the signals, and labels with their times, which are a quarter of that, are in it; 3.6 times before."""
    prepare(PrepareRequest("wesad", str(root), str(tmp_path / "warm")), say=lambda line: None, where="local")
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    prepare(PrepareRequest("wesad", str(root), str(tmp_path / "windows")), say=lambda line: None, where="local")
    _, peak = tracemalloc.get_traced_memory()
    signals = sum(
        x.nbytes
        for device in wesad_content(seconds=SECONDS, devices=("chest", "wrist"))["signal"].values()
        for x in device.values()
    )
    assert peak - before < 1.7 * signals + 2**20
    assert Folder(tmp_path / "windows").exists("card.json")
