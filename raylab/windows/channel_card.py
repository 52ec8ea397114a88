"""The channels of prepared windows, as the card describes them; and the base of all parts of a card."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_serializer, model_validator

from raylab.names import checked_name
from raylab.windows.number_types import Positive

Name = Annotated[str, Field(min_length=1), AfterValidator(checked_name)]
Count = Annotated[int, Field(ge=0)]
FEATURES = "features"  # the modality of channels of features; models get them only if they name them


class CardPart(BaseModel):
    """A part of the card: nothing of it is changed in place, nothing unknown is in it, and no value is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def changed(self, **values: Any) -> Self:
        """The same with other values in some fields, checked as when it is read.

        Raises:
            ValidationError: if they do not fit.
        """
        return type(self).model_validate({**dict(self), **values})


class ChannelCard(CardPart):
    """One channel as recorded, and as its windows hold it.

    Attributes:
        name: unique in the card; the column of its samples.
        modality: the measured quantity, which models select channels by.
        recorded_hz: samples a second as recorded; ``rate_hz``: in the windows.
        unit: of the samples as recorded; of features it names the method that computed them.
        length: steps of a window; of a channel of variable length the most that a window holds.
        n_features: values a step.
        variable: whether each window has its own number of valid steps.
    """

    name: Name
    modality: str
    recorded_hz: Positive
    rate_hz: Positive
    unit: str
    length: Annotated[int, Field(ge=1)]
    n_features: Annotated[int, Field(ge=1)]
    variable: bool = False

    @model_serializer(mode="wrap")
    def _variable_if_so(self, content: Any) -> dict[str, Any]:
        """``variable`` is written if it is true: cards of running signals stay as they were before there were others."""
        return {name: value for name, value in content(self).items() if name != "variable" or value}
