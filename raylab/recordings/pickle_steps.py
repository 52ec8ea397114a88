"""A pickle's steps, done by hand with a stack, a memo and nothing else.

``pickle.Unpickler`` allocates what a file names before it looks (an index of the memo takes 16 bytes per place before it), and whatever
its ``find_class`` admits can be called. Here a memo is a dictionary, names are never looked up, and the calls are those of
``raylab.recordings.pickled_arrays``.
"""

import codecs
import io
import pickletools
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, Final

import numpy as np

from raylab.recordings.pickled_arrays import ArrayBuilder, Name, NumberType, RefusedPickleError, admitted

# A recording's pickle has a few hundred steps. A step can cost some 200 bytes, whatever the size of the file.
MOST_STEPS = 500_000
DEEPEST = 100

LONG_TEXT = 2**16  # bytes; a text of Python 2 that is longer is the bytes of an array, and stays what it is

_VALUES: Final = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
)
_OPCODES: Final = {opcode.code: opcode for opcode in pickletools.opcodes}
_CONSTANTS: Final[dict[str, object]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: Final[dict[str, Callable[[], object]]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PLAIN: Final = (str, bytes, bytearray, int, float, bool, type(None), np.generic)


class _Bounded:
    """A file of which nobody reads more than it has: a length in a pickle would else be made room for before it is looked at."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def read(self, count: int) -> bytes:
        return self.file.read(min(count, self.size))

    def readline(self) -> bytes:
        return self.file.readline()


def load_pickle(data: bytes) -> object:
    """``load_pickle_file`` of a pickle in memory."""
    return load_pickle_file(io.BytesIO(data), len(data))


def load_pickle_file(stream: BinaryIO, size: int) -> object:
    """The arrays and plain containers in a pickle of protocol 0-5; strings of Python 2 are read as latin1.

    Read step by step: beside the arrays there is never more than the bytes of one of them.

    Args:
        size: bytes of the file.

    Raises:
        RefusedPickleError: if it holds anything else, or more than its size allows.
        Exception: of any kind if it is damaged.
    """
    machine = _Machine(size)
    try:
        return _carried_out(machine, _Bounded(stream, size))
    finally:
        machine.forget()  # its steps refer to it: without this it would hold everything until the next collection of garbage


def _carried_out(machine: "_Machine", file: Any) -> object:
    for _ in range(MOST_STEPS):
        code = file.read(1)
        step = _OPCODES.get(code.decode("latin1"))
        if step is None:
            raise EOFError("it ends in the middle") if not code else RefusedPickleError(f"it has the unknown step {code!r}")
        argument: Any = None
        if step.name == "STRING":  # pickletools reads ASCII only
            argument = codecs.escape_decode(pickletools.read_stringnl(file, decode=False))[0].decode("latin1")
        elif step.name == "BINSTRING":
            argument = _text_or_bytes(file)
        elif step.arg is not None:
            argument = step.arg.reader(file)
        if step.name == "STOP":
            return machine.result()
        try:
            machine.do(step.name, argument)
        except RefusedPickleError as refusal:
            refusal.key = machine.key()
            raise
    raise RefusedPickleError(f"it has more than {MOST_STEPS} steps, a recording has a few hundred")


def _text_or_bytes(file: Any) -> str | bytes:
    """A text of Python 2: as latin1, as everything else, but long ones as bytes, since an array would need three copies of them for a moment."""
    count = pickletools.read_int4(file)
    if count < 0:
        raise ValueError(f"a text has {count} bytes")
    data: bytes = file.read(count)
    if len(data) != count:
        raise ValueError(f"expected {count} bytes of a text, but only {len(data)} remain")
    return data if count >= LONG_TEXT else data.decode("latin1")


class _Machine:
    """The stack, the memo and the marks of a pickle that is being read."""

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.arrays = ArrayBuilder(file_bytes)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.steps: dict[str, Callable[[Any], None]] = {
            "PROTO": lambda argument: None,
            "FRAME": lambda argument: None,
            "MARK": lambda argument: self.marks.append(len(self.stack)),
            "POP": self._drop,
            "POP_MARK": lambda argument: self._since_mark().clear(),
            "DUP": lambda argument: self.stack.append(self._top()),
            "MEMOIZE": lambda argument: self._remember(len(self.memo)),
            "LIST": lambda argument: self.stack.append(self._since_mark()),
            "TUPLE": lambda argument: self.stack.append(tuple(self._since_mark())),
            "FROZENSET": lambda argument: self.stack.append(frozenset(map(_key, self._since_mark()))),
            "DICT": lambda argument: self.stack.append(_pairs(self._since_mark())),
            "APPEND": lambda argument: self._extend(list, [self._pop()]),
            "APPENDS": lambda argument: self._extend(list, self._since_mark()),
            "ADDITEMS": lambda argument: self._extend(set, map(_key, self._since_mark())),
            "SETITEM": lambda argument: self._extend(dict, _pairs([self._pop(), self._pop()][::-1])),
            "SETITEMS": lambda argument: self._extend(dict, _pairs(self._since_mark())),
            "GLOBAL": lambda argument: self.stack.append(admitted(*argument.split(" ", 1))),
            "STACK_GLOBAL": self._name,
            "REDUCE": self._call,
            "BUILD": self._build,
        }
        self.steps |= dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), self._remember)
        self.steps |= dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda argument: self.stack.append(self.memo[argument]))

    def forget(self) -> None:
        """Hold nothing any longer."""
        self.stack.clear()
        self.memo.clear()
        self.steps.clear()

    def do(self, name: str, argument: Any) -> None:
        """One step.

        Raises:
            RefusedPickleError: if it is none that arrays and plain containers need.
        """
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = [self._pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(reversed(items)))
        elif name in self.steps:
            self.steps[name](argument)
        else:
            asked = f" for {argument}" if isinstance(argument, str) else ""
            raise RefusedPickleError(f"it asks by {name}{asked}: that is neither a numpy array nor a plain container")

    def result(self) -> object:
        """What the pickle holds.

        Raises:
            RefusedPickleError: if it is not whole, nests too deep, or holds a name that is no value.
        """
        value = self._pop()
        self.arrays.check_complete()
        waiting, seen = [(value, 0)], {id(value)}
        while waiting:
            value_inside, depth = waiting.pop()
            if depth > DEEPEST:
                raise RefusedPickleError(f"it nests containers deeper than {DEEPEST}")
            for child in _children(value_inside):
                if id(child) not in seen:
                    seen.add(id(child))
                    waiting.append((child, depth + 1))
        return value

    def key(self) -> str | None:
        """The key of the array that is being read; None if there is none."""
        pairs = zip(self.stack, self.stack[1:], strict=False)
        return next(
            (first for first, second in reversed(list(pairs)) if isinstance(first, str) and isinstance(second, np.ndarray)),
            None,
        )

    def _top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise RefusedPickleError("it takes more from its stack than it put there")
        return self.stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self.stack.pop()
        return value

    def _drop(self, argument: object) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self._pop()

    def _since_mark(self) -> list[Any]:
        if not self.marks:
            raise RefusedPickleError("it closes a container that it did not open")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _remember(self, place: int) -> None:
        if not 0 <= place <= self.file_bytes:  # a pickle counts its objects, and each takes a byte or more
            raise RefusedPickleError(f"it counts to {place:.3g} objects, more than the file has bytes")
        self.memo[place] = self._top()

    def _extend(self, kind: type, items: Iterable[Any]) -> None:
        target: Any = self._top()
        if type(target) is not kind:
            raise RefusedPickleError(f"it adds items of a {kind.__name__} to a {type(target).__name__}")
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, dict | set):
            target.update(items)

    def _name(self, argument: object) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise RefusedPickleError("it asks for a name that is no text")
        self.stack.append(admitted(module, name))

    def _call(self, argument: object) -> None:
        arguments, function = self._pop(), self._pop()
        self.stack.append(self.arrays.call(function, arguments))

    def _build(self, argument: object) -> None:
        state = self._pop()
        self.arrays.build(self._top(), state)


def _key(value: object) -> object:
    """A key of a dictionary or an item of a set: plain, because hashing a tuple in a tuple in a tuple ... ends the process.

    Raises:
        RefusedPickleError: if it is not.
    """
    if not isinstance(value, _PLAIN) or isinstance(value, bytearray):
        raise RefusedPickleError(f"it has a {type(value).__name__} as the key of a dictionary or in a set")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn, as a dictionary."""
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _children(value: object) -> Iterable[object]:
    """The objects in a container, none of a plain value.

    Raises:
        RefusedPickleError: if the value is neither an array, plain, nor a container.
    """
    match value:
        case list() | tuple() | set() | frozenset():
            return value
        case dict():
            return value.values()
        case Name() | NumberType():
            dotted = value.dotted if isinstance(value, Name) else "numpy.dtype"
            raise RefusedPickleError(f"it asks for {dotted} itself, which is neither a numpy array nor a plain container")
    return ()
