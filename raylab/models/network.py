"""A network: encoder, fusion and width, with the named parts trunk, adapter and head (docs/protocol.md, Models).

Techniques name the parts that a stage trains, never layer positions, so that a technique means the same for every encoder and fusion.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.folds.seeding import FoldSeeds
from raylab.models.added_parts import FiLM, LowRank
from raylab.models.batch import Batch
from raylab.models.fusions import Fusion
from raylab.models.keras_defaults import initialize
from raylab.models.layers import scaled
from raylab.models.precision import FLOAT32, Precision, in_single, layer_arithmetic
from raylab.models.registry import FUSIONS, VERSIONS

PARTS = ("trunk", "adapter", "head")
ADDED = ("low_rank", "film")  # parts that a stage can add to a network
WITHIN_TRUNK = ("norm_statistics", "norm_affine")  # the statistics of its batch norm; scale and shift of its normalizations
BELOW_FEATURES = ("trunk", "low_rank", "norm_affine")  # what decides the fused features and is trained by steps
AUTO = "auto"
ADAPTER_UNITS = 128


@dataclass(frozen=True)
class ModelSpec:
    """A model as a study declares it.

    Attributes:
        encoder: a name of ``ENCODERS`` (the tower of every channel) or of ``CLASSICAL_MODELS``.
        fusion: a name of ``FUSIONS``, which says how the channels become one feature vector.
        width: factor on the units or maps of every layer.
        modalities: modalities that the model gets; empty for all. They decide the channels of a trial, and through them its weights.
        channels: ``auto`` if the model chooses among the trial's channels on its training people
            (``raylab.training.channel_choice``); empty if it uses all of them.
    """

    encoder: str
    fusion: str = "late"
    width: float = 1.0
    modalities: tuple[str, ...] = ()
    channels: str = ""

    @property
    def name(self) -> str:
        """Name in tables: the encoder, followed by everything that differs from the study's model (fusion, width, modalities, channels)."""
        parts = [self.encoder]
        if self.fusion != "late":
            parts.append(self.fusion)
        if self.width != 1.0:
            parts.append(f"w{self.width:g}")
        if self.modalities:
            parts.append("+".join(self.modalities))
        if self.channels:
            parts.append(self.channels)
        return " ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of ``from_dict``."""
        fields = {name: value for name, value in self.architecture.items() if name != "plugins"}
        return {**fields, **({"modalities": list(self.modalities)} if self.modalities else {})}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """The model from the values that ``as_dict`` gave."""
        return cls(**{**values, "modalities": tuple(values.get("modalities", ()))})

    @property
    def architecture(self) -> dict[str, Any]:
        """The part of a stage's hash that belongs to the model. Modalities are not in it: the channels are, so a study that names the same
        channels by hand shares the trainings. Nor is a choice of channels: it follows from the windows. That there is one is, and is absent if
        there is none, so that all other stages keep the hashes that they had before."""
        choice = {"channels": self.channels} if self.channels else {}
        plugins = [VERSIONS[name] for name in (self.encoder, self.fusion) if name in VERSIONS]  # whose code no NUMERICS counts
        added = {"plugins": plugins} if plugins else {}
        return {"encoder": self.encoder, "fusion": self.fusion, "width": self.width, **choice, **added}

    @property
    def chooses_channels(self) -> bool:
        """Whether the model chooses among the channels that it is offered."""
        return self.channels == AUTO


