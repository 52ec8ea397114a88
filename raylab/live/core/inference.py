"""The model's decision on a window."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F

from raylab.live.core.messages import Window
from raylab.live.core.model_file import LiveModel
from raylab.models.batch import Batch
from raylab.models.build import Model
from raylab.models.encoders import MLPLSTM
from raylab.models.estimators import Estimator

WARM_UP_WINDOWS = 3
SWITCH_S = 0.0005  # how long a Python thread runs while others wait; 5 ms unless set


@dataclass(frozen=True)
class Decision:
    """The model's output for one window.

    Attributes:
        p: class to probability.
        weights: channel to its weight, if the fusion weights the channels of each window; None otherwise.
        model: the weights that decided: ``exported``, ``base`` or ``calibrated``.
        latency_ms: from the receipt of the window's last sample to this decision. ``parts_ms``: its parts.
    """

    window: Window
    p: dict[str, float]
    weights: dict[str, float] | None
    model: str
    latency_ms: float
    parts_ms: dict[str, float]

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.p, key=self.p.__getitem__)

    def as_dict(self) -> dict[str, Any]:
        """The event of this decision; it contains no signals."""
        w = self.window
        head = {"event": "decision", "window": w.number, "start_s": round(w.start_s, 3), "end_s": round(w.end_s, 3)}
        return {
            **head,
            "label": self.label,
            "p": {name: round(value, 4) for name, value in self.p.items()},
            "weights": self.weights and {name: round(value, 4) for name, value in self.weights.items()},
            "missing": w.missing,
            "quality": w.quality,
            "model": self.model,
            "latency_ms": round(self.latency_ms, 2),
            "parts_ms": {name: round(value, 2) for name, value in self.parts_ms.items()},
            **({"heard": w.heard} if w.heard else {}),
        }


class WindowClassifier:
    """Decides windows with the current model, which another thread can replace at any time.

    Args:
        calibrated: see ``LiveModel.network``.
    """

    def __init__(self, model: LiveModel, calibrated: bool = True) -> None:
        self._card = model.card
        self.classes = model.card.classes
        self.channels = [channel.name for channel in model.card.channels]
        network = _for_inference(model.network(calibrated))
        self._current: tuple[Model, str] = (network, "exported" if calibrated else "base")

    def swap(self, network: Model, name: str) -> None:
        """Use this model from the next window on."""
        self._current = (_for_inference(network), name)

    def warm_up(self) -> None:
        """Decide a few windows of zeros: the first calls are slow, and must not be the wearer's."""
        values = {
            channel.name: np.zeros((channel.length, channel.n_features), dtype=np.float32) for channel in self._card.channels
        }
        full = {channel.name: channel.length for channel in self._card.channels if channel.variable}
        for _ in range(WARM_UP_WINDOWS):
            _probabilities(self._current[0], batch_of(Window(0, 0.0, 0.0, values, full, {}, {}, 0.0), self.channels))

    def decide(self, window: Window, began: float | None = None) -> Decision:
        """Decide a window.

        Args:
            began: when the work on it began, by ``time.perf_counter``: the time from its last sample to then was spent waiting.

        Raises:
            ValueError: if a probability is not finite.
        """
        start = time.perf_counter()
        network, name = self._current
        batch = batch_of(window, self.channels)
        p, weights = _probabilities(network, batch)
        if not np.isfinite(p).all():
            raise ValueError("the model predicts NaN")
        end = time.perf_counter()
        parts = {**({"waiting": 1000 * (began - window.complete)} if began else {}), **window.parts_ms}
        return Decision(
            window=window,
            p=dict(zip(self.classes, (float(value) for value in p), strict=True)),
            weights=None if weights is None else dict(zip(self.channels, (float(w) for w in weights), strict=True)),
            model=name,
            latency_ms=1000 * (end - window.complete),
            parts_ms={**parts, "network": 1000 * (end - start)},
        )


def one_window_at_a_time() -> None:
    """Set this process up for batches of one window.

    One thread; short turns between the threads of the stream; no oneDNN, which reorders an LSTM's weights at every call (half of mlp_lstm's time at
    width 1). Without it probabilities differ in the seventh digit.
    """
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_S)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # a property of the module, which torch types as its descriptor


def batch_of(window: Window, channels: list[str]) -> Batch:
    """A batch of this window alone; a channel of fixed length has an entry in its lengths only if it is missing."""
    values = {name: torch.from_numpy(window.values[name])[None] for name in channels}
    return Batch(values, {name: torch.tensor([steps]) for name, steps in window.lengths.items() if name in values})


class _LSTMFromZeroState(nn.Module):
    """An LSTM of one layer and one direction that skips the product of the initial state, which is zero.

    The first of mlp_lstm's two steps then needs no recurrent weights; these are a third of what is read from memory for a window.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """All outputs (batch, steps, units) of x (batch, steps, n_in); the last state is not returned."""
        (w_in, w_state, b_in, b_state) = self.lstm.all_weights[0]
        inputs = F.linear(x, w_in, b_in + b_state)
        outputs: list[Tensor] = []
        cell = torch.zeros(())
        for step in range(x.shape[1]):
            gates = inputs[:, step] + F.linear(outputs[-1], w_state) if outputs else inputs[:, step]
            input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=1)
            cell = torch.sigmoid(forget_gate) * cell + torch.sigmoid(input_gate) * torch.tanh(candidate)
            outputs.append(torch.sigmoid(output_gate) * torch.tanh(cell))
        return torch.stack(outputs, dim=1), None


def _for_inference(network: Model) -> Model:
    """The model in inference mode, with the quicker LSTM."""
    if isinstance(network, Estimator):
        return network
    for module in list(network.modules()):
        if isinstance(module, MLPLSTM) and isinstance(module.lstm, nn.LSTM):
            module.lstm = _LSTMFromZeroState(module.lstm)  # type: ignore[assignment]  # it has the same outputs
    return network.eval()


def _probabilities(network: Model, batch: Batch) -> tuple[Any, Any]:
    """Probabilities (n_classes,), and the channels' weights (n_channels,) or None."""
    if isinstance(network, Estimator):
        with threadpool_limits(1):
            return network.probabilities(batch)[0], None
    with torch.inference_mode():
        p = torch.softmax(network(batch), dim=1)[0].numpy()
        weights = network.attention(batch)
    return np.asarray(p, dtype=np.float64), None if weights is None else weights[0].numpy()
