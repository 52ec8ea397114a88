"""Calibration while a stream runs: the study's weights, by the wearer's marks, in the background."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from builders.live import exported, labelled, subscribe

from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.live.calibrate import Calibrator, calibrate_network, training_arrays
from raylab.live.core.event_bus import EventBus
from raylab.live.core.inference import WindowClassifier
from raylab.live.core.messages import Chunk, LabelMark, Note, Source, Window
from raylab.live.core.model_file import LiveModel
from raylab.live.core.pipeline import Stream, StreamSettings
from raylab.live.sources import open_source
from raylab.live.sources.source import SourceOptions
from raylab.runs.run import start
from raylab.techniques.stage import Asking
from raylab.training.batches import Signals
from raylab.training.label_budget import SPAN, Inquiry
from raylab.training.loop import CPU, predict
from raylab.trials.run_trial import one_thread
from raylab.trials.study import parse_study
from raylab.windows.dataset import read_windows


def _first(root: Path, budget: int) -> list[tuple[Window, int]]:
    """The target's first windows of each class, in the order of time."""
    first: list[tuple[Window, int]] = []
    for window, number in labelled(read_windows(Folder(root / "windows/simulated")), 0, "stress"):
        if [other for _, other in first].count(number) < budget:
            first.append((window, number))
    return first


@pytest.mark.parametrize(
    ("technique", "variant", "layers"),
    [
        ("fine_tuning", "layers=all budget=3", "all"),
        ("fine_tuning", "layers=last budget=3", "last"),
        ("user_dependent", "budget=3", "all"),
    ],
)
def test_a_live_calibration_is_the_study_s_to_the_bit(live_run: Path, technique: str, variant: str, layers: str) -> None:
    """On the first three windows of each class: the weights of the trial with that budget, from its own model and from the non-personalized one."""
    studied = exported(live_run, "tuned", technique=technique, variant=variant)
    windows = _first(live_run, 3)
    for model in (studied, *([exported(live_run, "tuned")] if technique == "fine_tuning" else [])):
        state = calibrate_network(model, layers, *training_arrays(model, windows)).state_of(("trunk", "head"))
        assert state and all(torch.equal(studied.weights[name], value) for name, value in state.items())


