"""Techniques, models, datasets and metrics of users, without a change of raylab (docs/extend.md).

A plugin is a Python file (``--plugin FILE.py``) or an installed distribution with entry points. What it adds is entered in the tables that
raylab's own entries stand in, so that nothing else knows of plugins. A process that another one starts (a Ray worker, a calibration) enters
the same plugins from their record: a file by its text, a distribution by its version.
"""

import hashlib
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from raylab.errors import RaylabError, shown

OWN = "raylab"  # the origin of what no plugin added
REMEDY = "`raylab docs extend` has a whole example"


@dataclass(frozen=True)
class Kind:
    """A kind of thing that a plugin adds.

    Attributes:
        name: in messages, such as ``technique``.
        attribute: the name in a plugin file, of a tuple or list.
        group: of entry points.
        type: module and class of one.
        table: module and name of the table that it is entered in.
        enter: module and name of a function that enters it, if more than the table has to know.
    """

    name: str
    attribute: str
    group: str
    type: tuple[str, str]
    table: tuple[str, str]
    enter: tuple[str, str] | None = None

    def of(self, place: tuple[str, str]) -> Any:
        """The object; its module is imported only if a plugin has something of this kind, since some load libraries for seconds."""
        return getattr(import_module(place[0]), place[1])


MODELS = "raylab.models.registry"
KINDS: dict[str, Kind] = {
    kind.attribute: kind
    for kind in (
        Kind(
            "technique",
            "TECHNIQUES",
            "raylab.techniques",
            ("raylab.techniques.stage", "Technique"),
            ("raylab.techniques.registry", "TECHNIQUES"),
        ),
        Kind("encoder", "ENCODERS", "raylab.encoders", (MODELS, "Encoder"), (MODELS, "ENCODERS")),
        Kind("fusion", "FUSIONS", "raylab.fusions", (MODELS, "FusionMethod"), (MODELS, "FUSIONS")),
        Kind(
            "classical model",
            "CLASSICAL_MODELS",
            "raylab.classical_models",
            (MODELS, "ClassicalModel"),
            (MODELS, "CLASSICAL_MODELS"),
        ),
        Kind(
            "dataset",
            "DATASETS",
            "raylab.datasets",
            ("raylab.recordings.recording", "Dataset"),
            ("raylab.recordings", "DATASETS"),
        ),
        Kind(
            "metric",
            "METRICS",
            "analysis.metrics",
            ("analysis.scores.metrics", "Metric"),
            ("analysis.scores.metrics", "METRICS"),
            ("analysis.scores.metrics", "add_metric"),
        ),
    )
}
OF_MODELS = ("ENCODERS", "FUSIONS", "CLASSICAL_MODELS")


@dataclass(frozen=True)
class Plugin:
    """A plugin that this process has entered, as other processes and the run folder need it.

    Attributes:
        name: the file's name without its ending, or the distribution's.
        origin: the file as it was given, or ``NAME VERSION`` of the distribution.
        version: digest of the file's bytes, or the distribution's version.
        source: text of the file; empty for a distribution.
        adds: attribute of a kind to the names that it added.

    Source:
        docs/extend.md, What holds.
    """

    name: str
    origin: str
    version: str
    source: str = ""
    adds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """What the run folder keeps of it."""
        adds = {KINDS[attribute].name: list(names) for attribute, names in self.adds.items()}
        return {"name": self.name, "origin": self.origin, "version": self.version, "adds": adds}


_ENTERED: dict[str, Plugin] = {}


def entered() -> tuple[Plugin, ...]:
    """The plugins of this process.

    Returns:
        one each, in the order in which they were entered.

    Source:
        docs/extend.md, What holds.
    """
    return tuple(_ENTERED.values())


def origin_of(attribute: str, name: str) -> str:
    """Where an entry of a table comes from: ``raylab``, or the plugin's origin."""
    return next((plugin.origin for plugin in _ENTERED.values() if name in plugin.adds.get(attribute, ())), OWN)


