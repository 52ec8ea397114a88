"""A card that was edited after its windows were prepared is refused, with and without a digest; windows below it that were exchanged too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.windows import make_windows, store

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.validity.probes import probe
from raylab.windows.card import NO_DIGEST
from raylab.windows.dataset import read_card, read_index, read_windows

Content = dict[str, Any]
AGAIN = "prepare the dataset again"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Three participants with other numbers of windows of each class, and traits."""
    traits = {"P1": {"age": 30}, "P2": {"age": 40}, "P3": {"age": 50}}
    windows = make_windows({"P1": [0] * 4 + [1] * 2, "P2": [0, 1, -1], "P3": [1, 1, 0]}, traits=traits)
    return Folder(store(windows, tmp_path / "made"))


def _classes_swapped(card: Content) -> None:
    card["labels"][0]["classes"].reverse()


def _window_s(card: Content) -> None:
    card["preprocessing"] |= {"window_s": 1.0, "step_s": 0.5}


def _step_s(card: Content) -> None:
    card["preprocessing"]["step_s"] = 2.5


def _person_dropped(card: Content) -> None:
    del card["participants"][-1]


def _persons_swapped(card: Content) -> None:
    card["participants"].reverse()


def _person_renamed(card: Content) -> None:
    card["participants"][0]["name"] = "P9"


def _trait(card: Content) -> None:
    card["participants"][0]["traits"]["age"] = 31


def _channel_unit(card: Content) -> None:
    card["channels"][0]["unit"] = "mV"


def _caution(card: Content) -> None:
    card["caution"] = ""


def _counts(card: Content) -> None:
    card["participants"][0]["counts"]["stress"] = {"class0": 6, "class1": 0}


EDITS = (
    _classes_swapped, _window_s, _step_s, _person_dropped, _persons_swapped, _person_renamed, _trait, _channel_unit, _caution, _counts,
)  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("read", [read_card, read_index, read_windows])
def test_an_edited_card_is_refused(folder: Folder, edit: Callable[[Content], None], read: Callable[[Folder], Any]) -> None:
    """Whatever was edited, and whoever reads it."""
    card = folder.read_json("card.json")
    edit(card)
    folder.write_json("card.json", card)
    with pytest.raises(RaylabError, match=rf"made/card.json: the card's digest does not match.*{AGAIN}"):
        read(folder)


@pytest.mark.parametrize("digest", ["", "0" * 20, 5, [], {}])
def test_a_digest_of_something_else_is_refused(folder: Folder, digest: Any) -> None:
    """Also one that is no text."""
    folder.write_json("card.json", folder.read_json("card.json") | {"digest": digest})
    with pytest.raises(RaylabError, match="the card's digest does not match"):
        read_card(folder)


def _as_before_digests(folder: Folder, edit: Callable[[Content], None]) -> None:
    card = folder.read_json("card.json")
    del card["digest"]
    edit(card)
    folder.write_json("card.json", card)


def test_a_card_from_before_is_read_with_a_note(folder: Folder) -> None:
    """The note is a sentence that every table of the windows carries; the fingerprint is the same, and so are the windows."""
    before = read_windows(folder)
    _as_before_digests(folder, lambda card: None)
    after = read_windows(folder)
    assert f"Made windows. {NO_DIGEST}" == after.index.card.caution
    assert "Made windows." == before.index.card.caution
    assert before.index.fingerprint == after.index.fingerprint
    assert before.index.card == after.index.card.changed(caution="Made windows.")


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            _classes_swapped,
            r"participant P1 are not the ones its card describes \(the card counts 2 windows of stress: class1, 4 are stored\)",
        ),
        (
            _counts,
            r"participant P1 are not the ones its card describes \(the card counts 6 windows of stress: class0, 4 are stored\)",
        ),
        (_window_s, "windows of 1 s have 1 steps of channel a, not 8"),
        (_person_dropped, "its fingerprint is not that of its participants"),
        (_persons_swapped, "its fingerprint is not that of its participants"),
        (_person_renamed, "its fingerprint is not that of its participants"),
    ],
)
def test_a_card_from_before_is_held_against_its_windows(folder: Folder, edit: Callable[[Content], None], sentence: str) -> None:
    """What it repeats itself, and what the stored classes say."""
    _as_before_digests(folder, edit)
    with pytest.raises(RaylabError, match=f"{sentence}.*{AGAIN}"):
        read_index(folder)


