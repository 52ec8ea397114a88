"""Tables: what stands in them, what their captions say, and that LaTeX and Markdown survive hostile names."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.scores import CELL, scores
from hypothesis import example, given
from hypothesis import strategies as st

import analysis
from analysis import formatting
from analysis.report import comparison_table, latex, paper_table

HOSTILE = "[1ex] 50%_of {all} \\input{x} $&#~^ <b>|</b> [*](http://x) é ÿ € 中\nnext"


def chosen(**columns: Any) -> pd.DataFrame:
    """One row of ``analysis.statistics.variant_selection.select_variants``: fine_tuning's column."""
    row = {
        "technique": "fine_tuning",
        "n_participants": 10,
        "mean": 0.61,
        "sd": 0.1,
        "p": 0.03,
        "best_mean": 0.7,
        "best_sd": 0.2,
    }
    return pd.DataFrame([{**CELL, **row, **columns}])


STEPS = [0.01 * (i + 1) for i in range(10)]
FINE = {("fine_tuning", "budget=0.2"): STEPS, ("fine_tuning", "budget=0.3"): [-x for x in STEPS]}


def tex_rows(source: str) -> list[int]:
    """Checks that braces balance and that tables close; number of columns of each row.

    A strict reading of what our writer may produce, not of all LaTeX.
    """
    plain = re.sub(r"\\[\\{}&%$#_]", "", re.sub(r"(?m)^%.*$", "", source.replace(r"\\", "")))
    depth = 0
    for mark in plain:
        depth += {"{": 1, "}": -1}.get(mark, 0)
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"(?<!\\)[%#~^_]", re.sub(r"\^\\circ|\$.*?\$", "", plain.replace("@{}", "")).replace("{%", "{"))
    body = source.split(r"\toprule")[1].split(r"\bottomrule", maxsplit=1)[0].replace(r"\midrule", "")
    lines = [line for line in body.strip().splitlines() if line]
    assert all(line.endswith(r" \\") and not line.startswith(("[", "*")) for line in lines)  # an option of the line before
    return [1 + len(re.findall(r"(?<!\\)&", line)) for line in lines]


def compiles(source: str, folder: Path) -> None:
    """pdfLaTeX takes it as it is, after \\input, without a warning about the table."""
    if not shutil.which("pdflatex"):
        pytest.skip("no pdflatex at hand: the strict reading stands alone")
    (folder / "table.tex").write_text(source, encoding="utf-8")
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}"
    (folder / "main.tex").write_text(head + r"\begin{document}\input{table}\end{document}")
    process = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"],
        cwd=folder,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )
    output = process.stdout.decode("latin-1")
    assert process.returncode == 0, output[-2000:]
    assert "Overfull \\hbox" not in output


def test_the_long_form_holds_every_number_of_a_row() -> None:
    """mean (SD), n, difference, interval, effect and both p stand in the order of the head."""
    comparison = analysis.compare(scores(FINE))
    row = comparison_table.rows(comparison)[1]
    assert ("fine_tuning", "budget=0.2", "0.555 (0.030)", "10", "+0.055") == row[:5]
    assert ("+1.00", "0.0020", "0.0039") == row[6:]


def test_a_caption_names_test_family_size_n_and_scoring() -> None:
    """Everything that a reviewer asks of a p stands under the table, and that leave-one-out scores share training data."""
    caption = comparison_table.caption(analysis.compare(scores(FINE)))
    for part in (
        "AUROC",
        "over 10 participants",
        "scoring: paired",
        "Wilcoxon signed-rank (Pratt, exact)",
        "family of 2 variants",
        "BCa",
    ):
        assert part in caption
    assert "share training data" in caption
    assert "published (non_personalized on all windows" in comparison_table.caption(
        analysis.compare(scores(FINE, scoring="published"))
    )


def test_a_p_that_zeros_keep_from_significance_is_marked() -> None:
    """Of two variants of ten people one differs for four only: 2 / 2^4 is over 0.05, that row carries the mark and the caption its meaning."""
    few = {**FINE, ("fine_tuning", "budget=0.3"): [0.1] * 4 + [0.0] * 6}
    comparison = analysis.compare(scores(few))
    assert ["", False, True] == ["" if not row[-1] else row[-1].endswith("°") for row in comparison_table.rows(comparison)]
    assert "(1 of 2 rows)" in comparison_table.caption(comparison)
    assert "°" not in comparison_table.markdown(analysis.compare(scores(FINE)))


def test_where_no_row_can_be_significant_the_least_p_is_named() -> None:
    """Four people cannot give less than 0.125."""
    assert "no adjusted p can fall under 0.125" in comparison_table.caption(analysis.compare(scores({("x", "-"): [0.1] * 4})))


def test_missing_scores_are_counted() -> None:
    """A participant without a score on one side stands under n and in the caption."""
    comparison = analysis.compare(scores({("x", "-"): [np.nan, *STEPS]}))
    assert "10 (1 missing)" == comparison_table.rows(comparison)[1][3]
    assert "dropped pairwise: 1, counted under n" in comparison_table.caption(comparison)


