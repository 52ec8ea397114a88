"""Pickles of strangers: nothing in them runs, and what is no array of numbers is refused."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.wesad_subject import read_wesad, wesad_content, write_wesad

from raylab.errors import RecordingError
from raylab.recordings.safe_pickle import as_array, read_pickle


class _Hostile:
    """Unpickling it calls ``function(*arguments)``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _attacks(marker: Path) -> dict[str, _Hostile]:
    return {
        "os.system": _Hostile(os.system, f"touch '{marker}'"),
        "builtins.exec": _Hostile(exec, f"open({str(marker)!r}, 'w').close()"),
        "numpy": _Hostile(np.savetxt, str(marker), [1.0]),
    }


@pytest.mark.parametrize("attack", ["os.system", "builtins.exec", "numpy"])
@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickle_does_not_run(tmp_path: Path, attack: str, protocol: int) -> None:
    """A pickle that calls something runs nothing, and the refusal names file, participant and remedy."""
    marker = tmp_path / "ran"
    data = pickle.dumps({"signal": {"wrist": np.zeros(3), "more": _attacks(marker)[attack]}}, protocol)
    (tmp_path / "S2.pkl").write_bytes(data)
    with pytest.raises(RecordingError) as refusal:
        read_pickle(tmp_path, "S2.pkl", "S2")
    assert not marker.exists()
    message = str(refusal.value)
    assert all(part in message for part in (str(tmp_path / "S2.pkl"), "participant S2", "What to do: download the file again"))
    pickle.loads(data)
    assert marker.exists(), "the attack is none, so this test shows nothing"


@pytest.mark.parametrize(
    "name", [b"c_codecs\ndecode\n", b"cnumpy.core.multiarray\nfromfile\n", b"cnumpy\nload\n", b"ccopyreg\n_reconstructor\n"]
)
def test_only_listed_names_are_admitted(tmp_path: Path, name: bytes) -> None:
    """A name beside the admitted ones, in the same modules, is refused by name."""
    (tmp_path / "a.pkl").write_bytes(name + b".")
    wanted = name[1:-1].decode().replace("\n", ".")
    with pytest.raises(RecordingError, match=f"it asks for {wanted}"):
        read_pickle(tmp_path, "a.pkl", "S2")


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_opens(tmp_path: Path, protocol: int) -> None:
    """Arrays (of any memory order), numpy scalars, bytes and plain containers come back from protocols 0 to 5."""
    value = {
        "array": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "codes": np.arange(4, dtype=np.int32),
        "scalar": np.float64(2.5),
        "bytes": b"\x00\xff",
        "plain": [1, "two", (3.0, None)],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    found = read_pickle(tmp_path, "a.pkl", "S2")
    assert list(found) == list(value)
    for key in ("array", "fortran", "codes"):
        np.testing.assert_array_equal(found[key], value[key], strict=True)
    assert [found[key] for key in ("scalar", "bytes", "plain")] == [value[key] for key in ("scalar", "bytes", "plain")]


@pytest.mark.parametrize("protocol", range(4))
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_numpy_module_names_open(tmp_path: Path, module: bytes, protocol: int) -> None:
    """Files written before and after numpy 2 renamed its modules give the same array."""
    data = pickle.dumps(np.arange(5.0), protocol)
    renamed = data.replace(b"numpy._core.multiarray", module)
    assert module in renamed
    (tmp_path / "a.pkl").write_bytes(renamed)
    np.testing.assert_array_equal(read_pickle(tmp_path, "a.pkl", "S2"), np.arange(5.0), strict=True)


def test_protocol_2_bytes_need_codecs_encode(tmp_path: Path) -> None:
    """Python 3 writes an array's bytes as a call of _codecs.encode in protocol 2, and such a file opens."""
    data = pickle.dumps(np.arange(5.0), 2)
    assert b"c_codecs\nencode\n" in data
    (tmp_path / "a.pkl").write_bytes(data)
    np.testing.assert_array_equal(read_pickle(tmp_path, "a.pkl", "S2"), np.arange(5.0), strict=True)


@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
def test_truncated_pickle_is_refused(tmp_path: Path, kept: float) -> None:
    """A file cut anywhere is refused with its name, the participant and a remedy."""
    data = pickle.dumps({"a": np.arange(100.0)}, 2)
    (tmp_path / "a.pkl").write_bytes(data[: int(kept * len(data)) if kept == 0.5 else int(kept)])
    with pytest.raises(RecordingError, match=r"participant S2.*a\.pkl.*cannot be unpickled.*download the file again"):
        read_pickle(tmp_path, "a.pkl", "S2")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.array([{}, None], dtype=object), "object (2,)"),
        (np.array(["1", "2"]), "<U1 (2,)"),
        (np.array([1j, 2]), "complex128 (2,)"),
        (np.zeros((2, 2, 2)), "float64 (2, 2, 2)"),
        (np.array(1.0), "float64 ()"),
        ([1.0, 2.0], "list"),
        (None, "NoneType"),
    ],
)
def test_only_numeric_arrays_are_signals(value: Any, found: str) -> None:
    """Object arrays, text, scalars and lists are refused with what was found, where, and what to do."""
    with pytest.raises(RecordingError) as refusal:
        as_array(value, "S2.pkl", "S2", "EDA")
    message = str(refusal.value)
    assert all(part in message for part in ("participant S2", "channel EDA", "file S2.pkl", f"found {found}.", "What to do"))


def test_object_array_in_a_pickle_is_refused(tmp_path: Path) -> None:
    """A subject whose signal is an array of objects is refused before any of it is used."""
    content = wesad_content()
    content["signal"]["wrist"]["EDA"] = np.array([None] * 160, dtype=object).reshape(-1, 1)
    write_wesad(tmp_path, content)
    with pytest.raises(RecordingError, match=r"participant S2, channel EDA.*found object"):
        read_wesad(tmp_path)


def test_empty_array_is_refused() -> None:
    """An array without samples is refused as a recording's problem, not as a numpy error."""
    with pytest.raises(RecordingError, match="channel EDA"):
        as_array(np.zeros(0), "S2.pkl", "S2", "EDA")