def shown_origin(attribute: str, name: str) -> str:
    """For lists: `` (FILE.py)`` behind the name of an entry that a plugin added; empty for raylab's own."""
    origin = origin_of(attribute, name)
    return "" if origin == OWN else f" ({origin})"


def enter_files(paths: Iterable[Path]) -> None:
    """Enter plugin files; one that is entered already, with the same bytes, is passed over.

    Args:
        paths: Python files. They are run: they have your rights.

    Raises:
        RaylabError: naming the file, the problem and the remedy. Nothing of that file is entered then.

    Source:
        docs/extend.md, A file.
    """
    for path in paths:
        try:
            content = path.read_bytes()
            source = content.decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RaylabError(f"plugin {path}: cannot be read ({error}); give a Python file with --plugin") from error
        version = hashlib.blake2b(content, digest_size=10).hexdigest()
        _enter_source(Plugin(path.stem, str(path), version, source))


def enter_installed() -> None:
    """Enter the entry points of all installed distributions, a distribution at a time.

    Raises:
        RaylabError: naming the distribution, the entry point, the problem and the remedy.

    Source:
        docs/extend.md, A package.
    """
    found: dict[str, tuple[str, dict[str, list[Any]]]] = {}
    for kind in KINDS.values():
        for point in sorted(entry_points(group=kind.group), key=lambda point: point.name):
            if point.dist is None or point.dist.name in _ENTERED:
                continue
            origin = f"{point.dist.name} {point.dist.version}"
            try:
                value = point.load()
            except Exception as error:  # another's code may raise anything
                raise RaylabError(
                    f"plugin {origin}: the entry point {point.name} ({point.value}, group {kind.group}) cannot be imported: "
                    f"{type(error).__name__}: {error}. What to do: mend the distribution, or uninstall it"
                ) from error
            parts = found.setdefault(point.dist.name, (point.dist.version, {}))[1]
            parts.setdefault(kind.attribute, []).extend(value if isinstance(value, tuple | list) else [value])
    for name, (version, parts) in found.items():
        _enter(Plugin(name, f"{name} {version}", version), parts)


def enter_same(plugins: Iterable[Plugin]) -> None:
    """Enter in this process what another process has entered: files by their text, distributions by their version.

    Raises:
        RaylabError: if a distribution is missing here or has another version, or a file's text cannot be entered.
    """
    wanted = [plugin for plugin in plugins if plugin.name not in _ENTERED or _ENTERED[plugin.name].version != plugin.version]
    if any(not plugin.source for plugin in wanted):
        enter_installed()
    for plugin in wanted:
        if plugin.source:
            _enter_source(plugin)
        elif plugin.name not in _ENTERED or _ENTERED[plugin.name].version != plugin.version:
            here = _ENTERED[plugin.name].version if plugin.name in _ENTERED else "none"
            raise RaylabError(
                f"plugin {plugin.origin}: this machine has {here}; install {plugin.name}=={plugin.version} on every machine of the cluster"
            )


def _enter_source(plugin: Plugin) -> None:
    """Run the text of a plugin file as a module of its own, and enter what it lists."""
    before = _ENTERED.get(plugin.name)
    if before is not None and before.version == plugin.version:
        return
    if before is not None:
        raise RaylabError(
            f"plugin {plugin.origin}: this process has entered {before.origin} under the name {plugin.name} already; give plugin files "
            "different names, and start a new process after a change"
        )
    module = ModuleType(f"raylab_plugin_{plugin.name}")
    module.__file__ = plugin.origin
    sys.modules[module.__name__] = module  # dataclasses and pickles look their module up
    try:
        exec(compile(plugin.source, plugin.origin, "exec"), module.__dict__)  # a user's own code, which --plugin asks to run
    except Exception as error:  # another's code may raise anything
        del sys.modules[module.__name__]
        raise RaylabError(
            f"plugin {plugin.origin}{_line_of(error, plugin.origin)}: {type(error).__name__}: {error}. What to do: mend the file; "
            f"`python {plugin.origin}` shows the whole stack"
        ) from error
    parts = {name: _items(plugin, name, getattr(module, name)) for name in KINDS if _lists(module, name)}
    if not parts:
        raise RaylabError(f"plugin {plugin.origin}: it has none of {', '.join(KINDS)}, so it adds nothing; {REMEDY}")
    _enter(plugin, parts)


