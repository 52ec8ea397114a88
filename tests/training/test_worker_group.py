"""Several workers that train one stage together: real processes on gloo, against one worker at the same global batch."""

import pickle
from dataclasses import replace
from functools import cache
from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.training import a_stage, context_of, people, staged
from builders.windows import make_windows
from builders.workers import Case, trained, worker
from torch.multiprocessing import start_processes

from raylab.techniques.method import GRADIENT_DESCENT, AnchoredHead, ClassMeans, EntropyMinimization, History, Method
from raylab.training.worker_group import ALONE, WorkerGroup

WINDOWS = make_windows({f"P{i}": [0] * 10 + [1] * 10 for i in range(1, 6)})
WORKERS = 2


def _case(encoder: str, trainable: tuple[str, ...] = ("trunk", "head"), rows: int = 40, **more: Any) -> Case:
    """P2 and P3 train (``rows`` of their windows), P4 and P5 validate unless ``validate`` is False."""
    context = context_of(WINDOWS, encoder, adapter="adapter" in trainable, width=0.05)
    kinds = {name: more.pop(name) for name in ("plain", "double") if name in more}
    validation = (people(context, "P4", "P5"),) if more.pop("validate", True) else ()
    hyper = {"epochs": 12, "batch_size": 8, "patience": 4, "plateau_patience": 2, "learning_rate": 0.01, **more}
    return Case(
        WINDOWS, context, staged(people(context, "P2", "P3")[:rows], *validation, trainable=trainable, **hyper), **kinds
    )


def _by(method: Method, trainable: tuple[str, ...] = ("head",), **more: Any) -> Case:
    """P2 and P3 train a narrow fcn by this method, which looks at P1's windows if it looks at any."""
    context = context_of(WINDOWS, width=0.05)
    rows, others, target = people(context, "P2", "P3"), people(context, "P4", "P5"), people(context, "P1")
    stage = a_stage(method, rows, source=others, trainable=trainable, epochs=3, batch_size=8, learning_rate=0.01, **more)
    return Case(WINDOWS, context, replace(stage, unlabelled=target) if method.steps_on_unlabelled else stage)


def _with_nan(case: Case) -> Case:
    """The same windows, with one NaN in the last training window."""
    signals = {name: values.copy() for name, values in WINDOWS.signals.items()}
    signals["a"][case.stage.train[-1], 0, 0] = np.nan
    return Case(type(WINDOWS)(WINDOWS.index, signals), case.context, case.stage)


# without dropout and batch norm: mlp_lstm with its dropout off, and heads on a trunk that stands still
EQUAL = {
    "everything": _case("mlp_lstm", plain=True),
    "everything, in double": _case("mlp_lstm", plain=True, double=True),
    "last batch of 3": _case("mlp_lstm", rows=35, plain=True, double=True),
    "last batch smaller than the group": _case("mlp_lstm", rows=33, plain=True, double=True),
    "every batch smaller than the group": _case("mlp_lstm", batch_size=1, epochs=3, plain=True, double=True),
    "no validation": _case("mlp_lstm", validate=False, epochs=4, plain=True, double=True),
    "head": _case("fcn", ("head",), rows=35),
    "adapter and head": _case("resnet", ("adapter", "head"), rows=35),
}
# Methods that several workers may carry out together: trunk and statistics stand still, so they too give one worker's weights.
OF_METHODS = {
    "low rank": _by(GRADIENT_DESCENT, ("low_rank", "head"), adds={"low_rank": 2}),
    "scale and shift": _by(GRADIENT_DESCENT, ("norm_affine", "head")),
    "history": _by(History("all"), ("film", "head"), adds={"film": 8}),
    "entropy": _by(EntropyMinimization(), ("head",)),
    "anchored head": _by(AnchoredHead(0.1)),
    "class means": _by(ClassMeans()),
}
BF16 = _case("fcn", epochs=3)
OTHER = {
    "bf16": replace(BF16, context=replace(BF16.context, precision="bf16")),
    "batch norm": _case("fcn"),
    "batch norm, last of 1": _case("resnet", rows=33),
    "dropout": _case("mlp_lstm"),
}
NAN = {"a NaN": _with_nan(_case("fcn"))}