class Network(nn.Module):
    """Trunk (towers and fusion), adapter (one dense layer with ReLU, if the technique has one) and head (the softmax layer, or the weighted
    average of ``weighted`` fusion).

    Shapes: values of a batch are (batch, length, n_features) per channel, fused features (batch, n_fused), logits (batch, n_classes).

    Attributes:
        precision: the arithmetic of its layers; no part of its state.

    Args:
        spec: encoder, fusion and width.
        shapes: channel name to (length, n_features), in the order of the towers.
        n_classes: number of classes.
        adapter: whether the network has an adapter (``multi_task``).
    """

    def __init__(self, spec: ModelSpec, shapes: Mapping[str, tuple[int, int]], n_classes: int, adapter: bool) -> None:
        super().__init__()
        self.precision: Precision = FLOAT32
        self.n_classes = n_classes
        self.trunk: Fusion = FUSIONS[spec.fusion].build(shapes, spec.encoder, spec.width, n_classes)
        if spec.chooses_channels:
            self.trunk.selected = torch.ones(len(shapes))
        units = scaled(ADAPTER_UNITS, spec.width) if adapter else self.trunk.n_out
        self.adapter = nn.Linear(self.trunk.n_out, units) if adapter else None
        self.head = self.trunk.head(units, n_classes)
        self.low_rank: LowRank | None = None
        self.film: FiLM | None = None

    def features(self, batch: Batch) -> Tensor:
        """Fused features of the trunk, (batch, n_fused)."""
        with self._arithmetic(batch):
            return in_single(torch.as_tensor(self.trunk(self.trunk.visible(batch))))

    def votes(self, features: Tensor) -> Tensor | None:
        """Logits of each channel's own classifier, (batch, n_channels, n_classes), read from the features; None unless the fusion is of
        decisions (``weighted``, ``stacked``)."""
        return self.trunk.votes(features)

    def attention(self, batch: Batch) -> Tensor | None:
        """Weight of each channel in each window, (batch, n_channels) in the order of the channels; None if the fusion gives no weights."""
        with self._arithmetic(batch):
            weights = self.trunk.attention(self.trunk.visible(batch))
        return None if weights is None else in_single(weights)

    def _arithmetic(self, batch: Batch) -> AbstractContextManager[Any]:
        return layer_arithmetic(self.precision, next(iter(batch.values.values())).device)

    @property
    def channels_selected(self) -> tuple[str, ...] | None:
        """The chosen channels; None if the model uses all that it is offered."""
        return None if self.trunk.selected is None else tuple(self.trunk.channels_used)

    def select_channels(self, names: Sequence[str]) -> None:
        """Use these channels alone from now on; the choice is part of the trunk's weights (``selected``)."""
        self.trunk.select(names)

    def classify(self, features: Tensor, kept: Tensor | None = None) -> Tensor:
        """Logits (batch, n_classes) from the trunk's features.

        Args:
            features: (batch, n_fused); with ``film`` the conditioning input beside them, (batch, 2 n_fused).
            kept: factors (batch, n_fused) of the features, 0 for those that a training step drops.
        """
        with layer_arithmetic(self.precision, features.device):
            if self.film is not None:
                features = self.film(features)
            if kept is not None:
                features = features * kept
            if self.adapter is not None:
                features = F.relu(self.adapter(features))
            return in_single(torch.as_tensor(self.head(features)))

    def forward(self, batch: Batch) -> Tensor:
        return self.classify(self.features(batch))

    def part(self, name: str) -> nn.Module | None:
        """The part of this name; None for the adapter of a network without one."""
        module: nn.Module | None = getattr(self, name)
        return module

    def add(self, part: str, size: int, draws: FoldSeeds) -> None:
        """Add a part of ``ADDED``; nothing if it is there. It changes no output before it is trained.

        Args:
            size: rank of ``low_rank``, units of ``film``.
            draws: of the fold, for its initial weights.
        """
        if self.part(part) is not None:
            return
        device = next(self.parameters()).device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draws.integer(f"initial weights: {part}"))
            module = LowRank(self.trunk, size) if part == "low_rank" else FiLM(self.trunk.n_out, size)
        setattr(self, part, module.to(device))

    @property
    def _within_trunk(self) -> dict[str, str]:
        """Full names of the trunk's normalization tensors, to the finer part that they belong to."""
        return {
            f"trunk.{name}.{key}": "norm_affine" if key in ("weight", "bias") else "norm_statistics"
            for name, module in self.trunk.named_modules()
            if isinstance(module, nn.BatchNorm1d | nn.LayerNorm)
            for key in module.state_dict()
        }

    def set_trainable(self, parts: Sequence[str]) -> list[nn.Parameter]:
        """Make these parts trainable, and freeze all others.

        A frozen part is in inference mode: batch norm uses its running statistics and does not move them, and dropout drops nothing. So its
        outputs are fixed, and features below a trained head can be computed once. In the study's public code frozen layers still
        drop (docs/protocol.md, Departures). What reads a channel that was not chosen is frozen too: it has no part in the logits.

        Returns:
            The parameters to optimize.
        """
        for name in (*PARTS, *ADDED):
            module = self.part(name)
            if module is None:
                continue
            module.train(name in parts)
            for key, parameter in module.named_parameters():
                # torch's LSTM has a second bias, which Keras's has not: it stays at 0
                parameter.requires_grad_(name in parts and "bias_hh" not in key)
        if "norm_affine" in parts:
            within = self._within_trunk
            for key, parameter in self.named_parameters():
                if within.get(key) == "norm_affine":
                    parameter.requires_grad_(True)
        for module in self.trunk.unused:
            module.eval().requires_grad_(False)
        modules = [module for name in (*PARTS, *ADDED) if (module := self.part(name)) is not None]
        return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]

    def state_of(self, parts: Sequence[str]) -> dict[str, Tensor]:
        """Weights and batch statistics of these parts, by their full names, on the processor.

        Tensors of a network that is on the processor already share its memory: clone them before training goes on.
        """
        within = self._within_trunk if set(WITHIN_TRUNK) & set(parts) else {}
        return {
            key: value.detach().cpu().contiguous()
            for key, value in self.state_dict().items()
            if key.split(".")[0] in parts or within.get(key) in parts
        }

    def load_parts(self, state: Mapping[str, Tensor]) -> None:
        """Overwrite the weights that ``state`` names and keep all others: a stage file holds the trained parts only.

        Raises:
            ValueError: if a name is not one of this network's.
        """
        unexpected = self.load_state_dict(dict(state), strict=False).unexpected_keys
        if unexpected:
            raise ValueError(f"weights of another network: {', '.join(unexpected[:3])}")


def build(
    spec: ModelSpec,
    shapes: Mapping[str, tuple[int, int]],
    n_classes: int,
    adapter: bool,
    draws: FoldSeeds,
    precision: Precision = FLOAT32,
) -> Network:
    """A network with Keras's initial weights, the same for all techniques of a fold (docs/protocol.md, Draws).

    Each part has a random stream of its own, so the trunk starts with the same weights whether or not there is an adapter. torch's global
    generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        network = Network(spec, shapes, n_classes, adapter)
        network.precision = precision
        for name in PARTS:
            module = network.part(name)
            if module is not None:
                torch.manual_seed(draws.integer(f"initial weights: {name}"))
                initialize(module)
    return network
