"""`raylab ARGUMENTS` in this process."""

import sys

import pytest

from raylab import cli


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of `raylab ARGUMENTS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["raylab", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
