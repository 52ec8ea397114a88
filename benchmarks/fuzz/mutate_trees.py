"""Damage to JSON and YAML: values of other types and sizes, keys that are missing, doubled or unknown."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml

from benchmarks.fuzz.mutate_bytes import Mutator, cut_out, flip_bits, set_bytes, splice, truncate
from benchmarks.fuzz.mutate_text import CELLS, change_encoding, change_line_ends

Tree = Any
Path = tuple[Any, ...]


def _nested(depth: int) -> Tree:
    tree: Tree = 1
    for _ in range(depth):
        tree = [tree]
    return tree


# Values that take the place of another one.
VALUES: Sequence[Callable[[random.Random], Tree]] = (
    lambda rng: None,
    lambda rng: rng.choice((True, False)),
    lambda rng: rng.choice((0, 1, -1, 2, 3, 10**9, 10**20, 2**63, -(2**63), 10**400)),
    lambda rng: rng.choice((0.0, -0.5, 1.5, 1e308, 1e-320, float("nan"), float("inf"), -float("inf"))),
    lambda rng: rng.choice(CELLS),
    lambda rng: rng.choice(("", "auto", "all", "mode", "fcn", "wrist_bvp", "1", "null", "\x00", "a\nb", "../..", "s3://x/y", "%", "#")),
    lambda rng: [],
    lambda rng: {},
    lambda rng: [None],
    lambda rng: {"x": 1},
    lambda rng: {"name": None},
    lambda rng: [[1, 2], [3]],
    lambda rng: list(range(rng.choice((2, 100, 5000)))),
    lambda rng: _nested(rng.choice((5, 300))),
)  # fmt: skip


def _paths(tree: Tree, path: Path = ()) -> Iterator[Path]:
    """The places of a tree, its root too."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _at(tree: Tree, path: Path) -> Tree:
    for key in path:
        tree = tree[key]
    return tree


def _replaced(tree: Tree, path: Path, value: Tree) -> Tree:
    """The tree with another value in a place."""
    if not path:
        return value
    key, *rest = path
    changed = dict(tree) if isinstance(tree, dict) else list(tree)
    changed[key] = _replaced(tree[key], tuple(rest), value)
    return changed


def _of_kind(tree: Tree, kind: type | tuple[type, ...], rng: random.Random) -> Path | None:
    """A place with a value of this kind; None if there is none."""
    paths = [path for path in _paths(tree) if isinstance(_at(tree, path), kind) and not isinstance(_at(tree, path), bool)]
    return rng.choice(paths) if paths else None


def _other_value(tree: Tree, rng: random.Random) -> Tree:
    path = rng.choice(list(_paths(tree))[1:] or [()])
    return _replaced(tree, path, rng.choice(VALUES)(rng))


def _near_number(tree: Tree, rng: random.Random) -> Tree:
    path = _of_kind(tree, (int, float), rng)
    if path is None:
        return _other_value(tree, rng)
    number = _at(tree, path)
    changes = (
        -number,
        number + 1,
        number - 1,
        number * 1000,
        number / 1000,
        0,
        float(number),
        str(number),
        [number],
        number + 0.5,
    )
    return _replaced(tree, path, rng.choice(changes))


def _without_key(tree: Tree, rng: random.Random) -> Tree:
    path = _of_kind(tree, dict, rng)
    mapping = _at(tree, path) if path is not None else {}
    if not mapping:
        return _other_value(tree, rng)
    key = rng.choice(list(mapping))
    return _replaced(tree, path or (), {name: value for name, value in mapping.items() if name != key})


def _renamed_key(tree: Tree, rng: random.Random) -> Tree:
    path = _of_kind(tree, dict, rng)
    mapping = _at(tree, path) if path is not None else {}
    if not mapping:
        return _other_value(tree, rng)
    old = rng.choice(list(mapping))
    new = rng.choice(
        (
            f"{old}s",
            str(old).upper(),
            f" {old}",
            "",
            1,
            None,
            True,
            1.5,
            "x" * 500,
            f"{old}\x00",
            "ü",
            "window",
            "participant",
            "p=1",
        )
    )
    return _replaced(tree, path or (), {new if key == old else key: value for key, value in mapping.items()})


