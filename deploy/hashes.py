"""``python deploy/hashes.py PINS UV_OUTPUT``: a line a package, with the hashes of all its files, from the output of ``uv pip compile``.

A line a package, because `make setup` picks packages by their line, and a change of one package is a change of one line.
"""

import re
import sys
from pathlib import Path

# The build of torch for processors: 200 MB in place of 3 GB. It is not on PyPI, so uv does not find it; pip takes it from a folder of wheels.
# The hash is of the file that the measurements of this project were made with, to be compared with the list at download.pytorch.org/whl/cpu.
MORE = {"torch==2.13.0": ("6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",)}


def lines(pins: str, compiled: str) -> list[str]:
    """The pins with their hashes, in the order of the pins.

    Raises:
        SystemExit: if a pin has no hash.
    """
    hashes: dict[str, list[str]] = {}
    for entry in re.sub(r"\\\n", " ", compiled).splitlines():
        requirement, *options = entry.split()
        hashes[_plain(requirement)] = sorted({option.removeprefix("--hash=sha256:") for option in options})
    missing = [pin for pin in pins.split() if not hashes.get(_plain(pin))]
    if missing:
        raise SystemExit(f"no hash of {', '.join(missing)}")
    return [
        " ".join((pin, *(f"--hash=sha256:{digest}" for digest in (*hashes[_plain(pin)], *MORE.get(pin, ())))))
        for pin in pins.split()
    ]


def _plain(pin: str) -> str:
    """A pin as pip compares it: names in small letters, with ``-``."""
    name, _, version = pin.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(*(Path(path).read_text(encoding="utf-8") for path in sys.argv[1:3]))) + "\n")
