"""The strict YAML reader: what it refuses, with which line, and what it reads."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raylab.yaml_file import MAX_BYTES, YamlFileError, parse_yaml, read_yaml

BILLIONS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3", "s.yaml, line 3, column 1: the key 'a' stands twice (first in line 1); keep one of them"),
        ("a: {b: 1, c: 2, b: 3}", "s.yaml, line 1, column 17: the key 'b' stands twice"),
        ("codes: {1: 0, 01: 1}", "the key '01' stands twice"),
        ("u\u0308: 1\n\u00fc: 2", "line 2, column 1: the key 'ü' stands twice"),
        ("a: 1\n[1, 2]: 3", "line 2, column 1: a key is a word, not a list or a mapping"),
        ("a:\n\tb: 1", "line 2, column 1: not YAML: while scanning for the next token"),
        ("a:\n\tb: 1", "indent with spaces, not with tabs"),
        ("a: [1, 2\nb: 3", "s.yaml, line 2"),
        ("a: b: c", "s.yaml, line 1, column 5: not YAML: mapping values are not allowed here"),
        ("a: 1\n--- \nb: 2", "expected a single document"),
        ("a: 2001-99-99", "line 1, column 4: '2001-99-99' cannot be read (month must be in 1..12)"),
        (f"a: {'9' * 5000}", "line 1, column 4: '9999"),
        ("a: 1\nb: 99999999999999999999", "line 2, column 4: the number '99999999999999999999' is too large"),
        ("a: .inf", "line 1, column 4: '.inf' is no finite number"),
        ("a: -.nan", "'-.nan'"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: !!timestamp x", "'x' cannot be read"),
        ("a: &x [*x]", "a value contains itself"),
        (BILLIONS, "it holds more than 200,000 values"),
        ("[" * 5000, "s.yaml: lists or mappings are nested too deep"),
        ("{a: " * 5000, "s.yaml: lists or mappings are nested too deep"),
        ("a: 1\nb: \0", "s.yaml, line 2: the character 0x0 is not allowed; remove it"),
    ],
)
def test_what_yaml_would_pass_over_is_refused_with_its_line(text: str, sentence: str) -> None:
    """Repeated keys, tabs, numbers that no reader holds, texts that expand without end, and what is no YAML."""
    if sentence == "'-.nan'":  # it is a text to YAML, and so not refused
        assert {"a": "-.nan"} == parse_yaml(text, "s.yaml")
        return
    with pytest.raises(YamlFileError) as refused:
        parse_yaml(text, "s.yaml")
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 400


def test_plain_yaml_is_read_as_before() -> None:
    """Numbers, text, nothing, merged mappings, and one anchor used twice."""
    assert {"a": 1, "b": [1.5, "x", None], "c": {"d": True}} == parse_yaml("a: 1\nb: [1.5, x, null]\nc: {d: yes}", "s")
    assert {"base": {"a": 1, "b": 2}, "other": {"a": 3, "b": 2}} == parse_yaml(
        "base: &base {a: 1, b: 2}\nother: {<<: *base, a: 3}", "s"
    )
    assert parse_yaml("# nothing\n", "s") is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "name: one\n# Prüfung\n".encode("latin-1"),
            "line 2 is not UTF-8 (byte 0xfc; as Latin-1 it reads '# Prüfung'); save the file as UTF-8",
        ),
        ("name: one".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"name: \xff\xfe", "line 1 is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "4,000,001 bytes; a file of settings has at most 4,000,000"),
    ],
)
def test_a_file_of_another_encoding_or_size_is_named(content: bytes, sentence: str, tmp_path: Path) -> None:
    """With the file, the line, and what to do."""
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(YamlFileError) as refused:
        read_yaml(path)
    assert str(refused.value).startswith(str(path))
    assert sentence in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Windows editors write one."""
    (tmp_path / "s.yaml").write_bytes("name: ü".encode("utf-8-sig"))
    assert {"name": "ü"} == read_yaml(tmp_path / "s.yaml")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """None there, or a folder in its place."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(YamlFileError, match=str(path)):
            read_yaml(path)


@given(st.text(alphabet=st.sampled_from("ab: \n\t-[]{}&*!?|>'\"#%@,.0123é\0<="), max_size=60) | st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_gives_a_value_or_a_sentence(text: str) -> None:
    """No other error leaves the reader."""
    refusal = ""
    try:
        parse_yaml(text, "s.yaml")
    except YamlFileError as error:
        refusal = str(error)
    assert not refusal or refusal.startswith("s.yaml")
