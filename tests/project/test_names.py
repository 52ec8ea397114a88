"""Names that users choose, for the layers that take less than Unicode text."""

import unicodedata
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import plain_text
from raylab import names
from raylab.errors import InvalidValueError, RaylabError
from raylab.files import Folder
from raylab.windows.stored_rows import participant_folder

ODD = [
    "anna b",
    "ü",
    "50%",
    "%41",
    "a+b",
    "a=b",
    "a#b",
    "a?b",
    "a&b",
    ".x",
    "..",
    "a\\b",
    "a/b",
    "~",
    "'\"",
    "中" * 80,
    "participant=a",
]


@pytest.mark.parametrize("name", ["S2", "P01", "anna", "03", "sub-7_x.y~z"])
def test_a_plain_name_is_its_own_folder(name: str) -> None:
    """Prepared windows of before have these folders."""
    assert f"participant={name}" == participant_folder(name)


@pytest.mark.parametrize("name", ODD)
def test_the_folder_of_an_odd_name_is_short_ascii(name: str) -> None:
    """No file system, archive or object store changes it, and no other name has it."""
    part = names.folder_part(name)
    assert part.isascii() and len(part) <= names.LONGEST_PART and not set("/ %=+#?&\\") & set(unquote(part.replace("%", "")))
    assert part == names.folder_part(unicodedata.normalize("NFD", name))
    assert 1 == sum(part == names.folder_part(other) for other in ODD)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_name_has_one_folder_that_tells_it(name: str) -> None:
    """The folder is decoded to the name, unless that is too long for one."""
    part = names.folder_part(name)
    assert part.isascii() and "/" not in part and len(part) <= names.LONGEST_PART
    assert unquote(part) == names.nfc(name) or "~" in part


@pytest.mark.parametrize("name", ["anna b", "ü", "=1", "%", "a‌b", "日本", "-", "'"])
def test_a_name_that_prints_is_a_name(name: str) -> None:
    """Blanks, signs and any script are allowed."""
    assert name == names.checked_name(name)


@pytest.mark.parametrize(
    "name", ["", "  ", "a\x1b[31m", "a\nb", "a\tb", "a\x00", "a\x9b", "a\u202eb", "a\u200bb", "a\udcfc", "\ufeffa"]
)
def test_a_name_that_does_not_print_is_none(name: str) -> None:
    """It would command a terminal, or look like another name."""
    with pytest.raises(ValueError, match=r"is empty|U\+[0-9A-F]{4}"):
        names.checked_name(name)


def test_every_problem_of_names_is_in_one_message() -> None:
    """By kind, with the character and the place, and in signs that print."""
    given_names = {"participant": ["ü", "u\u0308", "a/b", "x\x1b[2J"], "label": ["str\tess"]}
    with pytest.raises(RaylabError) as caught:
        names.check_names("/data", given_names)
    lines = str(caught.value).splitlines()
    assert "/data: names that cannot be used; rename them:" == lines[0]
    assert r"  - participant 'x\x1b[2J' holds the character U+001B at position 2, which does not print" in lines
    assert r"  - label 'str\tess' holds the character U+0009 at position 4, which does not print" in lines
    assert "  - participant 'a/b' holds a /, which parts folders" in lines
    assert "  - participant 'ü' is there twice (perhaps once composed and once decomposed)" in lines
    assert 5 == len(lines)


@given(st.text(st.characters()))
def test_printed_text_commands_nothing(text: str) -> None:
    """No escape, control character or direction mark is left, analysis prints as raylab does, and what prints stays."""
    printed = names.printable(text)
    assert printed == plain_text.printable(text) == names.printable(printed)
    assert not [mark for mark in printed if unicodedata.category(mark) in ("Cc", "Cs") and mark not in "\t\n"]
    assert not set(printed) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    printed.encode()


@given(st.text(st.characters()))
def test_a_tag_is_ascii(text: str) -> None:
    """Ray's metrics take nothing else."""
    assert names.ascii_text(text).isascii()


def test_an_ascii_path_is_its_own_tag() -> None:
    """Dashboards that select by it stay as they are."""
    assert "/home/a b/run%1" == names.ascii_text("/home/a b/run%1")
    assert "/home/j%C3%B6rg/run" == names.ascii_text("/home/jörg/run")


@pytest.mark.parametrize("path", ["", "a\udcfcb", "a\0b"])
def test_a_path_that_cannot_be_opened_is_refused(path: str) -> None:
    """In a sentence that prints."""
    with pytest.raises(InvalidValueError, match="is no path that can be opened") as caught:
        Folder(path)
    str(caught.value).encode()


def test_a_stray_file_with_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """By its folder: pyarrow cannot say its name."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "\udcfc.json").write_text("{}")
    for look in (Folder(tmp_path).names, Folder(tmp_path).folders):
        with pytest.raises(InvalidValueError, match="sub holds a file or a folder whose name is no UTF-8"):
            look("sub")
