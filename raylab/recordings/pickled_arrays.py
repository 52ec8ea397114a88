"""The few calls that a pickle of numpy arrays makes, done by hand: their arguments are checked before anything is built.

Nothing of numpy is called with what a file says, except ``ndarray.__setstate__`` on an empty array, with a number type, a shape and
bytes that fit each other. ``numpy.ndarray`` and ``numpy.dtype`` are names here and no callables: with arguments from a file the first
reads any address.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError

# Numbers of integer, unsigned, floating and boolean type, and texts of one width. No objects, records or dates.
_TYPE_CODE = re.compile(r"[iu][1248]|f(?:2|4|8|12|16)|b1|[SU][1-9]\d{0,8}")
_ByteOrder = Literal["<", ">", "|", "="]
_MOST_DIMENSIONS = 32
_SPARE_BYTES = 1_000_000

# numpy 2 renamed numpy.core to numpy._core: both are meant by these.
_RECONSTRUCT = "numpy.core.multiarray._reconstruct"
_SCALAR = "numpy.core.multiarray.scalar"
_FROM_BUFFER = "numpy.core.numeric._frombuffer"
_ARRAY, _TYPE = "numpy.ndarray", "numpy.dtype"
_ENCODE = "_codecs.encode"  # Python 3 writes bytes as a call of it in protocols 0 to 2
_BYTES = ("__builtin__.bytes", "builtins.bytes")  # empty ones
ADMITTED = (_RECONSTRUCT, _SCALAR, _FROM_BUFFER, _ARRAY, _TYPE, _ENCODE, *_BYTES)


class RefusedPickleError(RaylabError, ValueError):
    """A pickle that holds more than arrays and plain containers; the message says what.

    Attributes:
        key: under which key it was being read, as far as is known.
    """

    key: str | None = None


@dataclass(frozen=True)
class Name:
    """A name that the pickle asks for. It stays a name: no class and no function is looked up."""

    dotted: str


@dataclass
class NumberType:
    """A numpy type as a pickle makes it: its code first, its byte order by a later step."""

    code: str
    order: _ByteOrder = "="

    def dtype(self) -> np.dtype[Any]:
        """The numpy type."""
        return np.dtype(self.code).newbyteorder(self.order)


def admitted(module: str, name: str) -> Name:
    """The name, if a pickle of arrays needs it.

    Raises:
        RefusedPickleError: on any other name.
    """
    dotted = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)
    if dotted not in ADMITTED:
        raise RefusedPickleError(f"it asks for {module}.{name}, which is neither a numpy array nor a plain container")
    return Name(dotted)


class ArrayBuilder:
    """Does the calls of one pickle.

    Args:
        file_bytes: size of the pickle; everything that is built from it is bounded by that.
    """

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self._left = 4 * file_bytes + _SPARE_BYTES
        self._blank: dict[int, npt.NDArray[Any]] = {}
        self._open_types: dict[int, NumberType] = {}

    def call(self, function: object, arguments: object) -> object:
        """The result of REDUCE.

        Raises:
            RefusedPickleError: if it is no call that pickled arrays need, or has arguments that they do not have.
        """
        name = function.dotted if isinstance(function, Name) else ""
        match (name, arguments):
            case (_, tuple()) if name == _RECONSTRUCT and arguments in ((Name(_ARRAY), (0,), b"b"), (Name(_ARRAY), (0,), "b")):
                array: npt.NDArray[Any] = np.empty(0, dtype=np.int8)
                self._blank[id(array)] = array
                return array
            case (_, (str() as code, *_)) if name == _TYPE:
                if not _TYPE_CODE.fullmatch(code):
                    kind = "objects" if code.startswith("O") else f"type {code!r:.40}"
                    raise RefusedPickleError(f"expected an array of numbers or text, found {kind}")
                number_type = NumberType(code)
                self._open_types[id(number_type)] = number_type
                return number_type
            case (_, (NumberType() as number_type, bytes() | str() as data)) if name == _SCALAR:
                return self._from_bytes(self._bytes_of(data), number_type.dtype(), ())[()]
            case (_, (bytes() | bytearray() as data, NumberType() as number_type, tuple() as shape, str() as order, *rest)) if (
                name == _FROM_BUFFER
            ):
                return self._from_buffer(data, number_type.dtype(), shape, order, rest[0] if rest else None)
            case (_, (str() as text, "latin1" | "latin-1")) if name == _ENCODE:
                self._charge(len(text))
                return text.encode("latin1")
            case (_, ()) if name in _BYTES:
                return b""
        called = (
            f"it calls {name} with other arguments than a numpy array has" if name else "it calls something that is no name"
        )
        raise RefusedPickleError(called)

    def build(self, target: object, state: object) -> None:
        """BUILD: give an empty array its contents, or a type its byte order, once.

        Raises:
            RefusedPickleError: if the state is none that numpy writes for such an array.
        """
        if id(target) in self._blank and self._blank[id(target)] is target:
            self._fill(self._blank.pop(id(target)), state)
        elif isinstance(target, NumberType) and id(target) in self._open_types:
            self._open_types.pop(id(target)).order = self._byte_order(target, state)
        else:
            raise RefusedPickleError("it gives a state to something that is no new array")

    def check_complete(self) -> None:
        """Refuse arrays that were announced and got no contents.

        Raises:
            RefusedPickleError: if there is one.
        """
        if self._blank:
            raise RefusedPickleError("it holds an array without contents")

    def _fill(self, array: npt.NDArray[Any], state: object) -> None:
        match state:
            case (int(), tuple() as shape, NumberType() as number_type, bool() | 0 | 1 as by_columns, bytes() | str() as data):
                dtype, raw = number_type.dtype(), self._bytes_of(data)
                self._check_fit(shape, dtype, len(raw))
                array.__setstate__((1, shape, dtype, bool(by_columns), raw))  # type: ignore[arg-type]  # numpy takes a plain bool too
            case (int(), tuple(), NumberType(), _, _):
                raise RefusedPickleError("it holds an array of objects or without bytes")
            case _:
                raise RefusedPickleError("it holds an array of another type than numbers and text")

    def _byte_order(self, number_type: NumberType, state: object) -> _ByteOrder:
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, None, None, None, int() as size, int(), int(), *_):
                if size in (-1, number_type.dtype().itemsize):
                    return order
        raise RefusedPickleError(f"it describes the number type {number_type.code} in a way that numpy does not")

    def _bytes_of(self, data: bytes | str) -> bytes:
        """Python 2 wrote bytes as text; numpy itself reads them as latin1."""
        self._charge(len(data))
        return data if isinstance(data, bytes) else data.encode("latin1")

    def _from_bytes(self, raw: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[Any, ...]) -> npt.NDArray[Any]:
        self._check_fit(shape, dtype, len(raw))
        return np.frombuffer(raw, dtype=dtype).reshape(shape)

    def _from_buffer(
        self, data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[Any, ...], order: str, axes: object
    ) -> npt.NDArray[Any]:
        """As ``numpy._core.numeric._frombuffer``, which protocol 5 calls."""
        self._charge(len(data))
        flat = self._from_bytes(data, dtype, (len(data) // dtype.itemsize,))
        self._check_fit(shape, dtype, len(data))
        if order == "K" and isinstance(axes, tuple) and sorted(map(_whole, axes)) == list(range(len(shape))):
            return flat.reshape(shape).transpose(axes)
        if order not in ("C", "F") or axes is not None:
            raise RefusedPickleError(f"it holds an array of the memory order {order!r:.20}")
        return flat.reshape(shape, order="F" if order == "F" else "C")

    def _check_fit(self, shape: tuple[Any, ...], dtype: np.dtype[Any], n_bytes: int) -> None:
        """Shape and number type must fill the bytes exactly, so that no memory is read that the file did not bring."""
        lengths = [_whole(length) for length in shape]
        if len(lengths) > _MOST_DIMENSIONS or any(length > self.file_bytes for length in lengths):
            raise RefusedPickleError("it holds an array that is larger than the file")
        if math.prod(lengths) * dtype.itemsize != n_bytes:
            raise RefusedPickleError(
                f"it holds an array of shape {tuple(lengths)} and type {dtype} with {n_bytes} bytes, which do not fit the shape"
            )

    def _charge(self, n_bytes: int) -> None:
        """Count what is built: a file may name the same bytes many times."""
        self._left -= n_bytes
        if self._left < 0:
            raise RefusedPickleError("it makes many copies of the same bytes")


def _whole(length: object) -> int:
    """A length of an array.

    Raises:
        RefusedPickleError: if it is no whole number from 0 on.
    """
    if type(length) is not int or length < 0:
        raise RefusedPickleError("it holds an array of an impossible shape")
    return length
