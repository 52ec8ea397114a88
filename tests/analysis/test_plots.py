"""Figures: the frames behind them by hand, colours that can be told apart, svgs that can stand in a page."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from builders.run import write_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from scipy import stats

import analysis
from analysis.figures import figure_data, line_plots, plots
from analysis.figures.svg import inline
from analysis.report import report_figures
from analysis.scores import training_curves
from analysis.scores.run_folder import RunTables
from analysis.statistics.ranking import friedman

CELL = {"dataset": "d", "label": "l", "model": "m"}
HOSTILE = '"><script>alert(1)</script>$x_1$ & S1'


def _pairs(differences: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    """``figure_data.pairs`` of people A, B, ... who all have 0.5 without personalization."""
    rows = [
        {**CELL, "technique": t, "variant": v, "participant": "ABCDEFG"[i], "score": 0.5 + d, "baseline": 0.5, "difference": d}
        for (t, v), values in differences.items()
        for i, d in enumerate(values)
    ]
    return pd.DataFrame(rows)


def _comparison(variants: list[tuple[str, str]], **columns: Any) -> pd.DataFrame:
    """Rows of a comparison that say +0.1 [0, 0.2], p 1."""
    numbers = {
        "mean": 0.6,
        "difference": 0.1,
        "ci_low": 0.0,
        "ci_high": 0.2,
        "n_participants": 5,
        "p_adjusted": 1.0,
        "metric": "auroc",
    }
    return pd.DataFrame([{**CELL, "technique": t, "variant": v, **numbers, **columns} for t, v in variants])


def _contrast(one: str, other: str) -> float:
    """Contrast of two colours by WCAG 2."""
    parts = [np.array(to_rgb(colour)) for colour in (one, other)]
    linear = [np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) for rgb in parts]
    low, high = sorted(float(rgb @ [0.2126, 0.7152, 0.0722]) for rgb in linear)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#14171c"])
def test_every_technique_can_be_seen_on_white_and_on_near_black(ground: str) -> None:
    """3:1, which WCAG asks of what a figure is made of."""
    colours = [
        *(colour for colour, _, _ in [*plots.TECHNIQUE_STYLES.values(), *plots.OTHERS]),
        plots.GAIN,
        plots.LOSS,
        plots.SAME,
    ]
    assert [] == [colour for colour in colours if _contrast(colour, ground) < 3]


def test_no_two_techniques_share_a_marker() -> None:
    """Colour alone never tells techniques apart; one that raylab does not know has its own look too."""
    looks = [
        plots.style_of(name, [*plots.TECHNIQUE_STYLES, "mine", "yours"]) for name in [*plots.TECHNIQUE_STYLES, "mine", "yours"]
    ]
    assert len({marker for _, marker, _ in looks}) == len({colour for colour, _, _ in looks}) == len(looks)


def test_a_figure_is_drawn_the_same_every_time_and_its_ids_are_its_own() -> None:
    """Equal bytes under one name; under another name other ids, so that two figures can stand in one page."""
    frame = figure_data.axis_curves(_comparison([("hybrid", "budget=0.2"), ("hybrid", "budget=0.4")]), "budget")
    first, again, other = (plots.render(lambda: line_plots.over_axis(frame, "auroc", "budget"), name)[0] for name in "aab")
    assert first == again
    ids = [set(re.findall(rb'id="([mp][0-9a-f]{8,})"', svg)) for svg in (first, other)]
    assert ids[0] and not ids[0] & ids[1]


def test_bars_of_the_rank_diagram_are_the_same_in_every_process() -> None:
    """The library joins variants in the order of a set of names; the points of a bar rise all the same."""
    names = ["b", "hybrid budget=0.2", "a", "non_personalized", "c"]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(8, 5)), columns=names)
    axes = line_plots.critical_difference(friedman(table)).axes[0]
    bars = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 2 and len(line.get_xdata()) > 1]
    assert bars and all(list(bar) == sorted(bar) for bar in bars)


def test_names_of_the_rank_diagram_are_whole() -> None:
    """Fault of before: its title and the names on its right went over the figure's edge."""
    variants = [f"layers={layers} budget={budget} unit=block" for layers in ("all", "last") for budget in (0.2, 0.5)]
    names = ["non_personalized", *(f"fine_tuning {variant}" for variant in variants)]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(8, 5)), columns=names)
    figure = line_plots.critical_difference(friedman(table))
    FigureCanvasAgg(figure).draw()
    spans = [text.get_window_extent() for text in (*figure.texts, *figure.axes[0].texts)]
    assert len(spans) == 7 and all(0 <= span.x0 and span.x1 <= figure.bbox.width for span in spans)