def _more_keys(tree: Tree, rng: random.Random) -> Tree:
    path = _of_kind(tree, dict, rng)
    if path is None:
        return _other_value(tree, rng)
    return _replaced(
        tree, path, {**_at(tree, path), rng.choice(("extra", "format", "name", "__class__", 7)): rng.choice(VALUES)(rng)}
    )


def _longer_list(tree: Tree, rng: random.Random) -> Tree:
    path = _of_kind(tree, list, rng)
    if path is None:
        return _other_value(tree, rng)
    items = _at(tree, path)
    one = rng.choice(items) if items else None
    return _replaced(
        tree, path, rng.choice(([*items, one], items[:-1], items[::-1], [*items, rng.choice(VALUES)(rng)], [one] * 1000))
    )


def _moved(tree: Tree, rng: random.Random) -> Tree:
    """A value of another place of the tree."""
    paths = list(_paths(tree))
    return _replaced(tree, rng.choice(paths), _at(tree, rng.choice(paths)))


TREE_CHANGES: Sequence[Callable[[Tree, random.Random], Tree]] = (
    _other_value, _other_value, _near_number, _without_key, _renamed_key, _more_keys, _longer_list, _moved,
)  # fmt: skip


def change_tree(tree: Tree, rng: random.Random) -> Tree:
    """One or two changes."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        tree = rng.choice(TREE_CHANGES)(tree, rng)
    return tree


def change_json(data: bytes, rng: random.Random) -> bytes:
    """A changed value of a JSON file; one of its lines if it has a value a line."""
    lines = [data]
    try:
        tree = json.loads(data)
        row = 0
    except ValueError:
        lines = data.split(b"\n")
        row = rng.randrange(len(lines))
        try:
            tree = json.loads(lines[row])
        except ValueError:
            return flip_bits(data, rng)
    try:
        lines[row] = json.dumps(change_tree(tree, rng), indent=1 if len(lines) == 1 else None).encode()
    except (TypeError, ValueError):  # two kinds of keys, a number that is too long to be written
        lines[row] = json.dumps(_other_value(tree, random.Random(0)), default=str).encode()
    return b"\n".join(lines)


def change_yaml(data: bytes, rng: random.Random) -> bytes:
    """A changed value of a YAML file."""
    try:
        return yaml.safe_dump(change_tree(yaml.safe_load(data), rng), allow_unicode=True, sort_keys=False).encode()
    except (yaml.YAMLError, UnicodeError, ValueError, TypeError, RecursionError):  # what an earlier change has made unreadable
        return flip_bits(data, rng)


_YAML_LINES = (
    b"name: again", b"\tname: x", b"? [a]: b", b"- x", b"<<: 1", b"a: &a [*a]", b"x: !!python/object:os.system", b"x: !!binary aaaa", b"...", b"---",
    b"x: *nothing", b"2020-01-01: 1", b"1: 2", b"~: ~", b"x: 1_000", b"x: 0o7", b"x: .inf", b"x: .nan", b"%YAML 9.9", b"x: 'unclosed", b"{" * 2000,
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]", b"[" * 2000,
)  # fmt: skip


def change_yaml_lines(data: bytes, rng: random.Random) -> bytes:
    """A line twice, a line moved to another depth, or one that YAML has rules for."""
    lines = data.split(b"\n")
    row = rng.randrange(len(lines))
    line = rng.choice(
        (
            lines[row],
            b" " + lines[row],
            lines[row].strip(),
            b"\t" + lines[row],
            rng.choice(_YAML_LINES),
            rng.choice(_YAML_LINES),
        )
    )
    return b"\n".join([*lines[: row + rng.randrange(2)], line, *lines[row + 1 :]])


_AS_BYTES: Sequence[Mutator] = (truncate, flip_bits, set_bytes, cut_out, splice, change_encoding, change_line_ends)
JSON: Sequence[Mutator] = (*[change_json] * 10, *_AS_BYTES)
YAML: Sequence[Mutator] = (*[change_yaml] * 8, *[change_yaml_lines] * 3, *_AS_BYTES)
