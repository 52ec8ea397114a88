"""What a run keeps of its windows, who its stages train on, and a study's primary question, from the study file to the verdict."""

import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.running import quiet
from builders.studies import small, study
from builders.windows import make_windows, with_card

import analysis
from analysis.errors import AnalysisError
from analysis.report.page import report_page
from analysis.report.registry import report_parts
from analysis.report.write import report_data
from analysis.statistics.dependence import SIMULATED, SIMULATED_OR_BOUND
from raylab.errors import StudyError
from raylab.files import Folder
from raylab.runs import run as run_module
from raylab.runs import window_summaries as module
from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.runs.window_summaries import MOST_FEATURES, SCHEMA, window_summaries
from raylab.trials.plan import check_datasets
from raylab.trials.study import parse_study
from raylab.windows.dataset import Windows


def _summaries(windows: Windows, **entry: object) -> "module.pa.Table":
    read = parse_study(study(datasets=[{"windows": "made", "label": "stress", **entry}]), "s")
    return window_summaries(check_datasets(read, {"made": windows.index}))


def test_labelled_windows_are_described_by_numbers_alone() -> None:
    """Every window with the label, its participant and position, and features; nothing else, and no text of a card."""
    windows = make_windows({"A": [0, 1, -1, 0], "B": [1, 0], "C": [1, 0]})
    table = _summaries(windows)
    assert SCHEMA == table.schema
    assert ["A"] * 3 + ["B"] * 2 + ["C"] * 2 == table["participant"].to_pylist()
    assert [0, 0, 0, 1, 1, 2, 2] == table["position"].to_pylist() and [0, 1, 0, 1, 0, 1, 0] == table["y"].to_pylist()
    assert windows.index.window[[0, 1, 3, 4, 5, 6, 7]].tolist() == table["window"].to_pylist()
    assert {("made", "stress")} == set(zip(table["dataset"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_features_are_principal_components_of_what_the_study_uses(made: Windows) -> None:
    """Two channels of three statistics: six components, uncorrelated, by falling variance, the same each time; one channel: three."""
    features = np.array(_summaries(made)["features"].to_pylist())
    assert (100, 6) == features.shape
    covariance = np.cov(features.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-4
    assert (np.diff(np.diag(covariance)) <= 1e-6).all()
    assert pytest.approx(6 * 100 / 99, rel=1e-4) == np.trace(covariance)  # each statistic has variance 1
    assert _summaries(made).equals(_summaries(made))
    assert (100, 3) == np.array(_summaries(made, channels=["a"])["features"].to_pylist()).shape


def test_at_most_32_features_are_kept() -> None:
    """Of 90 statistics the 32 largest components; columns that never move are left out, and nothing is NaN."""
    x = np.random.default_rng(0).normal(0, 1, (200, 90)).astype(np.float32)
    x[:, 5] = 3.0
    components = module._components(x)
    assert (200, MOST_FEATURES) == components.shape == (200, 32)
    variances = components.var(axis=0)
    assert (np.diff(variances) <= 1e-5).all() and np.isfinite(components).all()
    assert (10, 0) == module._components(np.ones((10, 4), dtype=np.float32)).shape


def test_large_cohorts_are_left_out(made: Windows, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than 300 participants are tested with the bound, so nothing of them is kept."""
    assert 300 == module.MOST_PARTICIPANTS
    monkeypatch.setattr(module, "MOST_PARTICIPANTS", 5)
    assert 100 == len(_summaries(made))
    monkeypatch.setattr(module, "MOST_PARTICIPANTS", 4)
    assert 0 == len(_summaries(made)) and SCHEMA == _summaries(made).schema


PRIMARY = {"technique": "user_dependent", "smallest_effect": 0.05}
TECHNIQUES = [
    "non_personalized",
    {"name": "fine_tuning", "layers": "last", "budget": 0.2},
    {"name": "hybrid", "budget": 0.2},
    {"name": "user_dependent", "budget": 0.4},
    {"name": "cluster_specific", "k": 2},
]


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study of every kind of technique with a primary comparison, run in this process."""
    out = tmp_path_factory.mktemp("primary") / "run"
    summary = start(small(techniques=TECHNIQUES, primary=PRIMARY), str(cohort), str(out), "local", log=quiet)
    assert summary.complete
    return out


def test_records_say_who_each_stage_trains_on(run: Path) -> None:
    """Of five people: the base on three of the four others (one validates), fine-tuning then on the target, hybrid on the base's and the target,
    user-dependent on the target alone, a cluster on some of the others."""
    people = analysis.load(run).window_summaries.drop_duplicates("position").set_index("participant")["position"]
    records = RunFolder(str(run)).records()
    bases = {r["participant"]: int(r["trained_on"][0], 16) for r in records if r["technique"] == "non_personalized"}
    for record in records:
        base, own = bases[record["participant"]], 1 << int(people[record["participant"]])
        assert 3 == base.bit_count() and not base & own and base < 1 << 5
        stages = [int(text, 16) for text in record["trained_on"]]
        expected = {
            "non_personalized": [base], "fine_tuning": [base, own], "hybrid": [base | own], "user_dependent": [own],
        }.get(record["technique"])  # fmt: skip
        assert len(record["stages"]) == len(stages)
        assert stages == expected if expected else 0 < stages[0] < 1 << 5 and not stages[0] & own


def test_a_run_keeps_its_summaries_and_measures_its_inflation(run: Path) -> None:
    """The file is that of the windows; every technique's inflation is simulated with it, and stands in inflation.csv and the comparison."""
    stored = pq.read_table(run / "window_summaries.parquet")
    assert SCHEMA == stored.schema and len(stored) == len(analysis.load(run).window_summaries)
    inflations = analysis.variance_inflations(analysis.load(run))
    assert 4 == len(inflations) and set(inflations["inflation_source"]) <= {SIMULATED, SIMULATED_OR_BOUND}
    (Folder(str(run))).remove("window_summaries.parquet")
    assert {"bound"} == set(analysis.variance_inflations(analysis.load(run))["inflation_source"])
    pq.write_table(stored, run / "window_summaries.parquet")


def test_nobody_holds_a_table_of_all_windows_while_trials_run(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was written and let go before the first trial; a cohort of 10,000 people would have 2 GB of them."""
    made, alive = list[weakref.ref](), list[int]()

    def noting(describe: Callable[..., pa.Table | None]) -> Callable[..., pa.Table | None]:
        def noted(datasets: object) -> pa.Table | None:
            table = describe(datasets)
            made.extend([] if table is None else [weakref.ref(table)])
            return table

        return noted

    for name, describe in run_module.DESCRIPTIONS.items():
        monkeypatch.setitem(run_module.DESCRIPTIONS, name, noting(describe))
    monkeypatch.setattr(run_module, "run_in_process", lambda *_: alive.append(sum(table() is not None for table in made)))
    start(small(), str(cohort), str(tmp_path / "run"), "local", log=quiet)
    assert 3 == len(made) and [0] == alive


def test_the_primary_question_reaches_the_verdict(run: Path) -> None:
    """From the study file over provenance.json to chosen.csv and the page: one test alone, the others in a family, and the study's effect."""
    assert {**PRIMARY, "references": {}} == RunFolder(str(run)).folder.read_json("provenance.json")["primary"]
    question = analysis.load(run).question
    assert ("user_dependent", 0.05, {}) == (question.technique, question.smallest_effect, question.references)
    report = report_data(run)
    chosen = report.frames["chosen"].set_index("technique")
    assert {1} == set(chosen.loc[["user_dependent"], "family_size"]) and 3 == chosen.loc["hybrid", "family_size"]
    (_, sentences), *_ = report_page(report, report_parts()).verdicts
    text = " ".join(sentences)
    assert text.startswith("Primary comparison: ") and "Secondary: " in text
    assert "user_dependent" in text.split("Secondary:")[0] and "hybrid" in text.split("Secondary:")[1]


def test_a_run_without_a_question_has_the_usual_one(run: Path) -> None:
    """An older run's provenance names none; a damaged one is refused with what to do."""
    folder = Folder(str(run))
    origin = folder.read_json("provenance.json")
    try:
        folder.write_json("provenance.json", {name: value for name, value in origin.items() if name != "primary"})
        assert ("", 0.02, {}) == (
            analysis.load(run).question.technique,
            analysis.load(run).question.smallest_effect,
            analysis.load(run).question.references,
        )
        folder.write_json("provenance.json", origin | {"primary": {"technique": 3}})
        with pytest.raises(AnalysisError, match="primary comparison has other fields than"):
            analysis.load(run)
    finally:
        folder.write_json("provenance.json", origin)


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        (
            {"technique": "hybrid"},
            r"primary.technique 'hybrid' is none of the techniques that the study compares \(fine_tuning\)",
        ),
        ({"technique": "non_personalized"}, "primary.technique 'non_personalized' is none"),
        ({"model": "resnet"}, r"primary.model 'resnet' is none of the study's models \(fcn w0.015625\), nor 'all pairs'"),
        ({"smallest_effect": 0}, "smallest_effect"),
        ({"effect": 0.1}, "effect"),
    ],
)
def test_a_question_about_what_the_study_does_not_have_is_refused(primary: dict[str, object], message: str) -> None:
    """Before anything is run, with what there is."""
    with pytest.raises(StudyError, match=message):
        parse_study(study(primary=primary), "s")


def test_a_study_names_what_models_are_set_against() -> None:
    """By name, or all pairs; the first of the study if it names none."""
    assert {} == parse_study(study(), "s").primary.references
    read = parse_study(study(primary={"model": "all pairs", "dataset": "made"}), "s")
    assert {"model": "all pairs", "dataset": "made"} == read.primary.references


def test_traits_and_texts_do_not_change_summaries(made: Windows) -> None:
    """What a card says of people is in no column."""
    spoken = with_card(made, caution="P1 wrote: I felt ill.")
    assert _summaries(made).equals(_summaries(spoken))
