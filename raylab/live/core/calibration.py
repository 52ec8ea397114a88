"""The calibrator that a stream may have: its interface, so that the stream does not depend on training.

``raylab.live.calibrate.Calibrator`` is one. The caller that makes the stream hands it over.
"""

from collections.abc import Callable
from typing import Protocol

from raylab.live.core.messages import LabelMark, Notify, Window
from raylab.live.core.model_file import LiveModel
from raylab.models.build import Model


class StreamCalibrator(Protocol):
    """Collects the windows that the wearer marks, and trains on them in the background."""

    @property
    def counts(self) -> dict[str, int]:
        """Class to windows so far."""

    @property
    def current_mark(self) -> str:
        """The class that is marked now; empty if there is none."""

    def mark(self, mark: LabelMark, now_s: float) -> None:
        """Take the wearer's mark; ``now_s`` is the time of one that has none, on the source's clock."""

    def offer(self, window: Window) -> None:
        """Take a window that was decided."""

    def wait(self) -> None:
        """Wait for the end of a running calibration."""

    def stop(self) -> None:
        """End a running calibration."""


# of the model; the layers that are trained; windows of each class; called with the calibrated network; called with notes; the rule that stops earlier
CalibratorFactory = Callable[[LiveModel, str, int, Callable[[Model], None], Notify, str], StreamCalibrator]
