"""A study whose windows are streamed: the same predictions, and nothing on the node's disk."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import ray
from builders.running import predictions, quiet
from builders.studies import small, two_workers
from builders.windows import make_windows, store
from ray.data import DataContext

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs import streamed_windows
from raylab.runs.cost import estimate
from raylab.runs.run import start
from raylab.runs.shared_windows import shared_windows, windows_of
from raylab.runs.streamed_windows import PART_BYTES, _where_seen, in_parts
from raylab.training.epoch_order import order_of_epoch
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study
from raylab.validity.label_flip_probe import flipped_labels
from raylab.windows.cross_corpus import open_windows, read_source, streamed_source
from raylab.windows.dataset import CARD
from raylab.windows.streamed import WindowSource, stream_of

TECHNIQUES = [
    "non_personalized",
    {"name": "fine_tuning", "layers": ["all", "last"], "budget": 0.2, "unit": "window"},
    {"name": "hybrid", "budget": 0.2, "unit": "window"},
    {"name": "adabn", "unlabelled": ["past", "all"]},
    {"name": "history", "unlabelled": "past"},
    {"name": "prototypes", "budget": 0.2, "unit": "window"},
    {"name": "reptile", "budget": 0.2, "unit": "window"},
    {"name": "pretrain", "unlabelled": "none", "budget": 0.2, "unit": "window"},
    {"name": "tent", "unlabelled": "all"},
]


def _study(kept: str, techniques: list | None = None, **resources: object) -> Study:
    """Two targets; a network, and two models that see statistics of windows."""
    models = [{"encoder": "fcn", "width": 1 / 64}, {"encoder": "lda"}, {"encoder": "rule"}]
    models = [m if m["encoder"] == "fcn" else {**m, "techniques": ["non_personalized"]} for m in models]
    return small(
        datasets=[{"windows": "simulated", "label": "stress", "participants": ["P01", "P02"]}],
        models=models,
        techniques=techniques or TECHNIQUES,
        protocol={"epochs": 2, "batch_size": 16, "shuffle_buffer": 24},
        resources={"windows": kept, **resources},
    )


@pytest.fixture
def no_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without room for a copy of any windows."""
    (tmp_path / "full").write_text("")
    monkeypatch.setenv("RAYLAB_WINDOWS_CACHE", str(tmp_path / "full"))


