"""Whatever a name holds is printed as text."""

import io
import re
import subprocess
import sys

import pandas as pd
import pytest
from rich.console import Console

from analysis.report.comparison_table import NARROW_HEADINGS, narrow_rows
from raylab.cli import console
from raylab.runs.progress import ProgressLine

NAMES = ["[red]anna[/red]", "[/x]", ":smile:", "\x1b[31mred\x1b]0;title\x07", "\x9b2J", "a\u202eb", "ü 中"]


def _printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    settings = {"soft_wrap": True, "highlight": False, "markup": False, "emoji": False}
    monkeypatch.setattr(console, "console", Console(file=out, width=200, **settings))
    return out


@pytest.mark.parametrize("name", NAMES)
def test_a_line_and_a_table_show_the_name_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No markup, no picture in its place, no command to the terminal; a table does not end with an error."""
    out = _printed(monkeypatch)
    console.say(f"<{name}>")
    console.say_table(name, (name, "x"), [(name, "1")])
    shown = console.printable(name)
    assert f"<{shown}>" == out.getvalue().splitlines()[0]
    assert 4 == out.getvalue().count(shown)
    assert not set(out.getvalue()) & set("\x1b\x9b\x07\u202e")


def test_the_consoles_take_neither_markup_nor_emoji() -> None:
    """Those that the commands use."""
    for each in (console.console, console.errors):
        with each.capture() as captured:
            each.print(":smile: [red]x[/red] [/y]")
        assert ":smile: [red]x[/red] [/y]\n" == captured.get()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_escapes(encoding: str) -> None:
    """A line with letters that it cannot show does not end the command."""
    code = "from raylab.cli.console import say, say_aside, say_table\nsay('ü 中 →')\nsay_aside('中 \\udcfc')\nsay_table('中', ['a'], [['中']])"
    environment = {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert (0, rb"\u4e2d \udcfc") == (result.returncode, result.stderr.strip())
    assert rb"\u4e2d \u2192" in result.stdout


def test_variants_are_told_apart_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of the narrow comparison is longer, no number is cut, and each variant stands whole under its technique."""
    row = {
        "technique": "fine_tuning",
        "mean": 0.698,
        "baseline_mean": 0.686,
        "difference": -0.012,
        "ci_low": -0.117,
        "ci_high": 0.041,
    }
    row |= {"p_adjusted": 0.9634, "lopsided": True, "outcome": "equivalent"}
    budgets = ("0.2", "0.3")
    rows = narrow_rows(pd.DataFrame([row | {"variant": f"layers=all budget={budget} unit=block"} for budget in budgets]))
    out = io.StringIO()
    settings = {"soft_wrap": True, "highlight": False, "markup": False, "emoji": False}
    monkeypatch.setattr(console, "console", Console(file=out, width=80, **settings))
    assert not console.is_wide()
    console.say_table("wesad / stress / fcn", NARROW_HEADINGS, rows, 1)
    lines = out.getvalue().splitlines()
    assert 80 >= max(map(len, lines))
    numbers = "0.698 0.686 -0.012 [-0.117, +0.041] 0.9634° equivalent"
    assert 2 == sum(" ".join(line.split()) == f"layers=all {numbers}" for line in lines)
    assert [f"budget={budget}" for budget in budgets] == [line.strip() for line in lines if "budget" in line]
    assert 2 == sum(line.strip() == "unit=block" for line in lines) and 1 == sum(
        line.strip() == "fine_tuning" for line in lines
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_has_one_bar_and_a_log_has_lines(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is drawn in one place on a terminal, and not left there; every other line stays in both."""
    out = io.StringIO()
    monkeypatch.setattr(
        console, "console", Console(file=out, width=80, force_terminal=is_terminal, soft_wrap=True, markup=False)
    )
    with console.live_progress() as log:
        log("begins")
        log(ProgressLine("1/2 done [red]", 1, 2))
        log("ends")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue().replace("\r", "\n")).splitlines()
    assert ["begins", "ends"] == [line for line in map(str.strip, lines) if line in ("begins", "ends")]
    assert is_terminal is ("1/2 done [red]" not in lines)


def test_no_color_leaves_no_colour() -> None:
    """With NO_COLOR set a terminal gets bold and dim text, and no code of a colour."""
    code = (
        "from rich.text import Text\nfrom raylab.cli.console import console\nconsole.print(Text('x', style='bold red on blue'))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    colours = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment | extra).stdout
        for extra in ({}, {"NO_COLOR": "1"})
    ]
    assert b"\x1b[1;31;44m" in colours[0]
    assert b"\x1b[1mx" in colours[1]
