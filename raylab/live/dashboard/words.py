"""What the page calls things: signals, and how good the model was, in words for the person who wears the device."""

from collections import Counter

from raylab.live.core.model_card import ModelCard, ModelChannel, NewPersonEstimate

OTHER, VOICE = "another signal", "sound of the voice"
SIGNALS = {  # by modality
    "acc": "movement",
    "bvp": "pulse",
    "ecg": "electrical activity of the heart",
    "eda": "skin conductance",
    "eeg": "electrical activity of the brain",
    "emg": "muscle tension",
    "hr": "heart rate",
    "linguistic": "words that are said",
    "resp": "breathing",
    "temp": "temperature of the skin",
    "visual": "face",
}
UNITS = {
    "uS": "microsiemens",
    "degC": "degrees Celsius",
    "C": "degrees Celsius",
    "mV": "millivolts",
    "uV": "microvolts",
    "g": "gravities",
}


def _kind(card: ModelCard, channel: ModelChannel) -> str:
    """What a channel measures; empty if it is of no kind that has words."""
    return SIGNALS.get(channel.modality, VOICE if card.kind == "utterances" else "")


def kinds(card: ModelCard) -> list[str]:
    """The kinds of signals, each once, with the unit where it has a name: for the question, which tells no name that somebody chose."""
    named = [(_kind(card, channel), UNITS.get(channel.unit, "")) for channel in card.channels]
    return list(dict.fromkeys(f"{kind} (in {unit})" if kind and unit else kind or OTHER for kind, unit in named))


def channel_words(card: ModelCard) -> dict[str, str]:
    """Channel to its words; two channels of a kind have their names behind it, one of an unknown kind has its name alone."""
    count = Counter(_kind(card, channel) for channel in card.channels)

    def words(channel: ModelChannel) -> str:
        kind, own = _kind(card, channel), channel.name.replace("_", " ")
        return f"{kind} ({own})" if kind and count[kind] > 1 else kind or own

    return {channel.name: words(channel) for channel in card.channels}


def quality(card: ModelCard) -> str:
    """How often the model was right about people whom it had not seen; what an AUROC says, in words."""
    estimate = next((estimate for estimate in card.estimates if estimate.metric == "auroc"), None)
    if estimate:
        return _of_new_people(estimate)
    if card.auroc is None or not card.participant:
        return "How good it is on a new person was not measured."
    return (
        f"In the study it was tested on one person: of two windows of different states it told them apart in {100 * card.auroc:.0f} of 100 pairs; "
        "guessing tells 50 of 100 apart. On you it may be better or worse."
    )


def _of_new_people(estimate: NewPersonEstimate) -> str:
    people = "one person" if estimate.n == 1 else f"{estimate.n} people"
    return (
        f"In the study its like were tested on {people} whom they had not seen: of two windows of different states they told them apart in "
        f"{100 * estimate.mean:.0f} of 100 pairs, from {100 * estimate.low:.0f} for the person where it went worst to "
        f"{100 * estimate.high:.0f} where it went best; guessing tells 50 of 100 apart."
    )
