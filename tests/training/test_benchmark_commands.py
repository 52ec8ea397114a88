"""``python -m benchmarks step`` and ``rate``: what they count and set against each other; their times are of the machine."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from benchmarks import matrix_rate
from benchmarks.__main__ import application
from benchmarks.gpu import CLASSES, Stepper
from benchmarks.matrix_rate import operations_of
from benchmarks.stacked_step import WRIST
from raylab.folds.seeding import FoldSeeds
from raylab.models.network import ModelSpec, build

CPU = torch.device("cpu")


def lines_of(results: Path, *command: str) -> list[dict[str, Any]]:
    """What a command adds to the results, one line a case."""
    done = CliRunner().invoke(application, [*command, "--results", str(results)], catch_exceptions=False)
    assert not done.exit_code, done.output
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def test_a_step_in_two_precisions(tmp_path: Path) -> None:
    """A line each; the first is set against itself, the second against the first, alone and in a stack of its own."""
    command = ("step", "--width", "0.03", "--members", "2", "--steps", "2", "--repeats", "1", "--precision", "float32,bf16")
    one, other = lines_of(tmp_path / "lines.jsonl", *command)

    assert ["float32", "bf16"] == [line["precision"] for line in (one, other)]
    assert 1.0 == one["alone_ratio"] == one["stacked_ratio"]
    assert other["alone_ratio"] == pytest.approx(one["plain"] / other["plain"])
    assert other["stacked_ratio"] == pytest.approx(one["ours"] / other["ours"])
    assert one["difference"] < 1e-3
    assert other["difference"] < 0.1


def test_a_precision_that_there_is_not_is_named(tmp_path: Path) -> None:
    """With those that there are."""
    command = ["step", "--precision", "float32,fp8", "--results", str(tmp_path / "lines.jsonl")]
    done = CliRunner().invoke(application, command)
    assert 2 == done.exit_code and "fp8: there are float32, tf32, bf16" in " ".join(done.output.split())


def test_operations_are_those_of_the_step_that_is_timed() -> None:
    """Convolutions and products of one step, forward and backward, by torch's own counter; a stack's are its members'."""
    spec = ModelSpec("fcn", "late", 0.05)
    network = build(spec, {name: (n, 1) for name, n in WRIST.items()}, CLASSES, False, FoldSeeds(0, "made", "stress", "P"))
    stepper, counter = Stepper([network], 4, CPU, alone=True), FlopCounterMode(display=False)
    with counter:
        stepper.step()

    assert counter.get_total_flops() == operations_of(spec, 1, 4) == operations_of(spec, 8, 4) / 8


def test_a_share_of_the_matrix_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network in no stack and in one of two, in two precisions: rates are positive, and a share is one over the other."""
    monkeypatch.setattr(matrix_rate, "SIDE", 128)
    monkeypatch.setattr(matrix_rate, "LEAST_S", 0.01)
    command = ("rate", "--encoder", "mlp_lstm", "--width", "0.03", "--batch", "4", "--members", "0,2", "--repeats", "1")
    lines = lines_of(tmp_path / "lines.jsonl", *command, "--precision", "float32,bf16", "--device", "cpu")

    cases = [(line["members"], line["precision"], line["device"]) for line in lines]
    assert [
        (0, "float32", "processor"),
        (0, "bf16", "processor"),
        (2, "float32", "processor"),
        (2, "bf16", "processor"),
    ] == cases
    assert [2 * lines[0]["gflop"]] * 2 == [line["gflop"] for line in lines[2:]]
    for line in lines:
        assert line["gflop"] > 0 and line["share"] == pytest.approx(line["step_gflops"] / line["matrix_gflops"])
        assert line["share_min"] == line["share"] == line["share_max"]
