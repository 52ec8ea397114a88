"""What a stream lost, told apart by who lost it: the device and its connection, or raylab itself."""

from collections.abc import Mapping
from typing import Any

FROM_DEVICE = ("lost", "not_numbers", "no_time")  # counts of samples that never came, or came without a value or a time


def losses(
    counts: Mapping[str, Mapping[str, int]],
    rates_hz: Mapping[str, float],
    dropped: Mapping[str, int],
    undecided: Mapping[str, int],
) -> dict[str, Any]:
    """The event ``losses``, in seconds of each channel and in windows, since the stream began. What is 0 is left out.

    Args:
        counts: channel to the counts of its ``TimestampAligner``, in samples.
        rates_hz: channel to its recorded rate.
        dropped: items that a part too slow made raylab drop: ``windows`` and the like, not what is counted in samples already.
        undecided: windows that lacked every channel: ``device`` and ``raylab``.

    Returns:
        ``device``: channel to what never came or could not be read; ``late``: channel to what came too late, or twice, and raylab
        left out; ``too_slow``: channel to what raylab dropped because this machine was too slow; ``windows``: windows that were not
        decided, by who is the reason; ``pictures``: dropped by raylab.
    """

    def seconds(*kinds: str) -> dict[str, float]:
        lost = {name: sum(count.get(kind, 0) for kind in kinds) / rates_hz[name] for name, count in counts.items()}
        return {name: round(value, 2) for name, value in lost.items() if value}

    windows = {
        "device": undecided.get("device", 0),
        "raylab": undecided.get("raylab", 0) + dropped.get("windows", 0) + dropped.get("utterances", 0),
    }
    return {
        "event": "losses",
        "device": seconds(*FROM_DEVICE),
        "late": seconds("late"),
        "too_slow": seconds("dropped"),
        "windows": {name: count for name, count in windows.items() if count},
        "pictures": dropped.get("pictures", 0),
    }
