"""Numbers of a card: checked when a card is read, and kept as they were written.

A stage's hash is of the preprocessing as the card states it, and to a hash 5 and 5.0 are different records. pydantic's ``float`` would turn
the one into the other, and every trained stage of such windows would be trained again.
"""

from typing import Annotated, Any

from pydantic import PlainValidator

LARGEST = 3.4028234663852886e38  # of single precision, in which windows are stored


def finite(value: Any) -> float:
    """The number itself.

    Raises:
        ValueError: if it is no number, NaN, infinite, or beyond single precision.
    """
    # compared, not converted: an integer may be too large for any float
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise ValueError("has to be a finite number")
    return value


def positive(value: Any) -> float:
    """The number itself.

    Raises:
        ValueError: if it is not finite, or not above 0.
    """
    number = finite(value)
    if number <= 0:
        raise ValueError("has to be above 0")
    return number


def not_negative(value: Any) -> float:
    """The number itself.

    Raises:
        ValueError: if it is not finite, or below 0.
    """
    number = finite(value)
    if number < 0:
        raise ValueError("has to be 0 or more")
    return number


Positive = Annotated[int | float, PlainValidator(positive)]
NotNegative = Annotated[int | float, PlainValidator(not_negative)]
