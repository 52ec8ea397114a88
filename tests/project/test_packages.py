"""The pins of the packages, and their hashes."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_pin_has_its_hashes() -> None:
    """hashes.txt has the pins of constraints.txt in their order, each with a hash or more; `make hashes` writes it."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    lines = (ROOT / "hashes.txt").read_text(encoding="utf-8").splitlines()
    assert pins == [line.split()[0] for line in lines]
    assert [] == [line for line in lines if not re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line)]


def test_the_tool_of_the_sbom_is_pinned_with_hashes() -> None:
    """Every package of deploy/sbom.txt has a version and a hash."""
    text = (ROOT / "deploy" / "sbom.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [] == [line for line in entries if "==" not in line or "--hash=sha256:" not in line]
    assert any(line.startswith("cyclonedx-bom==") for line in entries)
