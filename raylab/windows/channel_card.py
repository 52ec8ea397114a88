"""The channels of prepared windows, as the card describes them; and the base of all parts of a card."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_serializer, model_validator

from raylab.names import checked_name
from raylab.windows.number_types import Positive

Name = Annotated[str, Field(min_length=1), AfterValidator(checked_name)]
Count = Annotated[int, Field(ge=0)]
FEATURES = "features"  # the modality of channels of features; models get them only if they name them
QUALITY = "quality"  # the modality of channels of signal quality, alike


class CardPart(BaseModel):
    """A part of the card: nothing of it is changed in place, nothing unknown is in it, and no value is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def changed(self, **values: Any) -> Self:
        """The same with other values in some fields, checked as when it is read.

        Raises:
            ValidationError: if they do not fit.
        """
        return type(self).model_validate({**dict(self), **values})


class FeatureCard(CardPart):
    """One feature of a channel of features.

    Attributes:
        unit: of its values.
        sources: the channels that it is computed from.
        context_s: seconds of signal, ending with the window, that it is computed from; fewer where the session began later.
        missing: when a window does not have it (its value is then NaN); empty: it always has.
    """

    name: Name
    unit: str
    sources: tuple[Name, ...]
    context_s: Positive
    missing: str = ""


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
        features: of a channel of features or of quality (of this modality, one step a window) what its values are; only they may be NaN.
    """

    name: Name
    modality: str
    recorded_hz: Positive
    rate_hz: Positive
    unit: str
    length: Annotated[int, Field(ge=1)]
    n_features: Annotated[int, Field(ge=1)]
    variable: bool = False
    features: tuple[FeatureCard, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features; empty if it is no channel of features."""
        return tuple(feature.name for feature in self.features)

    @property
    def sources(self) -> tuple[str, ...]:
        """The channels that its features are computed from, each once."""
        return tuple(dict.fromkeys(source for feature in self.features for source in feature.sources))

    @property
    def reach_s(self) -> float:
        """Seconds of signal, ending with the window, that its features see; 0 if it is no channel of features."""
        return float(max((feature.context_s for feature in self.features), default=0.0))

    @model_serializer(mode="wrap")
    def _others_if_so(self, content: Any) -> dict[str, Any]:
        """``variable`` and ``features`` are written if there is something: cards stay as they were before there were such channels."""
        return {name: value for name, value in content(self).items() if name not in ("variable", "features") or value}

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        if bool(self.features) != (self.modality in (FEATURES, QUALITY)):
            raise ValueError(
                f"channel {self.name}: only channels of modality {FEATURES} or {QUALITY} have features, and all of these have"
            )
        if self.features and (len(set(self.feature_names)) != self.n_features or self.length != 1 or self.variable):
            raise ValueError(
                f"channel {self.name}: it has {self.n_features} values a window, and {len(self.features)} names for them"
            )
        return self
