"""Notes that the tasks of `raylab prepare` leave for the driver, one small file a participant: what goes into the card, or the problem."""

from pydantic import BaseModel, ConfigDict

from raylab.errors import RaylabError, memory_ran_out
from raylab.files import Folder
from raylab.runs.ray_errors import DEATH, MEMORY
from raylab.windows.card import ParticipantCard, ParticipantSummary, stored_participant
from raylab.windows.channel_card import ChannelCard
from raylab.windows.copied_sessions import SessionContent, copied_sessions
from raylab.windows.stored_rows import participant_folder

NOTES = "making"  # the tasks' notes for the driver, one small file a participant; removed when the card is written
REMEDY = f"leave it out with --exclude to see whether its files are the cause; if memory is short, {MEMORY}"


class ParticipantNote(BaseModel):
    """The note of one participant's task: the problem, or the parts of the card that it can tell; ``fingerprint`` is of the rows that it wrote."""

    model_config = ConfigDict(frozen=True)

    error: str = ""
    summary: ParticipantSummary | None = None
    fingerprint: str = ""
    channels: tuple[ChannelCard, ...] = ()
    sessions: tuple[SessionContent, ...] = ()


def note_file(participant: str) -> str:
    """The file of a participant's note; encoded as the folder of its windows, and never the file of the start."""
    return f"{NOTES}/{participant_folder(participant)}.json"


def begun_file(participant: str) -> str:
    """The mark that a participant's task has begun; no note, so that the progress does not count it."""
    return f"{NOTES}/{participant_folder(participant)}.begun"


def problem_of(error: Exception, participant: str) -> str:
    """The sentence for what a reader raised: its own, if it has one for the user."""
    if memory_ran_out(error):
        return f"participant {participant}: memory ran out while it was read ({error or 'no details'}). What to do: {MEMORY}"
    if isinstance(error, RaylabError | OSError):
        return str(error)
    return f"participant {participant}: a fault in raylab, which --traceback shows: {type(error).__name__}: {error}"


def _note_of(folder: Folder, name: str) -> ParticipantNote:
    """The note that a participant's task left; one that names the problem if it cannot be read."""
    try:
        return ParticipantNote.model_validate_json(folder.read(note_file(name)))
    except (OSError, ValueError) as error:
        return ParticipantNote(
            error=f"participant {name}: the note of its task cannot be read ({str(error).splitlines()[0]}); prepare again"
        )


def read_notes(
    folder: Folder, participants: list[str], death: str = DEATH
) -> tuple[list[ParticipantCard], tuple[ChannelCard, ...]]:
    """The tasks' notes: of every participant in order, and of the channels, which are the same for all.

    Args:
        death: how a process ended that left no note.

    Raises:
        RaylabError: with every problem.
    """
    written = set(folder.names(NOTES, ".json"))
    begun = set(folder.names(NOTES, ".begun"))
    notes = {name: _note_of(folder, name) for name in participants if note_file(name).removeprefix(f"{NOTES}/") in written}
    died = f"the process that read it died before it was done ({death}). What to do: {REMEDY}"
    problems = [note.error for note in notes.values() if note.error]
    problems += [
        f"participant {name}: {died}"
        for name in participants
        if name not in notes and begun_file(name).removeprefix(f"{NOTES}/") in begun
    ]
    if not problems and len(notes) < len(participants):
        lost = ", ".join(name for name in participants if name not in notes)
        problems = [f"participant(s) {lost}: Ray ended before their turn came. What to do: prepare again"]
    channels = next((note.channels for note in notes.values()), ())
    different = [name for name, note in notes.items() if channels and note.channels and note.channels != channels]
    if different:
        problems.append(
            f"participant(s) {', '.join(different)} have other channels or rates than {participants[0]}; prepare them apart, "
            "or set a device by --option"
        )
    copies, copy_notes = copied_sessions({name: note.sessions for name, note in notes.items()})
    problems += copies
    if problems:
        raise RaylabError("nothing was prepared:\n" + "\n".join(f"  - {problem}" for problem in problems))
    cards = [stored_participant(note.summary, note.fingerprint) for note in notes.values() if note.summary]
    return [entry.changed(notes=(*entry.notes, *copy_notes.get(entry.name, ()))) for entry in cards], channels
