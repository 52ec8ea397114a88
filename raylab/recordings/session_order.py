"""The order of a participant's session folders: the order of time, because calibration takes the first windows and `past` looks back."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

Key = tuple[tuple[int, int, str], ...]


def natural_key(name: str) -> Key:
    """A name as texts and whole numbers in turn, so that ``s2`` is before ``s10``."""
    parts = re.split(r"([0-9]+)", unicodedata.normalize("NFC", name).casefold())
    return tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part) for part in parts if part)


def in_order(
    names: Sequence[str], listed: Sequence[str] | Mapping[str, Sequence[str]], participant: str
) -> tuple[list[str], str]:
    """The session folders in the order of time, and a note if the names do not tell it.

    Args:
        listed: the key ``sessions`` of dataset.yaml: the names in order, of all participants or by participant; empty if it is not given.

    Raises:
        ValueError: if a folder is not listed, or its place among the others cannot be told.
    """
    order = list(listed.get(participant, ()) if isinstance(listed, Mapping) else listed)
    if order:
        places = {unicodedata.normalize("NFC", name): place for place, name in enumerate(order)}
        unlisted = [name for name in names if unicodedata.normalize("NFC", name) not in places]
        if unlisted:
            raise ValueError(
                f"the session folder(s) {', '.join(sorted(unlisted))} are not under sessions in dataset.yaml, "
                f"which lists {', '.join(order)}"
            )
        return sorted(names, key=lambda name: places[unicodedata.normalize("NFC", name)]), ""
    ordered = sorted(names, key=lambda name: (natural_key(name), name))
    for first, second in pairwise(ordered):
        if natural_key(first) == natural_key(second):
            raise ValueError(
                f"the session folders {first} and {second} have no order: name one otherwise, or list sessions in dataset.yaml"
            )
    if all(_by_number(first, second) for first, second in pairwise(ordered)):
        return ordered, ""
    return ordered, (
        f"sessions in the order of their names: {', '.join(ordered)}; if they were recorded in another order, list them under sessions in "
        "dataset.yaml"
    )


def _by_number(first: str, second: str) -> bool:
    """Whether two names differ first in a number."""
    pairs = zip(natural_key(first), natural_key(second), strict=False)
    different = next((pair for pair in pairs if pair[0] != pair[1]), None)
    return different is not None and different[0][0] == different[1][0] == 0