def _line_of(error: Exception, file: str) -> str:
    """The line of the file in which an error came up, for messages."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f", line {lines[-1]}" if lines else ""


def _lists(module: ModuleType, attribute: str) -> bool:
    """Whether the file lists things of a kind: it has the name, and did not import raylab's own table under it."""
    if attribute not in vars(module):
        return False
    kind = KINDS[attribute]
    table = getattr(sys.modules.get(kind.table[0]), kind.table[1], None)
    return getattr(module, attribute) is not table


def _items(plugin: Plugin, attribute: str, value: Any) -> list[Any]:
    if not isinstance(value, tuple | list):
        raise RaylabError(
            f"plugin {plugin.origin}: {attribute} is {shown(value)}, expected a tuple or a list; write {attribute} = (...,). {REMEDY}"
        )
    return list(value)


def _enter(plugin: Plugin, parts: Mapping[str, list[Any]]) -> None:
    """Check everything that the plugin lists, then enter all of it.

    Raises:
        RaylabError: with every wrong type and every name that is taken; nothing is entered then.
    """
    problems: list[str] = []
    for attribute, items in parts.items():
        problems += _problems(KINDS[attribute], items)
    problems += [f"it has a name of its own twice: {name}" for name in _repeated(parts)]
    if problems:
        raise RaylabError(f"plugin {plugin.origin}: {'; '.join(problems)}. {REMEDY}")
    adds = {attribute: tuple(item.name for item in items) for attribute, items in parts.items()}
    for attribute, items in parts.items():
        kind = KINDS[attribute]
        enter: Callable[[Any], None] = kind.of(kind.enter) if kind.enter else _enter_into(kind.of(kind.table))
        for item in items:
            enter(item)
            if attribute in OF_MODELS:
                kind.of((MODELS, "VERSIONS"))[item.name] = f"{plugin.name} {plugin.version} {item.identity}".rstrip()
    _ENTERED[plugin.name] = Plugin(plugin.name, plugin.origin, plugin.version, plugin.source, adds)


def _enter_into(table: MutableMapping[str, Any]) -> Callable[[Any], None]:
    return lambda item: table.__setitem__(item.name, item)


def _problems(kind: Kind, items: list[Any]) -> list[str]:
    """Wrong types and taken names among things of one kind."""
    expected, table = kind.of(kind.type), kind.of(kind.table)
    problems = []
    for number, item in enumerate(items):
        if not isinstance(item, expected):
            problems.append(f"{kind.attribute}[{number}] is {shown(item)}, expected a {'.'.join(kind.type)}")
        elif not item.name or not item.name.isidentifier():
            problems.append(
                f"the name {item.name!r} of a {kind.name} is not made of letters, digits and _; give it another one"
            )
        elif item.name in table or item.name in _same_names(kind):
            owner = origin_of(kind.attribute, item.name)
            problems.append(f"the {kind.name} {item.name!r} is taken by {owner}; give it another name")
    return problems


def _same_names(kind: Kind) -> Iterable[str]:
    """Names of another table that a study writes in the same place: an encoder and a classical model."""
    other = {"ENCODERS": "CLASSICAL_MODELS", "CLASSICAL_MODELS": "ENCODERS"}.get(kind.attribute)
    return KINDS[other].of(KINDS[other].table) if other else ()


def _repeated(parts: Mapping[str, list[Any]]) -> list[str]:
    names = [(attribute, item.name) for attribute, items in parts.items() for item in items if hasattr(item, "name")]
    return sorted({name for attribute, name in names if names.count((attribute, name)) > 1})
