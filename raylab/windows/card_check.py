"""Whether a card says what its windows say: for cards that carry no digest, and for files that were exchanged below a card.

The digest in a card tells of every edit of it. Cards from before there was one are held against what they repeat themselves (the joint
fingerprint, the lengths of the channels) and against the stored classes.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from raylab.windows.card import ParticipantCard, WindowsCard, joint_fingerprint

NO_LABEL = -1


def card_contradiction(card: WindowsCard) -> str:
    """The first statement of a card that another one of it contradicts, as a sentence; empty if there is none."""
    probe = [card.probes[-1].model_dump(mode="json", by_alias=True)] if card.probes else []
    if joint_fingerprint(card.participants, *probe) != card.fingerprint:
        return "its fingerprint is not that of its participants: one was taken away, added, renamed or moved"
    if card.kind == "signals":
        window_s = card.preprocessing.window_s
        for channel in card.channels:
            if not channel.variable and channel.length != round(window_s * channel.rate_hz):
                return f"windows of {window_s:g} s have {round(window_s * channel.rate_hz)} steps of channel {channel.name}, not {channel.length}"
    return ""


def rows_contradiction(card: WindowsCard, entry: ParticipantCard, labels: Mapping[str, npt.NDArray[np.int8]], rows: int) -> str:
    """How the stored classes of a participant differ from the card, as the end of a sentence; empty if they do not.

    Args:
        labels: by label, (rows,) class index, -1 for none.
        rows: number of stored windows.
    """
    if rows != entry.windows:
        return f"the card counts {entry.windows} windows, {rows} are stored"
    for label in card.labels:
        y = labels[label.name]
        if wrong := sorted({int(value) for value in np.unique(y)} - set(range(NO_LABEL, len(label.classes)))):
            return (
                f"label {label.name} has the class {wrong[0]}, and its classes are 0 to {len(label.classes) - 1} or -1 for none"
            )
        for number, name in enumerate(label.classes):
            if (count := int((y == number).sum())) != entry.counts[label.name][name]:
                return f"the card counts {entry.counts[label.name][name]} windows of {label.name}: {name}, {count} are stored"
    return ""
