"""``python -m benchmarks gpu`` on the processor: the script is ready before there is a GPU."""

import json
from pathlib import Path

from typer.testing import CliRunner

from benchmarks.__main__ import application


def test_every_way_that_a_processor_has_steps_alike(tmp_path: Path) -> None:
    """A stack's weights are those of the fold alone, bf16's are near, and what needs a GPU is named."""
    results = tmp_path / "lines.jsonl"
    command = ["gpu", "--width", "0.03", "--members", "1,2", "--device", "cpu", "--results", str(results)]
    done = CliRunner().invoke(application, command, catch_exceptions=False)

    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    apart = {(line["members"], line["way"]): line["from_alone"] for line in lines}
    assert "tf32, graph, graph bf16 need a GPU" in done.output
    assert [(0, "alone"), (1, "plain"), (1, "bf16"), (2, "plain"), (2, "bf16")] == list(apart)
    # Adam's first steps carry the order of a sum in single precision into the weights: 3e-7 on one type of processor, 1.2e-4 on another
    assert apart[1, "plain"] < 1e-3
    assert apart[2, "plain"] < 1e-3
    assert apart[2, "plain"] < apart[2, "bf16"] < 0.2
    assert all(line["ms"] > 0 for line in lines)


def test_what_there_is_no_time_for_is_named(tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    command = ["gpu", "--members", "1", "--device", "cpu", "--minutes", "0", "--results", str(tmp_path / "lines.jsonl")]
    done = CliRunner().invoke(application, command, catch_exceptions=False)
    assert done.output.count("no time for") == 2 * 3  # widths; alone, plain, bf16
