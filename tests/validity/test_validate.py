"""How verdicts are counted, and a short form of `raylab validate`: the long one is a command."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from analysis.scores.chance_levels import RUN_IDENTITY
from raylab.cli.commands.validate import validate as validate_command
from raylab.errors import RaylabError
from raylab.trials.study import parse_study
from raylab.validity.cases import CASES, ValidityCase
from raylab.validity.cohort import run_cohort, settings_of, study_of
from raylab.validity.outcome_table import any_verdict, markdown, most_false_verdicts, table, verdict
from raylab.validity.validate import jobs_of, validate


def cohort(case: str, seed: int, **rows: tuple[float, float]) -> dict[str, Any]:
    """A stored cohort with (difference, adjusted p) of some variants."""
    base = {"technique": "non_personalized", "variant": "-", "mean": 0.5, "difference": None, "p_adjusted": None}
    made = [
        {"technique": name, "variant": "-", "mean": 0.5 + d, "difference": d, "p_adjusted": p} for name, (d, p) in rows.items()
    ]
    return {"settings": {"case": case, "seed": seed, "options": {"participants": 20}}, "rows": [base, *made]}


def test_a_verdict_needs_a_difference_and_a_p_of_at_most_five_percent() -> None:
    assert ["better", "worse", "no difference", "no difference"] == [
        verdict(0.1, 0.05), verdict(-0.1, 0.01), verdict(0.1, 0.051), verdict(0.0, 0.01),
    ]  # fmt: skip


def test_an_expected_sign_is_found_in_eighty_percent_of_the_cohorts() -> None:
    cohorts = [cohort("shifted", i, user_dependent=(0.3, 0.01 if i < 8 else 0.2), multi_task=(0.3, 0.01)) for i in range(10)]
    rows = table(cohorts).set_index("technique")
    assert (0.8, "yes") == (rows.loc["user_dependent", "better"], rows.loc["user_dependent", "found"])
    assert ("not better", "no") == (rows.loc["multi_task", "expected"], rows.loc["multi_task", "found"])
    assert ("yes", "no") == tuple(
        table([cohort("shifted", i, multi_task=(0.3, 0.01 if i < k else 0.2)) for i in range(10)]).loc[0, "found"]
        for k in (1, 2)
    )  # what is not better may be declared so in one of ten, not in two
    cohorts[0] = cohort("shifted", 0, user_dependent=(0.3, 0.2), multi_task=(0.3, 0.01))
    assert "no" == table(cohorts).set_index("technique").loc["user_dependent", "found"]


def test_a_study_with_nothing_to_find_counts_once_however_many_verdicts_it_has() -> None:
    cohorts = [
        cohort("no_signal", i, hybrid=(0.1, 0.01 if i == 0 else 0.5), user_dependent=(0.1, 0.02 if i == 0 else 0.9))
        for i in range(60)
    ]
    row = any_verdict(cohorts).iloc[0]
    assert (60, 1) == (row["studies"], row["with a verdict"])
    assert (0.000422, 0.0894) == (
        pytest.approx(row["low"], abs=1e-5),
        pytest.approx(row["high"], abs=1e-3),
    )  # Clopper-Pearson of 1 in 60
    assert "| no_signal | 60 | 1 | 0.017 | 0.000 | 0.089 | yes |" in markdown(cohorts) and "at most 1 of 60" in markdown(
        cohorts
    )


@pytest.mark.parametrize("studies", [29, 41, 60, 200, 500])
def test_a_true_rate_of_ten_percent_fails_95_percent_of_the_time(studies: int) -> None:
    """By the binomial distribution: the limit is the largest that a rate of 10% stays within at most 5% of the time."""
    most = most_false_verdicts(studies)
    assert stats.binom.cdf(most, studies, 0.10) <= 0.05 < stats.binom.cdf(most + 1, studies, 0.10)


def test_as_many_null_studies_as_by_default_tell_good_from_bad() -> None:
    """At most 12 of 200: a rate of 10% passes 3% of the time, one of 5% passes 80%, one of 4% 94%. Fewer than 29 studies cannot fail a
    rate of 10% so surely, and do not pass."""
    default = inspect.signature(validate_command).parameters["null_studies"].default
    assert (200, 12) == (default, most_false_verdicts(default))
    passing = [stats.binom.cdf(12, 200, rate) for rate in (0.10, 0.05, 0.04)]
    assert pytest.approx([0.032, 0.796, 0.940], abs=0.001) == passing
    assert -1 == most_false_verdicts(28)
    few = [cohort("no_signal", i, hybrid=(0.1, 0.5)) for i in range(28)]
    assert "too few studies" == any_verdict(few).loc[0, "passes"] and "at most none of so few" in markdown(few)
    many = [cohort("no_signal", i, hybrid=(0.1, 0.01 if i < 13 else 0.5)) for i in range(200)]
    assert ("no", "yes") == (any_verdict(many).loc[0, "passes"], any_verdict(many[1:] + few[:1]).loc[0, "passes"])


def test_a_variant_without_a_test_is_not_counted() -> None:
    cohorts = [cohort("shifted", i, user_dependent=(0.3, 0.01)) for i in range(3)]
    cohorts[0]["rows"][1] |= {"difference": None, "p_adjusted": None}
    assert (2, 1.0) == tuple(table(cohorts).set_index("technique").loc["user_dependent", ["cohorts", "better"]])


def test_the_longest_expectation_that_fits_decides() -> None:
    blocks = CASES["blocks"]
    assert "better" == blocks.expectation("fine_tuning layers=all budget=0.5 draw=random")
    assert "not better" == blocks.expectation("fine_tuning layers=all budget=0.5 draw=random unit=block")
    assert CASES["clustered"].expectation("hybrid budget=0.4") is None


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_every_case_is_a_study_whose_expectations_meet_a_variant(case: ValidityCase) -> None:
    study = parse_study(study_of(case, 3), case.name)
    names = [
        f"{entry.name} {variant}"
        for entry in study.techniques
        for variant in (" ".join(f"{k}={v}" for k, v in made.items()) for made in entry.variants)
    ]
    assert [3] == study.seeds
    for start in case.expected:
        assert any(name.startswith(start.split(" ")[0]) for name in names), start


def test_cases_take_turns_so_that_a_run_that_is_stopped_has_some_of_each() -> None:
    jobs = jobs_of(("shifted", "no_signal"), 2, 3)
    assert [("shifted", 0), ("no_signal", 0), ("shifted", 1), ("no_signal", 1), ("no_signal", 2)] == [
        (case.name, seed) for case, seed in jobs
    ]
    with pytest.raises(RaylabError, match="unknown case nothing; there are no_signal"):
        jobs_of(("nothing",), 1, 1)


def test_settings_tell_cohorts_apart() -> None:
    shifted = CASES["shifted"]
    assert settings_of(shifted, 0, 20) != settings_of(shifted, 1, 20) != settings_of(shifted, 1, 21)
    assert settings_of(CASES["homogeneous"], 0, 20) != settings_of(CASES["shuffled_labels"], 0, 20)


@pytest.mark.slow  # a minute of Ray's workers
def test_validate_goes_on_where_it_stopped(cluster: None, tmp_path: Path) -> None:
    """Two small cohorts through Ray, then the same command again, and one with other settings."""
    said: list[str] = []
    page = validate(jobs_of(("blocks",), 2, 1), 4, str(tmp_path), said.append)
    assert "2 cohorts of 4 people; 0 done already" == said[0]
    assert "| blocks |" in page and page == (tmp_path / "validity.md").read_text()
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cohorts").iterdir()}
    assert {"blocks.0.json", "blocks.1.json"} == set(files)
    said.clear()
    assert page == validate(jobs_of(("blocks",), 2, 1), 4, str(tmp_path), said.append)
    assert ["2 cohorts of 4 people; 2 done already"] == said
    assert files == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cohorts").iterdir()}


@pytest.mark.slow  # half a minute of training
def test_short_form_a_shifted_cohort_is_won_by_calibration_alone() -> None:
    """Ten people: own directions are learned from own windows; pooled training is near chance."""
    done = run_cohort(CASES["shifted"], 0, 10)
    rows = {f"{row['technique']} {row['variant']}": row for row in done["rows"]}
    assert rows["fine_tuning layers=all budget=0.4"]["difference"] > 0.2
    assert rows["user_dependent budget=0.4"]["difference"] > 0.2
    assert rows["non_personalized -"]["mean"] < 0.75


@pytest.mark.slow  # half a minute of training
def test_short_form_shuffled_labels_leave_every_technique_at_chance() -> None:
    done = run_cohort(CASES["shuffled_labels"], 0, 10)
    for row in done["rows"]:
        if row["technique"] == RUN_IDENTITY:  # an oracle, whose runs are single windows here
            continue
        assert 0.35 < row["mean"] < 0.65, row