def test_windows_that_were_exchanged_below_a_card_are_refused(folder: Folder) -> None:
    """By the plan already, which reads no signals."""
    one, other = (folder.at(f"participant={name}/part-0.parquet") for name in ("P1", "P2"))
    first, second = Path(one).read_bytes(), Path(other).read_bytes()
    Path(one).write_bytes(second)
    Path(other).write_bytes(first)
    with pytest.raises(
        RaylabError, match=rf"participant P1 are not the ones its card describes \(the card counts 6 windows, 3 are.*{AGAIN}"
    ):
        read_index(folder)


ODD_COLUMNS: dict[str, Callable[[pa.Table], tuple[str, pa.Array]]] = {
    "half floats": lambda table: ("window", pa.array(np.arange(len(table)), pa.float16())),
    "a list for a number": lambda table: ("window", pa.array([[0.0]] * len(table), pa.list_(pa.float32()))),
    "a list without fixed size": lambda table: ("s_a", pa.array([[0.0]] * len(table), pa.list_(pa.float32()))),
    "a number for a list": lambda table: ("s_a", pa.array([0] * len(table), pa.int8())),
    "nulls": lambda table: ("segment", pa.array([None] * len(table), pa.int32())),
    "nulls in lists": lambda table: ("s_a", pa.array([[None] * 3] * len(table), pa.list_(pa.float32(), 3))),
    "text for a class": lambda table: ("y_stress", pa.array(["calm"] * len(table), pa.string())),
}


@pytest.mark.parametrize("read", [read_index, read_windows])
@pytest.mark.parametrize("odd", ODD_COLUMNS)
def test_a_column_of_another_type_is_refused(folder: Folder, odd: str, read: Callable[[Folder], Any]) -> None:
    """By participant and column, whatever numpy or Arrow would say of it."""
    path = folder.at("participant=P1/part-0.parquet")
    table = pq.read_table(path, partitioning=None)
    name, column = ODD_COLUMNS[odd](table)
    pq.write_table(table.set_column(table.schema.get_field_index(name), name, column), path)
    with pytest.raises(RaylabError, match=rf"windows of participant P1 cannot be read \(column {name} is .*{AGAIN}"):
        read(folder)


def test_a_class_that_the_label_does_not_have_is_refused(tmp_path: Path) -> None:
    """Five is no class of a label with two."""
    windows = make_windows({"P1": [0, 1, 5], "P2": [0, 1, 1], "P3": [0, 1, 0]})
    with pytest.raises(
        RaylabError, match=r"P1 are not .*label stress has the class 5, and its classes are 0 to 1 or -1 for none"
    ):
        read_index(Folder(store(windows, tmp_path / "made")))


def test_a_probe_of_a_probe_is_read(folder: Folder, tmp_path: Path) -> None:
    """Their fingerprints hold the probe itself."""
    probe("shuffled_labels", folder, str(tmp_path / "one"))
    probe("duplicated_person", str(tmp_path / "one"), str(tmp_path / "two"), person="P1", noise=0.5)
    assert ["shuffled_labels", "duplicated_person"] == [
        entry.kind for entry in read_windows(Folder(tmp_path / "two")).index.card.probes
    ]
    _as_before_digests(Folder(tmp_path / "two"), lambda card: None)
    assert NO_DIGEST in read_index(Folder(tmp_path / "two")).card.caution