@pytest.mark.parametrize("stop", ["test", "loss", "entropy"])
def test_the_rule_of_the_adaptive_budget_ends_the_marking(stop: str, live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training starts at the very window at which the study's inquiry, given the same answers, has enough, or when all are there; and again
    six windows later if the network does not fit its marks."""
    model = exported(live_run, "tuned")
    calibrator = Calibrator(model, "last", 12, lambda network: None, lambda note: None, stop)
    started: list[int] = []
    monkeypatch.setattr(calibrator, "_start_training", lambda: started.append(len(calibrator.windows)))
    inquiry, base, expected = Inquiry(Asking("recorded", stop), 2), model.network(calibrated=False), 0
    for window, number in _first(live_run, 12):
        values, lengths, _ = training_arrays(model, [(window, number)])
        with one_thread():
            p = predict(base, Signals(values, lengths), np.arange(1), CPU).astype(np.float64)
        inquiry.answer(p[0], number)
        calibrator.mark(LabelMark(model.card.classes[number], window.start_s), window.end_s)
        calibrator.offer(window)
        expected += 1
        if inquiry.enough or expected == 24:
            break
        assert [] == started
    assert [expected] == started == [len(calibrator.windows)]
    calibrator._heard_from = expected + SPAN
    assert not calibrator._is_enough() or expected == 24


@pytest.mark.slow
def test_a_calibration_runs_in_a_process_of_its_own(live_run: Path) -> None:
    """Marks on prepared windows: the budget starts it, and what comes back are the study's weights."""
    model = exported(live_run, "tuned")
    studied = exported(live_run, "tuned", technique="fine_tuning", variant="layers=last budget=3")
    notes, finished, networks = list[Note](), Event(), list[Any]()

    def take(network: Any) -> None:
        networks.append(network)
        finished.set()

    calibrator = Calibrator(model, "last", 3, take, notes.append)
    for window, number in labelled(read_windows(Folder(live_run / "windows/simulated")), 0, "stress"):
        calibrator.mark(LabelMark(model.card.classes[number], window.start_s), window.end_s)
        calibrator.offer(window)
    assert finished.wait(120), notes
    calibrator.wait()
    state = networks[0].state_of(("head",))
    assert state and all(torch.equal(studied.weights[name], value) for name, value in state.items())
    assert ["starts on 6 windows, 3 of each class", "done on 6 windows: the calibrated model decides from now on"] == [
        n.text for n in notes
    ]


@pytest.mark.slow
def test_a_calibration_that_fails_is_said_and_can_be_tried_again(live_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If its process fails, the model stays, and windows are counted from the beginning."""
    model = exported(live_run, "tuned")
    monkeypatch.setattr("raylab.live.calibrate.as_bytes", lambda model: b"nothing")
    notes: list[Note] = []
    calibrator = Calibrator(model, "last", 1, lambda network: pytest.fail("it has no network"), notes.append)
    for window, number in _first(live_run, 1):
        calibrator.mark(LabelMark(model.card.classes[number], window.start_s), window.end_s)
        calibrator.offer(window)
    calibrator.wait()
    assert "the model is no model file" in notes[1].text and "the model stays as it was" in notes[1].text
    assert {"calm": 0, "stress": 0} == calibrator.counts


@pytest.mark.slow
def test_stopping_ends_a_calibration(live_run: Path) -> None:
    """The end of a stream does not wait for a training."""
    model = exported(live_run, "tuned")
    calibrator = Calibrator(model, "all", 1, lambda network: pytest.fail("it was stopped"), lambda note: None)
    for window, number in _first(live_run, 1):
        calibrator.mark(LabelMark(model.card.classes[number], window.start_s), window.end_s)
        calibrator.offer(window)
    until = time.monotonic() + 20
    while (process := calibrator._process) is not None and process.pid is None and time.monotonic() < until:
        time.sleep(0.01)
    began = time.monotonic()
    calibrator.stop()
    calibrator.wait()
    assert time.monotonic() - began < 2


def test_marks_on_a_stream_calibrate_and_swap(live_run: Path) -> None:
    """A replay with its own labels as marks: the base decides first, then the calibrated model, and it says so."""
    model = exported(live_run, "tuned")
    source = open_source(model.card, SourceOptions("folder:.", "P01", replay_labels=True, speed=0))

    def slowly(stop: Event) -> Iterator[Any]:
        """The calibration runs in the background: the last minute waits for it."""
        waited = False
        for item in source.items(stop):
            if isinstance(item, Chunk) and item.time_s > 200 and not waited:
                waited = True
                until = time.monotonic() + 240
                while time.monotonic() < until and not any(event.get("event") == "model" for event in received):
                    time.sleep(0.05)
            yield item

    bus = EventBus(True)
    received: list[dict[str, Any]] = []
    queue = subscribe(bus)
    settings = StreamSettings(calibrate=3, layers="last")
    stream = Stream(model, Source(source.description, slowly, True), bus, settings, True, Calibrator)
    reader = threading.Thread(target=lambda: received.extend(iter(lambda: queue.get(60), None)))
    reader.start()
    stream.run()
    reader.join(30)
    decided = [event for event in received if event["event"] == "decision"]
    models = [decision["model"] for decision in decided]
    assert "base" == models[0] and "calibrated" == models[-1]
    assert models == sorted(models)
    assert {"calm": 3, "stress": 3} == decided[-1]["marked"]
    assert {"event": "model", "model": "calibrated"}.items() <= next(
        event for event in received if event["event"] == "model"
    ).items()


def test_windows_count_only_where_the_mark_held_throughout(live_run: Path) -> None:
    """Not windows that began before it, lack a channel, or come after its end; an unknown class is refused."""
    model = exported(live_run, "tuned")
    notes: list[Note] = []
    calibrator = Calibrator(model, "last", 50, lambda network: None, notes.append)
    window = next(labelled(read_windows(Folder(live_run / "windows/simulated")), 0, "stress"))[0]

    def at(start: float, **changes: Any) -> Window:
        return Window(0, start, start + 10, window.values, {}, changes.get("missing", {}), {}, 0.0)

    calibrator.offer(at(90))
    calibrator.mark(LabelMark("stress", 100.0), 100.0)
    for offered in (at(95), at(100), at(105), at(110, missing={"eda": "lost"})):
        calibrator.offer(offered)
    calibrator.mark(LabelMark("boredom"), 120.0)
    calibrator.mark(LabelMark(""), 120.0)
    calibrator.offer(at(120))
    assert {"calm": 0, "stress": 2} == calibrator.counts
    assert ["there is no class 'boredom' (there are calm, stress)"] == [note.text for note in notes]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"technique": "hybrid"}, "cannot be calibrated"),
        ({"model": "svm"}, "cannot be calibrated"),
        ({}, "trains layers all or last, not 'some'"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(live_run: Path, columns: dict[str, str], message: str) -> None:
    with pytest.raises(RaylabError, match=message):
        Calibrator(exported(live_run, **columns), "some", 3, lambda network: None, lambda note: None)


@pytest.mark.parametrize(
    ("columns", "layers"),
    [
        ({}, "all"),
        ({"technique": "fine_tuning", "variant": "layers=last budget=3"}, "last"),
        ({"technique": "fine_tuning", "variant": "layers=all budget=3"}, "all"),
        ({"technique": "user_dependent", "variant": "budget=3"}, "all"),
    ],
)
def test_a_calibration_trains_the_layers_that_the_model_has(live_run: Path, columns: dict[str, str], layers: str) -> None:
    """Unless the user names some; a name that it does not have is refused with those that it has, and with the option."""
    model = exported(live_run, "tuned", **columns)
    calibrator = Calibrator(model, StreamSettings(calibrate=3).layers, 3, lambda network: None, lambda note: None)
    assert layers == calibrator.layers
    other = {"all": "some", "last": "all"}[layers]
    with pytest.raises(RaylabError, match=f"trains layers .*{layers}.*, not '{other}'; leave --layers out, or give --layers"):
        Calibrator(model, other, 3, lambda network: None, lambda note: None)


@pytest.mark.parametrize("budget", [0, -3, 10**9])
def test_a_calibration_of_no_or_endless_windows_is_refused(live_run: Path, budget: int) -> None:
    with pytest.raises(RaylabError, match="windows of each class cannot be; give --calibrate 1 to"):
        Calibrator(exported(live_run, "tuned"), "", budget, lambda network: None, lambda note: None)


@pytest.fixture(scope="module")
def classical(live_run: Path) -> Path:
    """A run folder of classical models on the target's calibration windows alone."""
    study = {
        "name": "classical",
        "datasets": [{"windows": "simulated", "label": "stress", "participants": ["P01"]}],
        "models": [{"encoder": "svm"}, {"encoder": "hmm_gmm"}],
        "techniques": [{"name": "user_dependent", "budget": [5], "unit": "window"}],
    }
    summary = start(
        parse_study(study, "classical"), str(live_run / "windows"), str(live_run / "classical"), "local", log=lambda line: None
    )
    assert summary.complete
    return live_run


@pytest.mark.parametrize("name", ["svm", "hmm_gmm"])
def test_a_model_that_has_seen_the_target_is_no_beginning(classical: Path, name: str) -> None:
    """A classical model on calibration windows alone is nothing before them: it is exported without a calibration, says why, and decides."""
    model = exported(classical, "classical", model=name, technique="user_dependent")
    assert model.card.calibration is None and f"{name} of user_dependent is fitted at once" in model.card.no_calibration
    with pytest.raises(
        RaylabError, match=f"cannot be calibrated: {name} of user_dependent is fitted at once on the calibration windows of P01"
    ):
        Stream(
            model,
            open_source(model.card, SourceOptions("folder:.", "P01")),
            EventBus(),
            StreamSettings(calibrate=3),
            True,
            Calibrator,
        )
    decided = WindowClassifier(model).decide(_first(classical, 1)[0][0])
    assert "exported" == decided.model and abs(sum(decided.p.values()) - 1) < 1e-6


@pytest.mark.parametrize("technique", ["user_dependent", "fine_tuning"])
def test_a_file_without_the_weights_of_before_is_refused(classical: Path, technique: str) -> None:
    """A file of before this was checked, or one that lacks some: no stream with a calibration begins with weights that have seen the target."""
    plan = exported(classical, "tuned").card.calibration
    trained = exported(classical, "classical", model="svm", technique="user_dependent")
    earlier = LiveModel(trained.card.model_copy(update={"calibration": plan, "technique": technique}), trained.weights, {})
    network = exported(classical, "tuned", technique="fine_tuning", variant="layers=all budget=3")
    partial = dict(list(network.weights_before.items())[1:])
    for model in (earlier, LiveModel(network.card, network.weights, partial), LiveModel(network.card, network.weights, {})):
        with pytest.raises(
            RaylabError, match=r"has seen the calibration windows of P01, and its file does not hold what it was before"
        ):
            Stream(
                model,
                open_source(model.card, SourceOptions("folder:.", "P01")),
                EventBus(),
                StreamSettings(calibrate=3),
                True,
                Calibrator,
            )
        assert model.network(calibrated=True)


@pytest.mark.parametrize(
    ("columns", "people", "target_windows", "line"),
    [
        ({}, 3, 0, "trained on 3 people of simulated (past)"),
        (
            {"technique": "fine_tuning", "variant": "layers=all budget=3"},
            4,
            6,
            "trained on 4 people of simulated (past), 6 calibration windows of P01 among them",
        ),
        ({"technique": "fine_tuning", "variant": "layers=last budget=3"}, 4, 6, "trained on 4 people"),
        (
            {"technique": "user_dependent", "variant": "budget=3"},
            1,
            6,
            "trained on 1 person of simulated (past), 6 calibration windows of P01",
        ),
    ],
)
def test_the_card_counts_the_participants_of_all_stages(
    live_run: Path, columns: dict[str, str], people: int, target_windows: int, line: str
) -> None:
    """Not of the last one alone, which is the target's in a calibration."""
    card = exported(live_run, "tuned", **columns).card
    assert (people, target_windows) == (card.people, card.target_windows) and line in card.lines()[0]
    earlier = card.model_copy(update={"target_windows": None})
    assert earlier.lines()[0].endswith(f"{'person' if people == 1 else 'people'} of simulated (past)")
