"""A network of K networks: the ordinary one with every layer that has parameters replaced by a stacked one (``raylab.models.stacked_layers``)."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from raylab.models.fusions import WeightedAverage
from raylab.models.layers import BothWays, FrameLayer
from raylab.models.network import Network
from raylab.models.sequence import Pooled
from raylab.models.stacked_layers import (
    Members,
    StackedAttention,
    StackedAverage,
    StackedBatchNorm,
    StackedBothWays,
    StackedConv1d,
    StackedDropout,
    StackedEncoderLayer,
    StackedLayerNorm,
    StackedLinear,
    StackedLSTM,
)

LAYERS: dict[type[nn.Module], Callable[[Any, Members], nn.Module]] = {
    nn.Conv1d: StackedConv1d,
    nn.BatchNorm1d: StackedBatchNorm,
    nn.Linear: StackedLinear,
    nn.modules.linear.NonDynamicallyQuantizableLinear: StackedLinear,  # attention's last layer
    nn.LayerNorm: StackedLayerNorm,
    nn.LSTM: StackedLSTM,
}


class StackedNetwork:
    """K networks of one shape as one ``Network``, whose state has a first axis more.

    Attributes:
        network: takes batches of K x batch windows (``raylab.models.stacked_layers``), and has parts, trainable parameters and a state as any other.
        members: which members the next batch is of.

    Args:
        networks: whose weights it begins with; they are not changed.
        generators: for each the stream that its dropout draws from.
    """

    def __init__(self, networks: Sequence[Network], generators: Sequence[torch.Generator]) -> None:
        self.members = Members(list(generators))
        self.network = deepcopy(networks[0])
        _convert(self.network, self.members)
        states = [network.state_dict() for network in networks]
        self._hold({name: torch.stack([state[name] for state in states]) for name in states[0]})
        towers = getattr(self.network.trunk, "towers", {})
        for name, tower in towers.items():
            tower.register_forward_pre_hook(partial(_enter, self.members, name))
        self.use(None)

    def use(self, positions: Sequence[int] | None) -> None:
        """The next batches are of these members, in this order; None: of all."""
        members = self.members
        device = next(self.network.parameters()).device
        members.active = None if positions is None else torch.tensor(list(positions), device=device)
        members.drawing = members.generators if positions is None else [members.generators[k] for k in positions]

    def keep(self, positions: Sequence[int]) -> None:
        """From now on the stack is of these members alone."""
        index = torch.tensor(list(positions), device=next(self.network.parameters()).device)
        self.members.generators = [self.members.generators[k] for k in positions]
        self._hold({name: value[index] for name, value in self.network.state_dict().items()})
        self.use(None)

    def _hold(self, state: dict[str, Tensor]) -> None:
        """Take over parameters and buffers of other sizes."""
        for path, module in self.network.named_modules():
            prefix = f"{path}." if path else ""
            for name in [*module._parameters]:
                if prefix + name in state:
                    module._parameters[name] = nn.Parameter(state[prefix + name])
            for name in [*module._buffers]:
                if prefix + name in state:
                    module._buffers[name] = state[prefix + name]


def _enter(members: Members, channel: str, tower: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    members.channel, members.length = channel, inputs[0].shape[1]


def _convert(module: nn.Module, members: Members, base: int = 1, time: tuple[int, ...] = ()) -> None:
    """Replace, below ``module``, every layer that has parameters or draws.

    Args:
        base: factor by which the tower above shortens windows.
        time: the axes that are steps in the inputs of its dropout.
    """
    if isinstance(module, Pooled):
        base, time = module.pool, (2,)
    frames = [child for child in module.children() if isinstance(child, FrameLayer)]
    if frames:
        base, time = frames[0].size, (1,)
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Dropout):
            setattr(module, name, StackedDropout(child.p, members, time, base))
        elif isinstance(child, nn.TransformerEncoderLayer):
            setattr(module, name, _encoder_layer(child, members, base))
        elif make := LAYERS.get(type(child)):
            setattr(module, name, _named_alike(child, make(child, members)))
        else:
            _convert(child, members, base, time)
            if isinstance(child, BothWays):
                child.__class__ = StackedBothWays
            elif isinstance(child, WeightedAverage):
                child.__class__ = StackedAverage
                child.members = members  # type: ignore[assignment]  # a plain attribute of a module


def _named_alike(layer: nn.Module, stacked: nn.Module) -> nn.Module:
    """The stacked layer with places for the layer's parameters and buffers, under their names."""
    for name, value in layer._parameters.items():
        stacked.register_parameter(name, value)
    for name, buffer in layer._buffers.items():
        stacked._buffers[name] = buffer
    return stacked


def _encoder_layer(layer: nn.TransformerEncoderLayer, members: Members, base: int) -> nn.Module:
    stacked = StackedEncoderLayer()
    for name, child in layer.named_children():
        if isinstance(child, nn.MultiheadAttention):
            attention = _named_alike(child, StackedAttention(child, members, base))
            attention.out_proj = _named_alike(child.out_proj, StackedLinear(child.out_proj, members))
            setattr(stacked, name, attention)
        else:
            setattr(stacked, name, child)
    stacked.dropout1 = StackedDropout(layer.dropout1.p, members, (1,), base, steps_first=True)
    _convert(stacked, members, base, (1,))
    return stacked
