"""A window to a decision."""

import sys
import time
import warnings
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

WARM = 3
SWITCH_S = 0.0005  # after which a thread of Python that waits gets its turn; 5 ms otherwise


@dataclass(frozen=True)
class Decision:
    """What is said of one window.

    Attributes:
        p: class to probability.
        weights: channel to its weight, where the fusion weighs channels window by window.
        model: which weights decided: ``exported``, ``base`` or ``calibrated``.
        latency_ms: from the window's last sample coming in to this decision. ``parts_ms``: where it went.
    """

    window: Window
    p: dict[str, float]
    weights: dict[str, float] | None
    model: str
    latency_ms: float
    parts_ms: dict[str, float]

    @property
    def label(self) -> str:
        return max(self.p, key=self.p.__getitem__)

    def as_dict(self) -> dict[str, Any]:
        """One line of output; nothing of the signals is in it."""
        w = self.window
        said = {"event": "decision", "window": w.number, "start_s": round(w.start_s, 3), "end_s": round(w.end_s, 3)}
        return {
            **said,
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
    """Holds the model that decides; another one may take its place at any time."""

    def __init__(self, model: LiveModel, calibrated: bool = True) -> None:
        self._card = model.card
        self.classes = model.card.classes
        self.channels = [channel.name for channel in model.card.channels]
        self._now: tuple[Model, str] = (_ready(model.network(calibrated)), "exported" if calibrated else "base")

    def swap(self, network: Model, name: str) -> None:
        """Let this model decide from the next window on."""
        self._now = (_ready(network), name)

    def warm(self) -> None:
        """Decide a window of nothing a few times: the first ones are slow, and should not be the wearer's."""
        values = {
            channel.name: np.zeros((channel.length, channel.n_features), dtype=np.float32) for channel in self._card.channels
        }
        full = {channel.name: channel.length for channel in self._card.channels if channel.variable}
        for _ in range(WARM):
            _probabilities(self._now[0], batch_of(Window(0, 0.0, 0.0, values, full, {}, {}, 0.0), self.channels))

    def decide(self, window: Window, began: float | None = None) -> Decision:
        """Decide a window.

        Args:
            began: when its making began, by ``time.perf_counter``: what lies between its last sample and that is waiting.
        """
        start = time.perf_counter()
        network, name = self._now
        batch = batch_of(window, self.channels)
        p, weights = _probabilities(network, batch)
        if not np.isfinite(p).all():
            raise ValueError("the model predicts NaN")
        done = time.perf_counter()
        parts = {**({"waiting": 1000 * (began - window.complete)} if began else {}), **window.parts_ms}
        return Decision(
            window=window,
            p=dict(zip(self.classes, (float(value) for value in p), strict=True)),
            weights=None if weights is None else dict(zip(self.channels, (float(w) for w in weights), strict=True)),
            model=name,
            latency_ms=1000 * (done - window.complete),
            parts_ms={**parts, "network": 1000 * (done - start)},
        )


def one_window_at_a_time() -> None:
    """Set this process up for it: one thread, short turns between the parts of a stream, and without oneDNN, which brings an LSTM's weights into
    its own order at every call (half of mlp_lstm's time at width 1; probabilities differ in the seventh digit)."""
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of Intel's GPUs, which have nothing to do with it
        torch.backends.mkldnn.set_flags(_enabled=False)  # type: ignore[no-untyped-call]  # torch has no types for it


def batch_of(window: Window, channels: list[str]) -> Batch:
    """The window alone, as a network takes it; channels of fixed length get lengths only where one is missing."""
    values = {name: torch.from_numpy(window.values[name])[None] for name in channels}
    return Batch(values, {name: torch.tensor([steps]) for name, steps in window.lengths.items() if name in values})


class _FromRest(nn.Module):
    """An LSTM of one layer and direction without what multiplies a state of zeros: of mlp_lstm's two steps the first one needs no recurrent weights,
    which are a third of what has to come from memory for a window."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """All outputs (batch, steps, units) of x (batch, steps, n_in); the last state is not given."""
        (w_in, w_state, b_in, b_state) = self.lstm.all_weights[0]
        inputs = F.linear(x, w_in, b_in + b_state)
        out: list[Tensor] = []
        cell = torch.zeros(())
        for step in range(x.shape[1]):
            gates = inputs[:, step] + F.linear(out[-1], w_state) if out else inputs[:, step]
            take, keep, new, give = gates.chunk(4, dim=1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
            out.append(torch.sigmoid(give) * torch.tanh(cell))
        return torch.stack(out, dim=1), None


def _ready(network: Model) -> Model:
    """The model as it decides."""
    if isinstance(network, Estimator):
        return network
    for module in list(network.modules()):
        if isinstance(module, MLPLSTM) and isinstance(module.lstm, nn.LSTM):
            module.lstm = _FromRest(module.lstm)  # type: ignore[assignment]  # it stands in for what it holds
    return network.eval()


def _probabilities(network: Model, batch: Batch) -> tuple[Any, Any]:
    """Probabilities (n_classes,), and the channels' weights where there are any."""
    if isinstance(network, Estimator):
        with threadpool_limits(1):
            return network.probabilities(batch)[0], None
    with torch.inference_mode():
        p = torch.softmax(network(batch), dim=1)[0].numpy()
        weights = network.attention(batch)
    return np.asarray(p, dtype=np.float64), None if weights is None else weights[0].numpy()
