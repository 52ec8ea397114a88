"""A model: encoder x fusion x width, with the parts trunk, adapter and head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.fusions import Fusion
from raylab.models.keras_defaults import initialize
from raylab.models.layers import scaled
from raylab.models.registry import FUSIONS

PARTS = ("trunk", "adapter", "head")
ADAPTER_UNITS = 128


@dataclass(frozen=True)
class ModelSpec:
    """What a study says of a model.

    Attributes:
        encoder: a name of ``ENCODERS``; the tower every channel gets.
        fusion: a name of ``FUSIONS``; how towers become one feature vector.
        width: scales every layer's units or maps.
        modalities: those that the model sees; all where empty. They decide a trial's channels, and by them its weights.
    """

    encoder: str
    fusion: str = "late"
    width: float = 1.0
    modalities: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How tables call it: the encoder, and what departs from the paper's model."""
        parts = [self.encoder]
        if self.fusion != "late":
            parts.append(self.fusion)
        if self.width != 1.0:
            parts.append(f"w{self.width:g}")
        if self.modalities:
            parts.append("+".join(self.modalities))
        return " ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, from which ``from_dict`` makes it again."""
        return {**self.architecture, **({"modalities": list(self.modalities)} if self.modalities else {})}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelSpec":
        return cls(**{**values, "modalities": tuple(values.get("modalities", ()))})

    @property
    def architecture(self) -> dict[str, Any]:
        """What, beside the channels, decides which weights a network has."""
        return {"encoder": self.encoder, "fusion": self.fusion, "width": self.width}


class Network(nn.Module):
    """trunk (towers and fusion), adapter (one dense layer, only where a technique asks for it), head (the softmax layer, or what `weighted`
    fusion has in its place).

    Shapes: a batch's values are (batch, length, n_features) by channel; the trunk gives (batch, n_features_fused), the network
    logits (batch, n_classes).
    """

    def __init__(self, spec: ModelSpec, shapes: Mapping[str, tuple[int, int]], n_classes: int, adapter: bool) -> None:
        super().__init__()
        self.trunk: Fusion = FUSIONS[spec.fusion].build(shapes, spec.encoder, spec.width, n_classes)
        units = scaled(ADAPTER_UNITS, spec.width) if adapter else self.trunk.n_out
        self.adapter = nn.Linear(self.trunk.n_out, units) if adapter else None
        self.head = self.trunk.head(units, n_classes)

    def features(self, batch: Batch) -> Tensor:
        """What the trunk says of the windows, (batch, n_features_fused)."""
        return torch.as_tensor(self.trunk(batch))

    def votes(self, features: Tensor) -> Tensor | None:
        """Each channel's own logits (batch, n_channels, n_classes) among the features, where the fusion fuses decisions."""
        return self.trunk.votes(features)

    def attention(self, batch: Batch) -> Tensor | None:
        """Weight of each channel in each window, (batch, n_channels) in the order of the channels; None where the fusion gives none."""
        return self.trunk.attention(batch)

    def classify(self, features: Tensor) -> Tensor:
        """Logits (batch, n_classes) from the trunk's features."""
        if self.adapter is not None:
            features = F.relu(self.adapter(features))
        return torch.as_tensor(self.head(features))

    def forward(self, batch: Batch) -> Tensor:
        return self.classify(self.features(batch))

    def part(self, name: str) -> nn.Module | None:
        """The named part; None for an adapter that this network does not have."""
        found: nn.Module | None = getattr(self, name)
        return found

    def set_trainable(self, parts: Sequence[str]) -> list[nn.Parameter]:
        """Make only these parts trainable: they run in training mode, every other in inference mode (its batch statistics
        stand still and it drops nothing).

        Returns:
            the parameters to optimize.
        """
        freed = []
        for name in PARTS:
            module = self.part(name)
            if module is None:
                continue
            module.train(name in parts)
            for key, parameter in module.named_parameters():
                parameter.requires_grad_(name in parts and "bias_hh" not in key)
            freed += [parameter for parameter in module.parameters() if parameter.requires_grad]
        return freed

    def state_of(self, parts: Sequence[str]) -> dict[str, Tensor]:
        """Weights and statistics of these parts, by full name."""
        return {
            key: value.detach().cpu().contiguous() for key, value in self.state_dict().items() if key.split(".")[0] in parts
        }

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Overwrite the named weights; the rest stay.

        Raises:
            ValueError: where a name is not this network's.
        """
        unexpected = self.load_state_dict(dict(state), strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"weights of another network: {', '.join(unexpected[:3])}")


def build(spec: ModelSpec, shapes: Mapping[str, tuple[int, int]], n_classes: int, adapter: bool, draws: FoldSeeds) -> Network:
    """A network with Keras's initial weights, each part from its own stream: the trunk is the same with and without adapter."""
    with torch.random.fork_rng(devices=[]):
        network = Network(spec, shapes, n_classes, adapter)
        for name in PARTS:
            module = network.part(name)
            if module is not None:
                torch.manual_seed(draws.integer(f"initial weights: {name}"))
                initialize(module)
    return network