@cache
def alone(name: str) -> dict[str, Any]:
    """What one worker gets for a case."""
    return trained((EQUAL | OF_METHODS | OTHER)[name], ALONE)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes got for every case."""
    out = tmp_path_factory.mktemp("group")
    # torch and what its optimizers load take most of the time: loaded once, in the process that the two are forked from
    set_forkserver_preload(["raylab.training.loop", "torch._dynamo"])
    start_processes(
        worker, (WORKERS, {**EQUAL, **OF_METHODS, **OTHER, **NAN}, str(out)), nprocs=WORKERS, start_method="forkserver"
    )
    return [pickle.loads((Path(out) / f"{rank}.pickle").read_bytes()) for rank in range(WORKERS)]


@pytest.mark.parametrize("name", [*EQUAL, *OF_METHODS])
def test_two_workers_get_one_workers_weights(workers: list[dict[str, Any]], name: str) -> None:
    """Without dropout and batch norm the same global batches give the same weights and losses, but for the order of sums."""
    expected, actual = alone(name), workers[0][name]

    exact = (EQUAL | OF_METHODS)[name].double
    losses = [[epoch[part] for epoch in run["curve"]] for run in (expected, actual) for part in expected["curve"][0]]
    np.testing.assert_allclose(losses[: len(losses) // 2], losses[len(losses) // 2 :], rtol=1e-12 if exact else 1e-5)
    assert (expected["best_epoch"], expected["steps"]) == (actual["best_epoch"], actual["steps"])
    for key, value in expected["state"].items():
        np.testing.assert_allclose(value, actual["state"][key], rtol=0, atol=1e-12 if exact else 1e-5, err_msg=key)


@pytest.mark.parametrize("name", [*EQUAL, *OF_METHODS, *OTHER])
def test_all_workers_agree(workers: list[dict[str, Any]], name: str) -> None:
    """Weights, statistics, losses, the best epoch and the end of training are the same to the bit on every worker."""
    first, second = (found[name] for found in workers)

    assert (first["curve"], first["best_epoch"]) == (second["curve"], second["best_epoch"])
    for key, value in first["state"].items():
        np.testing.assert_array_equal(value, second["state"][key], err_msg=key)


def test_early_stopping_was_among_the_cases(workers: list[dict[str, Any]]) -> None:
    """Some training stopped before its 12 epochs on two workers, so that agreeing on it is shown."""
    assert any(len(workers[0][name]["curve"]) < 12 and "val_loss" in workers[0][name]["curve"][0] for name in EQUAL | OTHER)


@pytest.mark.parametrize("name", EQUAL)
def test_every_batch_is_shared_out(workers: list[dict[str, Any]], name: str) -> None:
    """Side by side, the workers' shares are the batches of one worker, in the order of the fold's shuffle."""
    shares = [found[name]["batches"] for found in workers]

    assert alone(name)["batches"] == [first + second for first, second in zip(*shares, strict=True)]


@pytest.mark.parametrize("name", OTHER)
def test_batch_norm_and_dropout_make_a_difference(workers: list[dict[str, Any]], name: str) -> None:
    """Each worker normalizes and drops by itself: the weights are others than one worker's, as the docstring says."""
    expected, actual = alone(name)["state"], workers[0][name]["state"]

    assert max(float(np.abs(value - actual[key]).max()) for key, value in expected.items()) > 1e-2


def test_a_loss_that_is_not_finite_stops_all(workers: list[dict[str, Any]]) -> None:
    """A NaN in one worker's share is refused by both with the same sentence, so nobody waits for the other."""
    assert "loss is nan in epoch 1" in workers[0]["a NaN"]["error"]
    assert workers[0]["a NaN"] == workers[1]["a NaN"]


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 3), (2, 3), (1, 4), (5, 5)])
def test_shares_weigh_as_windows_do(count: int, size: int) -> None:
    """The average over workers of weight times mean loss is the mean loss over windows; a worker without windows weighs 0."""
    rows, losses = np.arange(10, 10 + count), np.random.default_rng(0).random(100)

    shares = [WorkerGroup(rank, size).my_rows(rows) for rank in range(size)]

    assert losses[rows].mean() == pytest.approx(sum(w * losses[part].mean() for part, w in shares) / size)
    assert list(rows) == [row for part, w in shares if w for row in part]
    assert all(len(part) for part, _ in shares)
