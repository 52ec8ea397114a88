"""numba's cache: two first users at once, a damaged one, and one that nothing is written to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raylab.features import numba_cache

ROOT = Path(__file__).resolve().parents[2]
# A process that follows the pitch of a sound for the first time; the child that fills the cache compiles that alone, for a quick test.
FIRST_USER = """
import sys
import numpy as np
from raylab.features import numba_cache
from raylab.features.acoustic import pitch
numba_cache.FILL = "builders.fill_pitch_cache"
voice = np.sin(2 * np.pi * 200 * np.arange(8000) / 16000)
print("pitch", round(float(np.median(pitch(voice, 160))), 3), flush=True)
import librosa
if "more" in sys.argv:
    librosa.zero_crossings(voice.astype(np.float32))
    librosa.util.localmax(voice)
"""


def _users(root: Path, count: int, *words: str, user: str = FIRST_USER) -> list[tuple[int, str]]:
    """Exit codes and output of so many processes that begin at once."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(root), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", user, *words]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(count)
    ]
    return [(process.wait(600), process.communicate()[0]) for process in started]


def _cache(root: Path) -> Path:
    """The one cache that is there."""
    return next(path for path in root.iterdir() if path.is_dir())


def _stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow  # a minute of processes that start
def test_two_first_users_at_once(tmp_path: Path) -> None:
    """One of them fills the cache, both are right."""
    assert [(0, "pitch 0.418\n")] * 2 == _users(tmp_path, 2)
    folder = _cache(tmp_path)
    assert numba_cache.is_sound(folder)
    assert [folder] == [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_later_users_and_a_damaged_cache(tmp_path: Path) -> None:
    """Later users change nothing in it, whatever else they compile. A spoilt file is found, and the cache is filled anew."""
    expected = [(0, "pitch 0.418\n")] * 2
    assert expected[:1] == _users(tmp_path, 1)
    folder = _cache(tmp_path)
    before = _stamps(folder)
    assert expected[:1] == _users(tmp_path, 1, "more")
    assert before == _stamps(folder)

    code = next(folder.rglob("*_pi_wrapper*.nbc"))
    code.write_bytes(code.read_bytes()[:-100] + bytes(100))  # what a cache that two wrote at once holds: another's code
    assert not numba_cache.is_sound(folder)
    assert expected == _users(tmp_path, 2)
    assert numba_cache.is_sound(folder)


@pytest.mark.slow
def test_without_a_place_for_it_a_process_compiles_for_itself(tmp_path: Path) -> None:
    """The cache's folder is a file: the pitch is right all the same, and nothing is left behind."""
    root = tmp_path / "file"
    root.write_text("")
    user = FIRST_USER.replace("import sys", f"import sys, tempfile; tempfile.tempdir = {str(tmp_path)!r}", 1)
    assert [(0, "pitch 0.418\n")] == _users(root, 1, user=user)
    assert [root] == list(tmp_path.iterdir())


def test_a_seal_is_of_every_file(tmp_path: Path) -> None:
    """A file more, a file less, an empty folder, a seal that is no record: none is sound."""
    assert not numba_cache.is_sound(tmp_path / "none")
    numba_cache.seal(tmp_path)
    assert not numba_cache.is_sound(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f.nbi").write_bytes(b"index")
    numba_cache.seal(tmp_path)
    assert numba_cache.is_sound(tmp_path)
    (tmp_path / "a" / "f.1.nbc").write_bytes(b"code")
    assert not numba_cache.is_sound(tmp_path)
    (tmp_path / numba_cache.SEAL).write_bytes(b"\xff")
    assert not numba_cache.is_sound(tmp_path)


def test_the_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """NUMBA_CACHE_DIR, then XDG_CACHE_HOME, then the home folder."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "n"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / "n" == numba_cache.root()
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    assert tmp_path / "x" / "raylab" == numba_cache.root()
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert tmp_path / ".cache" / "raylab" == numba_cache.root()


@pytest.mark.slow
def test_the_whole_cache_is_filled(tmp_path: Path) -> None:
    """After it is filled nothing that raylab computes of a sound is compiled again."""
    user = """
import numpy as np
from raylab.features.acoustic import ACOUSTIC
from raylab.features.optional_packages import load
load("librosa", "speech")
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, event): compiled.append(str(event.data["dispatcher"]))
    def on_end(self, event): pass
event.register("numba:compile", Listener())
for features in ACOUSTIC.values():
    features.frames(np.random.default_rng(1).normal(0, 0.1, 16000), features.hop(10.0))
assert not compiled, compiled
"""
    assert [(0, ""), (0, "")] == _users(tmp_path, 2, user=user)
    assert numba_cache.is_sound(_cache(tmp_path))