def test_the_paper_layout_has_a_row_per_cell_and_a_column_per_technique() -> None:
    """The chosen column is the chosen one's, a technique with one variant is itself without a p, the arrows are the verdict's."""
    comparison = analysis.compare(scores({**FINE, ("hybrid", "budget=0.2"): STEPS}))
    table = paper_table.build(comparison, chosen())
    row = table.iloc[0]
    assert 1 == len(table)
    assert (0.61, 0.03, 2, 1, 1) == tuple(row[[f"fine_tuning {name}" for name in ("mean", "p", "variants", "above", "below")]])
    assert (1, 1, 0, True) == (*row[["hybrid variants", "hybrid above", "hybrid below"]], pd.isna(row["hybrid p"]))
    assert pytest.approx(0.555) == row["hybrid mean"]
    lines = paper_table.markdown(table).splitlines()
    assert "| dataset | label | model | n | non_personalized | fine_tuning | hybrid |" == lines[0]
    assert "| d | l | fcn | 10 | 0.500 (0.000) | 0.610 (0.100) p=0.0300, 1 of 2 ↑, 1 of 2 ↓ | 0.555 (0.030)↑ |" == lines[2]
    assert "↑ (↓): above (below)" in lines[4]


def test_no_arrow_without_a_significant_difference() -> None:
    """Gains of three people of ten, however large, are no verdict."""
    table = paper_table.build(analysis.compare(scores({("hybrid", "-"): [0.4] * 3 + [0.0] * 7})), pd.DataFrame())
    assert "↑" not in paper_table.markdown(table).splitlines()[2]


def test_best_on_test_is_labelled_and_has_no_p() -> None:
    """The best variant's mean, called optimistic in the table's own column and in its caption; no p, no arrow."""
    table = paper_table.build(analysis.compare(scores(FINE)), chosen(), best=True)
    row = table.iloc[0]
    assert (0.7, 0.2) == tuple(row[["fine_tuning mean", "fine_tuning sd"]])
    assert row["choice"].startswith("optimistic")
    assert pd.isna(row["fine_tuning p"])
    printed = paper_table.markdown(table)
    assert "Optimistic" in printed
    assert "↑" not in printed and "p=" not in printed


def test_a_cell_that_lacks_a_technique_or_people_says_so() -> None:
    """Two datasets with other techniques: a dash; fewer people than the row's n: it stands at the cell."""
    both = pd.concat([scores({("a", "-"): STEPS, ("b", "-"): STEPS[:9]}), scores({("b", "-"): STEPS}, dataset="e")])
    body = paper_table.markdown(paper_table.build(analysis.compare(both), pd.DataFrame())).splitlines()[2:4]
    assert "| d | l | fcn | 10 | 0.500 (0.000) | 0.555 (0.030)↑ | 0.550 (0.027)↑ n=9 |" == body[0]
    assert "| e | l | fcn | 10 | 0.500 (0.000) | - | 0.555 (0.030)↑ |" == body[1]


def test_latex_is_ready_to_input(tmp_path: Path) -> None:
    """Both tables, with names and notes full of what LaTeX reads as commands: braces balance, columns count, pdfLaTeX takes them."""
    comparison = analysis.compare(scores({**FINE, (HOSTILE, HOSTILE): STEPS}, dataset=HOSTILE))
    long, wide = (
        comparison_table.latex(comparison, (HOSTILE,)),
        paper_table.latex(paper_table.build(comparison, chosen(dataset=HOSTILE)), (HOSTILE,)),
    )
    assert [len(comparison_table.headings())] * 5 == tex_rows(long)
    assert [7] * 4 == tex_rows(wide)
    assert r"50\%\_of \{all\} \textbackslash{}input\{x\} \$\&\#" in long
    compiles(long + wide, tmp_path)


@example(HOSTILE)
@given(st.text(max_size=40))
def test_escaped_text_is_one_line_without_commands(said: str) -> None:
    """Whatever a name holds, nothing in it opens a group, a column, a comment or a command of its own."""
    escaped = latex.escape(said)
    assert "\n" not in escaped
    commands = "|".join(re.escape(value) for value in sorted(latex.MEANS.values(), key=len, reverse=True))
    assert not set(re.sub(commands, "", escaped)) & set("\\{}[]*&%$#_~^")
    table = formatting.pipe_table(["a", "b"], [[said, "x"]])
    assert 3 == len(table)
    assert 3 == len(re.findall(r"(?<!\\)(?:\\\\)*\|", table[2]))
    assert "<" not in table[2]


def test_numbers_are_printed_alike() -> None:
    """Three digits, a sign if asked for, nothing if missing; a tiny p is bounded."""
    assert ("0.500", "+0.500", "", "<0.0001", "0.0500") == (
        formatting.number(0.5), formatting.number(0.5, sign=True), formatting.number(np.nan), formatting.p_value(1e-9), formatting.p_value(0.05),
    )  # fmt: skip
    assert ("0.500", "", "15", "14 to 15") == (
        formatting.mean_sd(0.5, np.nan),
        formatting.interval(np.nan, 1),
        formatting.int_range([15, 15]),
        formatting.int_range([15, 14]),
    )
