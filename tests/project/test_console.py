"""Whatever a name holds is printed as text."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from raylab.cli import console

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
