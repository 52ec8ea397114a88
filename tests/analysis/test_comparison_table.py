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
from analysis.scores.chance_levels import CHANCE_LEVELS, CLOCK, MEANINGS, TEXT_CEILING
from analysis.statistics.paired_tests import mean_test
from analysis.statistics.variant_selection import select_variants

HOSTILE = "[1ex] 50%_of {all} \\input{x} $&#~^ <b>|</b> [*](http://x) é ÿ € 中\nnext"


def chosen(**columns: Any) -> pd.DataFrame:
    """One row of ``analysis.statistics.variant_selection.select_variants``: fine_tuning's column."""
    row = {
        "technique": "fine_tuning",
        "n_participants": 10,
        "mean": 0.61,
        "sd": 0.1,
        "baseline_mean": 0.49,
        "difference": 0.12,
        "p": 0.01,
        "p_adjusted": 0.03,
        "outcome": "better",
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
    """mean (SD), SD of seeds, mean of the reference, n, difference, interval, effect, both p and the outcome stand in the order of the head."""
    comparison = analysis.compare(scores(FINE))
    row = comparison_table.rows(comparison)[1]
    assert ("fine_tuning", "budget=0.2", "0.555 (0.030)", "", "0.500", "10", "+0.055") == row[:7]
    test = mean_test(np.array(STEPS), 1 + 10 / 9)
    assert (f"[{test.low:+.3f}, {test.high:+.3f}]", "+1.00", f"{test.p:.4f}", f"{2 * test.p:.4f}", "better") == row[7:]


def test_a_caption_names_test_family_size_n_and_scoring() -> None:
    """Everything that a reviewer asks of a p stands under the table, and that leave-one-out scores share training data."""
    caption = comparison_table.caption(analysis.compare(scores(FINE)))
    for part in (
        "AUROC",
        "over 10 participants",
        "scoring: paired",
        "t of the mean difference, variance inflated for shared training, two-sided",
        "family of 2 variants",
        "95% interval: of the same test as p, not adjusted for the family",
        "s^2 / n times 2.11 (bound)",
    ):
        assert part in caption
    assert "share training data" in caption
    assert "published (non_personalized on all windows" in comparison_table.caption(
        analysis.compare(scores(FINE, scoring="published"))
    )


def test_differences_that_few_people_make_are_marked() -> None:
    """Of two variants of ten people one differs for three only: that row's p carries the mark and the caption its meaning."""
    few = {**FINE, ("fine_tuning", "budget=0.3"): [0.1, 0.2, 0.3] + [0.0] * 7}
    comparison = analysis.compare(scores(few))
    place = comparison_table.headings().index("p Holm")
    assert [False, False, True] == [row[place].endswith("°") for row in comparison_table.rows(comparison)]
    assert "1 of 2 rows" in comparison_table.caption(comparison)
    assert "°" not in comparison_table.markdown(analysis.compare(scores(FINE)))


@pytest.mark.parametrize("narrow", [True, False])
def test_a_model_without_techniques_has_no_columns_of_tests(narrow: bool) -> None:
    """Fault of before: a study of eight models showed seven tables of empty columns. Where one variant is tested, all columns stay."""
    alone, tested = (analysis.compare(scores(values)) for values in ({("non_personalized", "-"): [0.5] * 10}, FINE))
    head, rows = comparison_table.shown(alone, narrow)
    wide = ("technique", "variant", "mean (SD)", "SD seeds", "n"), (("non_personalized", "-", "0.750 (0.000)", "0.354", "10"),)
    assert (head, rows) == ((("variant", "mean"), (("non_personalized", "0.750"),)) if narrow else wide)
    assert comparison_table.shown(tested)[0] == comparison_table.headings()
    assert comparison_table.shown(tested, narrow=True)[0] == comparison_table.NARROW_HEADINGS


def test_rows_without_a_signal_are_explained() -> None:
    """Fault of before: run_identity stood in every table with 1.000, and no table said what it is. A table without such rows says nothing of them."""
    levels = {(name, "-"): [0.5] * 10 for name in CHANCE_LEVELS}
    assert set(CHANCE_LEVELS) == {*MEANINGS, TEXT_CEILING}
    for shown, told in ((FINE | levels, MEANINGS), (FINE | {("clock", "-"): [0.5] * 10}, {CLOCK: MEANINGS[CLOCK]}), (FINE, {})):
        comparison = analysis.compare(scores(shown))
        table = paper_table.build(comparison, select_variants(scores(shown)))
        for text in (comparison_table.markdown(comparison).replace("\\", ""), paper_table.caption(table)):
            assert [f"{name} ({meaning})" in text for name, meaning in MEANINGS.items()] == [name in told for name in MEANINGS]
            assert ("no signal" in text) == bool(told)


def test_published_scoring_does_not_claim_the_same_windows() -> None:
    """Fault of before: the reference is then scored on all windows, and both tables said that a difference is on the same ones."""
    for scoring, is_claimed in (("paired", True), ("published", False)):
        comparison = analysis.compare(scores(FINE, scoring=scoring))
        table = paper_table.build(comparison, select_variants(scores(FINE, scoring=scoring)))
        for text in (
            comparison_table.caption(comparison),
            comparison_table.markdown(comparison),
            paper_table.caption(table),
            paper_table.latex(table),
        ):
            assert ("on the same windows" in text) == is_claimed


def test_missing_scores_are_counted() -> None:
    """A participant without a score on one side stands under n and in the caption."""
    comparison = analysis.compare(scores({("x", "-"): [np.nan, *STEPS]}))
    assert "10 (1 missing)" == comparison_table.rows(comparison)[1][comparison_table.headings().index("n")]
    assert "dropped pairwise: 1, counted under n" in comparison_table.caption(comparison)


def test_the_paper_layout_has_a_row_per_cell_and_a_column_per_technique() -> None:
    """A column is the chosen one's, with the paired difference and p under the mean; the arrows are the verdict's."""
    both = pd.concat(
        [chosen(), chosen(technique="hybrid", mean=0.555, sd=0.03, difference=-0.055, p_adjusted=0.00004, outcome="worse")]
    )
    table = paper_table.build(analysis.compare(scores({**FINE, ("hybrid", "budget=0.2"): STEPS})), both)
    row = table.iloc[0]
    assert 1 == len(table)
    names = ("mean", "reference", "difference", "p", "outcome", "variants")
    assert (0.61, 0.49, 0.12, 0.03, "better", 2) == tuple(row[[f"fine_tuning {name}" for name in names]])
    lines = paper_table.markdown(table).splitlines()
    assert "| dataset | label | model | n | non_personalized | fine_tuning | hybrid |" == lines[0]
    cells = "0.500 (0.000) | 0.610 (0.100)↑ +0.120, p=0.0300 | 0.555 (0.030)↓ -0.055, p&lt;0.0001 |"
    assert f"| d | l | fcn | 10 | {cells}" == lines[2]
    assert "↑ (↓): better (worse)" in lines[4]


def test_a_mean_on_other_windows_has_its_paired_difference_beneath() -> None:
    """Fault of before: non_personalized has 0.893 over all windows and a technique 0.862 over those that it leaves, and nothing said that the
    paired gain is +0.12. The two windows' means do not compare, the difference under the mean does."""
    few = scores({("fine_tuning", "-"): [0.12 + (i - 4.5) / 500 for i in range(10)]}, base=0.742)
    few.loc[few["technique"].eq("non_personalized") & few["against"].eq(""), "auroc"] = 0.893
    table = paper_table.build(analysis.compare(few), select_variants(few))
    cells = paper_table.rows(table, "\n")[0]
    assert "0.893 (0.000)" == cells[4]
    mean, under = cells[5].split("\n")
    assert "0.862 (0.006)↑" == mean and under.startswith("+0.120, p<")
    assert pytest.approx((0.742, 0.12)) == tuple(table.loc[0, ["fine_tuning reference", "fine_tuning difference"]])
    assert "not to be set beside that of non_personalized" in paper_table.caption(table)


@pytest.mark.parametrize(("outcome", "mark"), [("better", "↑"), ("worse", "↓"), ("equivalent", "="), ("undecided", "")])
def test_a_mark_is_the_verdicts_outcome(outcome: str, mark: str) -> None:
    """Whatever the difference and its p: the arrow repeats the outcome and no more."""
    table = paper_table.build(analysis.compare(scores(FINE)), chosen(outcome=outcome))
    assert f"0.610 (0.100){mark} +0.120" in paper_table.markdown(table).splitlines()[2]


def test_no_arrow_without_a_significant_difference() -> None:
    """Gains of three people of ten, however large, are no verdict."""
    few = scores({("hybrid", "-"): [0.4] * 3 + [0.0] * 7})
    table = paper_table.build(analysis.compare(few), select_variants(few))
    assert "undecided" == table.loc[0, "hybrid outcome"]
    assert "↑" not in paper_table.markdown(table).splitlines()[2]


def test_best_on_test_is_labelled_and_has_no_p() -> None:
    """The best variant's mean, called optimistic in the table's own column and in its caption; no difference, no p, no arrow."""
    table = paper_table.build(analysis.compare(scores(FINE)), chosen(), best=True)
    row = table.iloc[0]
    assert (0.7, 0.2) == tuple(row[["fine_tuning mean", "fine_tuning sd"]])
    assert row["choice"].startswith("optimistic")
    assert row[["fine_tuning p", "fine_tuning difference"]].isna().all()
    printed = paper_table.markdown(table)
    assert "Optimistic" in printed
    assert "↑" not in printed and "p=" not in printed


def test_a_cell_that_lacks_a_technique_or_people_says_so() -> None:
    """Two datasets with other techniques: a dash; fewer people than the row's n: it stands at the cell."""
    both = pd.concat([scores({("a", "-"): STEPS, ("b", "-"): STEPS[:9]}), scores({("b", "-"): STEPS}, dataset="e")])
    chosen_ones = select_variants(both)
    body = paper_table.markdown(paper_table.build(analysis.compare(both), chosen_ones)).splitlines()[2:4]
    p = [formatting.p_value(value) for value in chosen_ones["p_adjusted"]]
    under = [f"{difference}, p={value}" for difference, value in zip(("+0.055", "+0.050", "+0.055"), p, strict=True)]
    assert f"| d | l | fcn | 10 | 0.500 (0.000) | 0.555 (0.030)↑ {under[0]} | 0.550 (0.027)↑ {under[1]}, n=9 |" == body[0]
    assert f"| e | l | fcn | 10 | 0.500 (0.000) | - | 0.555 (0.030)↑ {under[2]} |" == body[1]


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
