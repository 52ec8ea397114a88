"""Sessions that stand twice in a dataset, found by the digest of their content: no held-out evaluation survives a participant who is also
another one, or an utterance that is both trained on and tested.

Exact copies only. ``raylab.windows.duplicate_recordings`` finds near-identical recordings among prepared windows, when a study is run.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from raylab.hashing import hash_array
from raylab.recordings.recording import Recording, Segment

LOOKED_AT = 5000  # samples of a channel, evenly spaced
MIN_VALUES = 10  # a signal of fewer different values (flat, on and off) can be that of two sessions by chance
SHOWN = 5
CONTENT = "content"


class SessionContent(BaseModel):
    """A session's content.

    Attributes:
        session: name of the session or utterance.
        file: the file or folder that it was read from, for messages; may be empty.
        digests: channel -> digest of its samples, of the channels that tell sessions apart; or ``content`` -> digest of the file's content.
    """

    model_config = ConfigDict(frozen=True)

    session: str
    file: str
    digests: dict[str, str]


def contents(recording: Recording) -> tuple[SessionContent, ...]:
    """The content of every session of a recording."""
    file = next((channel.file for channel in recording.channels), "")
    return tuple(
        SessionContent(session=segment.session, file=segment.source or file, digests=_digests(segment))
        for segment in recording.segments
    )


def _digests(segment: Segment) -> dict[str, str]:
    if segment.content:
        return {CONTENT: segment.content}
    return {name: hash_array(samples) for name, samples in segment.signals.items() if _tells_apart(samples)}


def _tells_apart(samples: npt.NDArray[np.float64]) -> bool:
    """Whether samples (n, n_features) have so many different values that two sessions do not share them by chance."""
    looked_at = samples[:: max(1, len(samples) // LOOKED_AT)]
    return len(looked_at) >= MIN_VALUES and len(np.unique(looked_at)) >= MIN_VALUES


def copied_sessions(sessions: Mapping[str, Sequence[SessionContent]]) -> tuple[list[str], dict[str, list[str]]]:
    """Sessions with the content of another one, whoever's they are.

    Args:
        sessions: participant -> sessions.

    Returns:
        a problem for every pair of participants (or participant) of which whole sessions are the same; and participant -> notes on sessions of
        which some channels are the same as those of another session: such a channel may be a stimulus, or a file that was copied.
    """
    seen: dict[str, tuple[str, SessionContent, str]] = {}
    whole: dict[tuple[str, str], list[tuple[SessionContent, SessionContent]]] = {}
    notes: dict[str, list[str]] = {}
    for participant, participant_sessions in sessions.items():
        for content in participant_sessions:
            shared: dict[tuple[str, int], tuple[SessionContent, list[str]]] = {}
            for channel, digest in content.digests.items():
                if digest in seen:
                    owner, other, other_channel = seen[digest]
                    pair = shared.setdefault((owner, id(other)), (other, []))
                    pair[1].append(channel if channel == other_channel else f"{channel} (there {other_channel})")
                else:
                    seen[digest] = (participant, content, channel)
            for (owner, _), (other, channels) in shared.items():
                if other is not content and len(channels) == len(content.digests) == len(other.digests):
                    whole.setdefault((owner, participant), []).append((other, content))
                else:
                    notes.setdefault(participant, []).append(_note(participant, content, owner, other, channels))
    return [_problem(*pair, copies) for pair, copies in whole.items()], {
        name: _shortened(lines) for name, lines in notes.items()
    }


def _shortened(lines: list[str]) -> list[str]:
    """The first ``SHOWN`` of the notes of a participant, and how many more there are."""
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"{more} more sessions share channels with others"] if more > 0 else lines


def _note(participant: str, content: SessionContent, owner: str, other: SessionContent, channels: list[str]) -> str:
    place = f"session {other.session}" + (f" of participant {owner}" if owner != participant else "")
    return f"the samples of channel(s) {', '.join(channels)} in session {content.session} are those of {place}: check the files"


def _problem(owner: str, participant: str, copies: list[tuple[SessionContent, SessionContent]]) -> str:
    """A sentence on the sessions of one participant that are also another one's, or stand twice."""
    listed = "; ".join(f"{_place(first)} and {_place(second)}" for first, second in copies[:SHOWN])
    more = f"; and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
    if owner == participant:
        what = f"participant {participant}: {len(copies)} session(s) stand twice, with the same content to the bit"
        remedy = "keep one of each, or leave the participant out with --exclude"
    else:
        what = f"participants {owner} and {participant}: {len(copies)} session(s) of the one are the other's, with the same content to the bit"
        remedy = f"restore the files, or leave one of the two out (--exclude {participant})"
    return f"{what}: {listed}{more}. What to do: {remedy}"


def _place(content: SessionContent) -> str:
    return f"session {content.session}" + (f" (file {content.file})" if content.file else "")