def test_an_svg_in_a_page_keeps_its_texts_and_loses_what_could_clash() -> None:
    """A hostile name is text, numbers in texts are not rounded, only ids in use stay, text takes the page's colour, the ground goes."""
    frame = _comparison([("hybrid", HOSTILE), ("hybrid", "-")], difference=0.1236)
    svg, _ = plots.render(lambda: plots.forest(frame), "x")
    root = ET.fromstring(inline(svg, HOSTILE))
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert f"hybrid {HOSTILE}" in texts and "+0.124 [+0.000, +0.200]" in texts
    assert HOSTILE == root.get("aria-label") and "img" == root.get("role")
    assert not [element for element in root.iter() if element.tag.endswith(("script", "style", "metadata"))]
    text = ET.tostring(root, encoding="unicode")
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids and all(f"#{name}" in text for name in ids)
    assert plots.INK not in text and "currentColor" in text
    assert len(root.findall(".//{*}path")) < len(ET.fromstring(svg).findall(".//{*}path"))


def test_slopes_show_the_variant_that_the_others_choose() -> None:
    """On A's and B's mean ``a`` is better for C, though C itself did better with ``b``."""
    pairs = _pairs({("x", "a"): [0.2, 0.2, -0.1], ("x", "b"): [0.0, 0.0, 0.3]})
    selected = figure_data.selected_variant_pairs(pairs, "auroc").set_index("participant")
    assert "a" == selected.loc["C", "variant"]
    assert ["A", "B", "C"] == sorted(selected.index)


def test_the_worst_participant_is_named() -> None:
    """The largest loss is named beside its line; a technique without a loss names no participant."""
    frame = _pairs({("x", "a"): [0.1, -0.2, -0.3], ("y", "b"): [0.1, 0.0, 0.2]})
    texts = [text.get_text() for axes in plots.slopes(frame, "auroc").axes for text in axes.texts]
    assert ["C −0.300"] == texts


def test_the_heat_map_says_zero_only_where_nothing_changed() -> None:
    """A change that rounds to nothing keeps its sign, a missing score is a dash."""
    assert ["0", "+.00", "−.25", "+1.00", "–"] == [plots.short_difference(x) for x in (0.0, 0.001, -0.25, 1.0, np.nan)]
    figure = plots.heatmap(figure_data.gain_table(_pairs({("x", "a"): [0.5, -0.25, np.nan]})), "auroc")
    assert ["+.50", "−.25", "–"] == [text.get_text() for text in figure.axes[0].texts]


def test_gains_put_people_in_the_order_of_their_numbers() -> None:
    """S2 stands before S10; variants keep the order of the comparison."""
    pairs = _pairs({("b", "k=2"): [0.1, 0.2], ("a", "-"): [0.3, 0.4]}).replace({"participant": {"A": "S10", "B": "S2"}})
    gains = figure_data.gain_table(pairs)
    assert (["S2", "S10"], ["b k=2", "a"]) == (list(gains.columns), list(gains.index))


def test_a_curve_over_an_axis_has_numbers_in_order_and_words_last() -> None:
    """Other axes make lines of their own; one value alone is no curve, and variants without the axis are left out."""
    variants = [("x", "layers=all k=10"), ("x", "layers=all k=2"), ("x", "layers=last k=silhouette"), ("y", "-")]
    curves = figure_data.axis_curves(_comparison(variants), "k")
    assert ["2", "10", "silhouette"] == curves["value"].tolist()
    assert ["x layers=all", "x layers=all", "x layers=last"] == curves["line"].tolist()
    assert figure_data.axis_curves(_comparison(variants[:1]), "k").empty


def test_reliability_by_hand() -> None:
    """Four windows of one technique, one of them purged: 0.92 and 0.95 of which one is right, and 0.62 that is right."""
    trials = pd.DataFrame(
        [{**CELL, "trial": "t", "technique": "x", "variant": "-", "participant": "A", "seed": 0, "status": "ok"}]
    )
    p1 = np.array([0.92, 0.05, 0.62, 0.99])
    predictions = pd.DataFrame(
        {
            "trial": "t",
            "participant": "A",
            "window": range(4),
            "y_true": [1, 1, 1, 0],
            "purged": [False, False, False, True],
            "p_0": 1 - p1,
            "p_1": p1,
        }
    )
    bins = figure_data.reliability(analysis.RunTables(trials, trials, predictions, ()))
    assert [6, 9] == bins["bin"].tolist()
    assert [1, 2] == bins["windows"].tolist()
    assert pytest.approx([0.62, 0.935]) == bins["confidence"].tolist()
    assert pytest.approx([1.0, 0.5]) == bins["accuracy"].tolist()
    assert pytest.approx((0.38 + 2 * 0.435) / 3) == bins["ece"].iloc[0]


