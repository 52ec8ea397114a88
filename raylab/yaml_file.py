"""One strict reader of YAML, for study files, ``dataset.yaml`` and options: what YAML would pass over in silence is refused, with its line.

PyYAML keeps the last of two equal keys, names no file for bytes that are no UTF-8, and gives a file that expands to billions of values, or an
integer of a thousand digits, to whatever reads it next. Every refusal here names the file, the line and what to do.
"""

import math
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from raylab.errors import InvalidValueError

MAX_BYTES = 4_000_000
MAX_VALUES = 200_000  # after aliases are expanded
MAX_INTEGER = 2**63  # what the tables of a run can hold
SHOWN_CHARACTERS = 40
OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
TAB_REMEDY = "; indent with spaces, not with tabs"


class YamlFileError(InvalidValueError):
    """YAML that cannot be read or is not plain; the message names file, line and remedy."""


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that stands twice and values that no reader of raylab can use."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; nested values are built at once, so that an error in them has their line."""
        if isinstance(node, yaml.MappingNode):
            self._refuse_repeated_keys(node)
        return super().construct_mapping(node, deep=True)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; whatever its constructor raises (a date of month 13) is an error of this line."""
        try:
            value = super().construct_object(node, deep)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
            raise _refusal(f"{_shown(node)} cannot be read ({error})", node) from error
        if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
            raise _refusal(f"the number {_shown(node)} is too large", node)
        if isinstance(value, float) and not math.isfinite(value):
            raise _refusal(f"{_shown(node)} is no finite number", node)
        return value

    def _refuse_repeated_keys(self, node: yaml.MappingNode) -> None:
        """Keys are compared as they are read: 1 and 01 are one number, and so the same key."""
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key is a word, not a list or a mapping", key)
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            value = self.construct_object(key)
            name = unicodedata.normalize("NFC", value) if isinstance(value, str) else value
            if name in lines:
                raise _refusal(f"the key {_shown(key)} stands twice (first in line {lines[name]}); keep one of them", key)
            lines[name] = key.start_mark.line + 1


def _refusal(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _shown(node: yaml.Node) -> str:
    """The beginning of a scalar as it is written."""
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else "the value"
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")


def _refuse_expansion(root: yaml.Node) -> None:
    """Refuse aliases that expand to more values than any file of raylab's has, or to themselves."""
    sizes: dict[int, int] = {}  # by node; 0 while it is being counted

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known == 0:
            raise _refusal("a value contains itself", node)
        if known is not None:
            return known
        sizes[id(node)] = 0
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inner = list(node.value)
        elif isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        count = 1 + sum(size(part) for part in inner)
        if count > MAX_VALUES:
            raise _refusal(f"it holds more than {MAX_VALUES:,} values", node)
        sizes[id(node)] = count
        return count

    size(root)


def decode(content: bytes, source: str) -> str:
    """The text of bytes in UTF-8, with or without a byte-order mark.

    Args:
        source: the file's name in messages.

    Raises:
        YamlFileError: if they are something else; it names the line, and what it reads if the bytes are Latin-1.
    """
    for mark, name in OTHER_ENCODINGS.items():
        if content.startswith(mark):
            raise YamlFileError(f"{source} is {name}; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        word = content[content.rfind(b"\n", 0, error.start) + 1 :].split(b"\n")[0].strip().decode("latin-1")[:SHOWN_CHARACTERS]
        raise YamlFileError(
            f"{source}, line {line} is not UTF-8 (byte 0x{content[error.start]:02x}; as Latin-1 it reads {word!r}); save the file as UTF-8"
        ) from error


def parse_yaml(text: str, source: str) -> Any:
    """The value of a YAML text.

    Args:
        source: the name of the file or option in messages.

    Raises:
        YamlFileError: with the line and what is wrong there.
    """
    try:
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_expansion(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise YamlFileError(f"{_position(source, error)}: {_problem(error, text)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlFileError(f"{source}, line {line}: the character {error.character:#x} is not allowed; remove it") from error
    except RecursionError as error:
        raise YamlFileError(f"{source}: lists or mappings are nested too deep") from error
    except yaml.YAMLError as error:
        raise YamlFileError(f"{source} is not YAML: {' '.join(str(error).split())}") from error


def _position(source: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{source}, line {mark.line + 1}, column {mark.column + 1}" if mark else source


def _problem(error: yaml.MarkedYAMLError, text: str) -> str:
    """PyYAML's words without its marks, and a remedy for the commonest mistake."""
    if isinstance(error, yaml.constructor.ConstructorError) and not error.context:
        return str(error.problem)
    words = f"not YAML: {', '.join(filter(None, (error.context, error.problem)))}"
    mark = error.problem_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    return words + (TAB_REMEDY if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in words else "")


def read_yaml(path: Path) -> Any:
    """The value in a YAML file; None for an empty one.

    Raises:
        YamlFileError: if it cannot be read, is too large, no UTF-8 or no plain YAML.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise YamlFileError(f"{path} has {path.stat().st_size:,} bytes; a file of settings has at most {MAX_BYTES:,}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, YamlFileError):
            raise
        raise YamlFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return parse_yaml(decode(content, str(path)), str(path))
