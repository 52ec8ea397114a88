"""hypothesis strategies: text tables as people write them, and study files that are nearly right."""

from typing import Any

import yaml
from hypothesis import strategies as st

from builders.studies import study

SEPARATORS = (",", ";", "\t")
ODD = (
    "", " ", "NA", "NaN", "-", "1,5", "1e400", "1e308", "0x10", "#1", '"', "calm", "ü", "u\u0308", "\x00", "1 ", "1.9", "=1+1", "1" * 40,
)  # fmt: skip
# What stands in cells of real tables: numbers in every spelling, gaps, units, codes, and names.
CELLS = st.one_of(
    st.integers(-3, 3).map(str),
    st.floats(-1e3, 1e3).map(lambda value: f"{value:.3f}"),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(ODD),
    st.text(max_size=6),
)


@st.composite
def tables(draw: Any, header: tuple[str, ...], rows: int) -> bytes:
    """A csv that begins as a valid one with this header and whole numbers does; some of its cells, its separator or its encoding are others."""
    names = list(
        draw(st.sampled_from([header, header, header, header[::-1], (*header, ""), header[1:], tuple(map(str.upper, header))]))
    )
    lines = [names, *([str(row), *["1"] * (len(header) - 1)] for row in range(rows))]
    for _ in range(draw(st.integers(0, 3))):
        line = lines[draw(st.integers(0, len(lines) - 1))]
        if line:
            line[draw(st.integers(0, len(line) - 1))] = draw(CELLS)
    for row in draw(st.lists(st.integers(0, len(lines) - 1), max_size=1)):
        lines.insert(row, draw(st.sampled_from([[], [""] * len(header), ["# a comment"], [*lines[0]], ["1"]])))
    separator = draw(st.sampled_from(SEPARATORS[:1] * 4 + SEPARATORS[1:]))
    text = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])).join(separator.join(line) for line in lines)
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])), "replace")


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=True, allow_infinity=True),
        st.text(max_size=8),
        st.sampled_from(["fcn", "late", "fine_tuning", "all", "auto", "stress", "made", 10**400, -1, 0]),
    ),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), values, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*study(), "folds", "search", "seeds", "purge", "primary_metric", "resources", "labels", "extra"])


@st.composite
def studies(draw: Any) -> bytes:
    """A small valid study with other values in some places, as YAML."""
    content: Any = study(seeds=[0], resources={"workers": 1, "cpu": 1, "gpu": "auto"}, folds="leave_one_participant_out")
    for _ in range(draw(st.integers(1, 2))):
        value = draw(VALUES)
        key = draw(KEYS)
        inner = content.get(key)
        if isinstance(inner, list) and inner and isinstance(inner[-1], dict) and draw(st.booleans()):
            entry = {**inner[-1], draw(st.sampled_from([*inner[-1], "people", "axes", "x"])): value}
            content = {**content, key: [*inner[:-1], entry]}
        elif isinstance(inner, dict) and draw(st.booleans()):
            content = {**content, key: {**inner, draw(st.sampled_from([*inner, "stages", "epochs", "x"])): value}}
        else:
            content = {**content, key: value}
    if draw(st.integers(0, 19)) == 0:
        content = value
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