def test_curves_read_what_was_completed_and_spread_over_trainings(tmp_path: Path) -> None:
    """A training that was interrupted has no curve; median and quartiles are over trainings, epoch by epoch."""
    run = write_run(tmp_path / "run", people=("A", "B", "C"), variants=[("non_personalized", "-")])
    started = {**json.loads(next((run / "trainings").iterdir()).read_text()), "status": "started"}
    (run / "trainings" / "x.json").write_text(json.dumps(started), encoding="utf-8")
    curves = training_curves.training_curves(run)
    assert (6, {"A", "B", "C"}) == (len(curves), set(curves["participant"]))
    curves.loc[curves["epoch"] == 1, "loss"] = [1.0, 2.0, 6.0]
    first = training_curves.loss_quartiles(curves).query("part == 'training' and epoch == 1").iloc[0]
    assert (2.0, 1.5, 4.0, 3) == (first["median"], first["low"], first["high"], first["trainings"])


def test_only_what_a_run_has_is_drawn() -> None:
    """No budgets, no k, no trainings, no differences: no figure."""
    comparison = _comparison([("multi_task", "task=user")], difference=np.nan)
    none = pd.DataFrame(columns=training_curves.COLUMNS)
    assert [] == [
        *report_figures.forest("x", comparison),
        *report_figures.axis_figure("x", comparison, "auroc", report_figures.BUDGET),
        *report_figures.training("x", none),
        *report_figures.reliability("x", pd.DataFrame()),
    ]


def test_file_names_are_plain_stable_and_unlike() -> None:
    """Names that would meet get a checksum each, and nothing can climb out of the folder."""
    cells = [("d", "l", "m"), ("D", "l", "m"), ("../..", "/", ""), ("wesad (wrist)", "stress", "fcn w0.1")]
    slugs = report_figures.slugs(cells)
    assert "wesad-wrist-stress-fcn-w0.1" == slugs[cells[3]]
    assert len(set(slugs.values())) == 4
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", slug) for slug in slugs.values())
    assert slugs == report_figures.slugs(cells)


def _people_tables(people: dict[str, int]) -> RunTables:
    """A run of non_personalized: dataset to the people trained on, all on the windows ``w``."""
    trials = pd.DataFrame(
        [
            {
                "trial": name,
                "dataset": name,
                "label": "l",
                "model": "m",
                "technique": "non_personalized",
                "variant": "-",
                "status": "ok",
            }
            | {"participant": "A", "seed": 0, "people": count}
            for name, count in people.items()
        ]
    )
    return RunTables(trials, trials, pd.DataFrame(), (), sources=dict.fromkeys(people, "w"))


def test_a_learning_curve_is_over_the_number_of_people() -> None:
    """Ascending, whatever the study's order; means with t intervals over 5 participants, the variance inflated by 1 + 5 / 4; differences as they are;
    an entry with a number that is there already does not count, and one number is no curve."""
    tables = _people_tables({"all": 14, "few (5 people)": 5, "other channels": 14})
    shared = {"label": "l", "model": "m", "n_participants": 5, "sd": 0.1}
    comparison = pd.DataFrame(
        [
            shared | {"dataset": name, "technique": "non_personalized", "mean": mean}
            for name, mean in (("all", 0.8), ("few (5 people)", 0.7))
        ]
    )
    tuned = {"technique": "fine_tuning", "difference": 0.02, "ci_low": -0.01, "ci_high": 0.05}
    chosen = pd.DataFrame([shared | tuned | {"dataset": name, "mean": 0.85} for name in tables.sources])
    curves = figure_data.people_curves(tables, comparison, chosen)
    plain = curves[curves["technique"].eq("non_personalized")]
    assert (["5", "14"], [0.7, 0.8], {"w"}) == (plain["value"].tolist(), plain["mean"].tolist(), set(curves["dataset"]))
    reach = stats.t.ppf(0.975, 4) * 0.1 * np.sqrt((1 + 5 / 4) / 5)
    assert pytest.approx((0.7 - reach, 0.7 + reach)) == tuple(plain[["mean_low", "mean_high"]].iloc[0])
    assert ["5", "14"] == curves.loc[curves["technique"].eq("fine_tuning"), "value"].tolist()
    assert 0.02 == curves["difference"].max()
    block = report_figures.learning_curve("w-l-m", curves, "auroc")
    assert "people-w-l-m" == block.name and b"people trained on" in block.svg and b"non_personalized" in block.svg
    assert figure_data.people_curves(_people_tables({"all": 14}), comparison, chosen).empty
    no_people = tables.trials.drop(columns="people")
    assert figure_data.people_curves(RunTables(no_people, no_people, pd.DataFrame(), (), sources={}), comparison, chosen).empty
