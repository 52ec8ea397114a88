"""From an ONNX model to its lower part: what one of its tensors needs, with that tensor as the only output.

The file is read and written as protocol buffers (https://protobuf.dev/programming-guides/encoding), field by field, so that the onnx package is not
needed. The numbers of the fields are those of onnx.proto. Weights and attributes are copied as they are.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

GRAPH, NODE, INITIALIZER, OUTPUT = 7, 1, 5, 12  # of a model; of its graph
NODE_INPUT, NODE_OUTPUT, WEIGHT_NAME, VALUE_NAME = 1, 2, 8, 1
VARINT, BYTES = 0, 2  # wire types: the only ones at these levels of a model
CONTINUES, LOW_BITS = 0x80, 0x7F


class Field(NamedTuple):
    """One field of a message: its number, its content (empty for a number) and its bytes with the tag."""

    number: int
    content: bytes
    whole: bytes


def upto(model: bytes, tensor: str) -> bytes:
    """The model with ``tensor`` as its only output, and without the nodes and weights that it does not need.

    Raises:
        ValueError: if no node of the model makes this tensor.
    """
    parts = []
    for field in _fields(model):
        parts.append(_field(GRAPH, _lower_part(field.content, tensor)) if field.number == GRAPH else field.whole)
    return b"".join(parts)


def _lower_part(graph: bytes, tensor: str) -> bytes:
    """The graph's fields that the tensor needs. Nodes stand after those whose outputs they take, as ONNX requires."""
    fields, needed, kept = list(_fields(graph)), {tensor.encode()}, set[int]()
    for i in reversed(range(len(fields))):
        if fields[i].number == NODE:
            node = list(_fields(fields[i].content))
            if needed.intersection(_contents(node, NODE_OUTPUT)):
                kept.add(i)
                needed.update(_contents(node, NODE_INPUT))
    if not kept:
        raise ValueError(f"no node of the model makes {tensor}")
    for i, field in enumerate(fields):
        is_weight = field.number == INITIALIZER and needed.intersection(_contents(list(_fields(field.content)), WEIGHT_NAME))
        if is_weight or field.number not in (NODE, INITIALIZER, OUTPUT):
            kept.add(i)
    return b"".join(fields[i].whole for i in sorted(kept)) + _field(OUTPUT, _field(VALUE_NAME, tensor.encode()))


def _contents(fields: Sequence[Field], number: int) -> list[bytes]:
    return [field.content for field in fields if field.number == number]


def _fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, in order.

    Raises:
        ValueError: on a wire type that these messages do not have.
    """
    i = 0
    while i < len(message):
        begin = i
        tag, i = _number(message, i)
        if tag & 7 not in (VARINT, BYTES):
            raise ValueError(f"wire type {tag & 7} at byte {begin}")
        length, i = _number(message, i)
        content = message[i : i + length] if tag & 7 == BYTES else b""
        i += len(content)
        yield Field(tag >> 3, content, message[begin:i])


def _number(message: bytes, i: int) -> tuple[int, int]:
    """The number that begins at a byte, seven bits a byte, and where the next field begins."""
    value = shift = 0
    while message[i] & CONTINUES:
        value |= (message[i] & LOW_BITS) << shift
        i, shift = i + 1, shift + 7
    return value | message[i] << shift, i + 1


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes: tag, length, content."""
    length, parts = len(content), bytearray([number << 3 | BYTES])
    while length > LOW_BITS:
        parts.append(length & LOW_BITS | CONTINUES)
        length >>= 7
    return bytes([*parts, length]) + content