@pytest.fixture(scope="module")
def mapped(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mapped") / "run"
    assert start(_study("mapped"), str(cohort), str(out), "local", log=quiet).complete
    return out


def test_every_technique_predicts_the_same(mapped: Path, cohort: Path, tmp_path: Path, no_copies: None) -> None:
    """To the bit, on a node that cannot hold a copy; mapped windows cannot be had there."""
    with pytest.raises(RaylabError, match="cannot be copied"):
        start(_study("mapped"), str(cohort), str(tmp_path / "mapped"), "local", log=quiet)
    assert start(_study("streamed"), str(cohort), str(tmp_path / "run"), "local", log=quiet).complete
    assert predictions(mapped) == predictions(tmp_path / "run")


def test_ray_data_streams_the_same(mapped: Path, cohort: Path, tmp_path: Path, cluster: None) -> None:
    """Both processors of this Ray are taken by trials while its tasks read."""
    summary = start(_study("streamed"), str(cohort), str(tmp_path / "run"), log=quiet)
    assert summary.complete, summary.lines()
    assert predictions(mapped) == predictions(tmp_path / "run")


def test_a_trial_whose_memory_runs_out_leaves_nothing_and_says_what_to_do(cohort: Path, tmp_path: Path) -> None:
    """The windows that were read ahead for it are not held while the next trial loads its own."""
    windows = open_windows(str(cohort), "simulated", "streamed")
    trial, held = next(plan(_study("streamed", TECHNIQUES[:1]), {"simulated": windows.index})), list[int]()
    stream = stream_of(windows.signals)
    assert stream is not None

    def runs_out(*_: object) -> None:
        held.append(stream.expected.most_held)
        raise RuntimeError("could not create a primitive")

    outcome = run_trial(trial, windows, StageStore(Folder(tmp_path)), on_batch=runs_out)
    assert held and held[0] and stream.expected is None
    assert (
        "failed" == outcome.status and "could not create a primitive (memory ran out. What to do: " in outcome.record["error"]
    )
    assert "resources.cpu" in outcome.record["error"]


@pytest.mark.slow
def test_a_group_of_workers_streams_the_same(cohort: Path, tmp_path: Path, cluster: None) -> None:
    """Each worker has a stream of its own shares."""
    for kept in ("mapped", "streamed"):
        study = two_workers(
            protocol={"epochs": 2, "batch_size": 16, "shuffle_buffer": 24}, resources={"workers": 2, "windows": kept}
        )
        assert start(study, str(cohort), str(tmp_path / kept), log=quiet).complete
    assert predictions(tmp_path / "mapped") == predictions(tmp_path / "streamed")


def test_windows_in_a_bucket(mapped: Path, cohort: Path, tmp_path: Path, cluster: None, bucket: Callable[[str], str]) -> None:
    """Of an object store nothing but the parts that are read comes to the node."""
    here, there = Folder(cohort / "simulated"), Folder(bucket("streamed/simulated"))
    for name in here.stamps():
        there.write(name, here.read(name))
    root = bucket("streamed")
    assert start(_study("streamed", TECHNIQUES[:1]), root, str(tmp_path / "run"), log=quiet).complete
    expected, found = predictions(mapped), predictions(tmp_path / "run")
    assert found and found == {key: expected[key] for key in found}


def test_changed_windows_are_refused_before_the_first_trial(cohort: Path, tmp_path: Path, cluster: None) -> None:
    """By the participant's name, on Ray as in one process."""
    folder = tmp_path / "simulated"
    for name, _ in Folder(cohort / "simulated").stamps().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((cohort / "simulated" / name).read_bytes())
    parts = sorted(folder.glob("participant=*/*.parquet"))
    parts[2].write_bytes(parts[3].read_bytes())
    for executor in ("ray", "local"):
        with pytest.raises(RaylabError, match="P03"):
            start(_study("streamed"), str(tmp_path), str(tmp_path / executor), executor, log=quiet)


def test_a_node_that_does_not_see_the_windows_gets_them(cohort: Path, cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the driver's node, part by part."""
    where, node = streamed_source(str(cohort), "simulated"), ray.get_runtime_context().get_node_id()
    channel = next(iter(where.shapes))
    expected = where.read(1, [channel])[channel]
    (reference,) = shared_windows(str(cohort), ["simulated"], "streamed").values()
    exists = Folder.exists
    monkeypatch.setattr(
        Folder, "exists", lambda folder, name: name != CARD and exists(folder, name)
    )  # here alone, not in Ray's workers
    np.testing.assert_array_equal(expected, _where_seen(where, ray.put(where), WindowSource.read, 1, node, [channel])[channel])
    np.testing.assert_array_equal(expected, _where_seen(where, reference, WindowSource.read, 1, node, [channel])[channel])


def test_ray_data_reads_people_in_the_planned_order(tmp_path: Path, cluster: None) -> None:
    """In several parts, read at the same time; a worker opens the windows once, and holds nothing that was not announced."""
    store(make_windows({name: [0, 1] * 100 for name in "ABCDEF"}, length=4096), tmp_path / "made")
    (reference,) = shared_windows(str(tmp_path), ["made"], "streamed").values()
    found, expected = windows_of(reference), read_source(str(tmp_path), "made")
    assert found is windows_of(reference)
    index, stream = expected.index, stream_of(found.signals)
    assert stream is not None
    order = order_of_epoch(np.arange(len(index.window)), index.participant_index, 100, np.random.default_rng(0))
    people = list(dict.fromkeys(index.participant_index[order].tolist()))
    assert 2 < len(in_parts(stream.source, people, ["b"]))
    read = np.concatenate([part.rows for part in stream.reader(stream.source, people, ["b"])])
    assert people == list(dict.fromkeys(index.participant_index[read].tolist()))
    stream.expect(order, ["b"])
    for first in range(0, len(order), 64):
        rows = order[first : first + 64]
        np.testing.assert_array_equal(expected.signals["b"][rows], found.signals["b"][rows])
    assert 200 <= stream.most_held <= 100 + 64 + 2 * 200  # buffer, batch, and a part, here of two people
    assert not stream.read_last


def test_passes_leave_nothing_with_ray(cohort: Path, cluster: None) -> None:
    """Ray's processes for metrics remember each dataset that they have heard of, about a MiB for each: all passes of a process are one to them."""
    (reference,) = shared_windows(str(cohort), ["simulated"], "streamed").values()
    stream = stream_of(windows_of(reference).signals)
    assert stream is not None
    known = []
    for _ in range(3):
        assert list(stream.reader(stream.source, range(5), list(stream.shapes)))
        actor = ray.get_actor("datasets_stats_actor", namespace="_dataset_stats_actor")
        known.append(set(ray.get(actor.get_datasets.remote())))
    assert known[0] == known[1] == known[2]


def test_people_are_read_together_up_to_a_size(cohort: Path) -> None:
    """So that a task is worth its start; a person is never cut."""
    where = streamed_source(str(cohort), "simulated")
    people = [3, 0, 4, 1, 2]
    assert [people] == in_parts(where, people, list(where.shapes))
    (name, shape), counts = next(iter(where.shapes.items())), np.diff(where.begins)
    passes = PART_BYTES // int(4 * np.prod(shape) * counts.sum()) + 2  # more than a part holds
    parts = in_parts(where, people * passes, [name])
    assert people * passes == [person for part in parts for person in part]
    sizes = [4 * np.prod(shape) * sum(counts[person] for person in part) for part in parts]
    assert 1 < len(parts) and max(sizes) <= PART_BYTES


def test_the_cost_is_measured_without_a_copy(cohort: Path, no_copies: None) -> None:
    """`--plan` of a study whose windows are streamed reads them as the study will."""
    found = estimate(_study("streamed", TECHNIQUES[:1]), str(cohort), executor="local", log=quiet)
    assert 6 == found.pending


def test_labels_are_flipped_without_a_copy(cohort: Path, no_copies: None) -> None:
    """The probe reads windows as the study does."""
    assert flipped_labels(_study("streamed", TECHNIQUES[:1]), str(cohort), limit=1).clean


def test_a_stream_reads_no_further_ahead_than_it_may(tmp_path: Path, cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much room the object store has; and what a task cannot read ends the pass in a sentence, without Ray's stacks.

    Also where whoever else uses Ray Data in this process lets his datasets go on without the parts that failed.
    """
    context = DataContext.get_current()
    monkeypatch.setattr(context, "max_errored_blocks", -1)
    settings = vars(context.copy())
    store(make_windows({f"P{k:02d}": [0, 1] * 16 for k in range(40)}, length=512), tmp_path / "made")
    (reference,) = shared_windows(str(tmp_path), ["made"], "streamed").values()
    stream = stream_of(windows_of(reference).signals)
    assert stream is not None
    monkeypatch.setattr(streamed_windows, "PART_BYTES", 1)  # a part for each person
    monkeypatch.setattr(streamed_windows, "WAITING_BYTES", 8 * 32 * 4 * (512 + 1024))
    parts = stream.reader(stream.source, range(40), ["a", "b"])
    read = [next(parts)]
    time.sleep(3)
    for folder in (tmp_path / "made").glob("participant=*"):
        shutil.rmtree(folder)
    with pytest.raises(RaylabError, match=r"made: the windows of participant P\d\d .* are gone, .*; start the run again$"):
        read.extend(parts)  # up to the error
    assert settings == vars(context) and context is DataContext.get_current()
    assert 1 < len(read) <= 8 + 4  # those that wait, and those at work or fetched
