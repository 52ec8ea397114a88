"""From sound to the frames of a speech encoder whose weights the user downloaded: wav2vec 2.0, HuBERT or WavLM, read from a folder by transformers.

Nothing is fetched: the folder holds ``config.json`` and ``model.safetensors`` as published (``preprocessor_config.json`` if there is one). Weights
in pickles, and code beside the weights, are refused. Which layer is taken is the user's, and has to be fixed before scores are seen, or chosen on
inner folds: layers compared on the people who are tested are a choice on the test.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RaylabError
from raylab.features.optional_packages import load
from raylab.features.sound import Samples

EXTRA = "speech-pretrained"
KINDS = ("wav2vec2", "hubert", "wavlm")
WEIGHTS = "model.safetensors"

Vectors = npt.NDArray[np.float64]


class PretrainedEncoder:
    """An encoder of a folder, up to a layer.

    Args:
        folder: of its files.
        layer: 0 is the input of the first transformer block, k the output of block k.

    Attributes:
        name: kind, layer and digest of the weights, for units and cards.
        step: samples from one frame to the next; ``width``: numbers a frame.

    Raises:
        RaylabError: if a file is missing, the kind is another, or there is no such layer.
    """

    def __init__(self, folder: str, layer: int) -> None:
        self.folder, self.layer = Path(folder), layer
        config = self._config("config.json")
        kind, blocks = config.get("model_type"), config.get("num_hidden_layers")
        problem = ""
        if kind not in KINDS:
            problem = f"config.json names a model of type {kind!r}; there are {', '.join(KINDS)}"
        elif not isinstance(blocks, int) or not 0 <= layer <= blocks:
            problem = f"encoder_layer={layer}: the encoder has the layers 0 to {blocks}"
        elif not (self.folder / WEIGHTS).is_file():
            problem = f"holds no {WEIGHTS}: save the model with safetensors (pickled weights are not read)"
        if problem:
            raise RaylabError(f"{folder}: {problem}")
        normalize = self._config("preprocessor_config.json", optional=True).get("do_normalize", True)
        self.normalize, self.width = bool(normalize), int(config["hidden_size"])
        strides, kernels = (config.get(name, default) for name, default in _CONVOLUTIONS.items())
        self.step = int(np.prod(strides))
        self.shortest = 1 + sum((kernel - 1) * int(np.prod(strides[:i])) for i, kernel in enumerate(kernels))
        digest = hashlib.sha256((self.folder / WEIGHTS).read_bytes()).hexdigest()[:12]
        self.name = f"{kind}, layer {layer}, weights {digest}"

    def frames(self, samples: Samples, step: int = 0) -> Vectors:
        """(n, width): a vector every ``step`` samples (320 in the published models). A sound too short for one frame is followed by silence."""
        torch = load("torch", EXTRA)
        x = np.pad(samples, (0, max(0, self.shortest - len(samples))))
        if self.normalize:
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-7)
        with torch.no_grad():
            states = self._model()(torch.from_numpy(x.astype(np.float32))[None], output_hidden_states=True).hidden_states
        return np.asarray(states[self.layer][0].numpy(), dtype=np.float64)

    def statistics(self, samples: Samples, step: int = 0) -> Vectors:
        """(1, 2 width): mean and standard deviation of the frames."""
        frames = self.frames(samples)
        return np.asarray(np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None])

    def _model(self) -> Any:
        return _load(str(self.folder))

    def _config(self, name: str, optional: bool = False) -> dict[str, Any]:
        path = self.folder / name
        if optional and not path.is_file():
            return {}
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RaylabError(f"{path} cannot be read ({error}); give the folder of a downloaded encoder") from error
        if not isinstance(content, dict):
            raise RaylabError(f"{path} holds no settings; give the folder of a downloaded encoder")
        return content


_CONVOLUTIONS = {"conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_kernel": [10, 3, 3, 3, 3, 2, 2]}  # of the published models


@lru_cache(maxsize=2)
def _load(folder: str) -> Any:
    models = load("transformers", EXTRA)
    load("torch", EXTRA)
    try:
        model = models.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise RaylabError(f"{folder}: the encoder cannot be loaded ({str(error).splitlines()[0]})") from error
    return model.eval()


@lru_cache(maxsize=4)
def pretrained_encoder(folder: str, layer: int) -> PretrainedEncoder:
    """The encoder of a folder, read once per process."""
    return PretrainedEncoder(folder, layer)
