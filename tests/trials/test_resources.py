"""The resources of a study file: a number of bytes is taken as written, or refused with what is allowed."""

from typing import Any

import pytest
from builders.studies import study

from raylab.errors import StudyError
from raylab.trials.resources import bytes_of, mib
from raylab.trials.study import parse_study


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1 B", 1),
        ("200 GiB", 200 * 2**30),
        ("200GiB", 200 * 2**30),
        ("1.5 MB", 1_500_000),
        ("2 TB", 2 * 10**12),
        ("1 KiB", 1024),
    ],
)
def test_a_number_of_bytes(text: str, count: int) -> None:
    """Binary and decimal units, with and without a space."""
    assert count == bytes_of(text)


@pytest.mark.parametrize(
    "value", ["200", "GiB", "-1 GiB", "0 GiB", "1e3 MiB", "200 Gi", "1 iB", "1 GiB/s", "", 200, 1.5, ["1 GiB"], {}]
)
def test_what_is_no_number_of_bytes(value: Any) -> None:
    """Each is refused by a study, with the key and the units."""
    with pytest.raises(StudyError, match=r"resources\.stage_store: "):
        parse_study(study(resources={"stage_store": value}), "s")


def test_the_quota_stays_as_it_was_written() -> None:
    """A run folder has the text of the study file, and none if there was none."""
    asked = parse_study(study(resources={"stage_store": "200 GiB"}), "s")
    assert (200 * 2**30, "200 GiB") == (asked.resources.quota, asked.as_dict()["resources"]["stage_store"])
    assert parse_study(asked.as_dict(), "s") == asked
    assert parse_study(study(), "s").resources.quota is None


def test_bytes_in_words() -> None:
    """MiB with one decimal place and a mark for thousands."""
    assert ["0.0 MiB", "1.5 MiB", "2,048.0 MiB"] == [mib(count) for count in (0, 3 * 2**19, 2**31)]
