"""Methods: how a stage sets the parts that it frees. A declaration only; ``raylab.training.loop.METHODS`` says what carries each out.

A stage without a method of its own takes steps of an optimizer on the cross-entropy (``GradientDescent``), as every stage of the study does. To add a
method: a class here, and its line in ``METHODS``.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

Which = Literal["past", "first", "all"]  # of the target's windows, without labels: raylab.techniques.selection.Unlabelled
Penalty = Literal["groupdro", "vrex", "coral", "dann"]

# What a method asks of a model (``raylab.trials.compatibility`` has a sentence for each).
BATCH_NORM, LINEAR_HEAD, FUSED_FEATURES = "batch norm", "linear head", "features"


@dataclass(frozen=True)
class Method:
    """How a stage sets what it frees.

    Attributes:
        says: what it does, for `raylab techniques` and for refusals.
        requires: what a network must have: batch norm, a linear head, features that are not votes.
        classical: whether a fitted classical model, which has no gradient, can go on by this method.
        loops: whether there are epochs of optimizer steps; else everything is computed at once, and hyperparameters have no effect.
        one_worker: why several workers cannot carry it out together; empty if they can.
        own_order: why it goes through everybody's windows in an order of its own; empty if in that of the protocol, or one person after the other.
        stacks: whether trainings of several folds can be carried out as one (``raylab.training.stacked``); the others are trained alone.
        learns_unlabelled: whether the weights depend on the stage's unlabelled windows. If not, they are looked at when windows are predicted.
        steps_on_unlabelled: whether the optimizer receives these windows.
        reads_at_prediction: whether a prediction looks at more than the window itself; then a model file cannot hold the model.
    """

    says: ClassVar[str] = ""
    requires: ClassVar[tuple[str, ...]] = ()
    classical: ClassVar[bool] = False
    loops: ClassVar[bool] = True
    one_worker: ClassVar[str] = ""
    own_order: ClassVar[str] = ""
    stacks: ClassVar[bool] = False
    steps_on_unlabelled: ClassVar[bool] = False

    @property
    def learns_unlabelled(self) -> bool:
        return True

    @property
    def reads_at_prediction(self) -> bool:
        return False

    def as_dict(self) -> dict[str, Any]:
        """Its part of the stage's hash."""
        return {"name": type(self).__name__, **asdict(self)}

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in asdict(self).items())
        return f"{self.says} ({settings})" if settings else self.says


@dataclass(frozen=True)
class GradientDescent(Method):
    """Steps of Adam on the cross-entropy. It leaves no trace in the hash."""

    says: ClassVar[str] = "steps on the cross-entropy"
    stacks: ClassVar[bool] = True

    def as_dict(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class ClassMeans(Method):
    """Class means in feature space. The head becomes the classifier by the nearest of them (``raylab.training.class_means``).

    Attributes:
        k: windows that the training people's mean counts for: of n calibration windows the target's own mean has the weight n / (n + k).
    """

    k: float = 5.0
    says: ClassVar[str] = "class means in feature space"
    requires: ClassVar[tuple[str, ...]] = (LINEAR_HEAD,)
    classical: ClassVar[bool] = True
    loops: ClassVar[bool] = False


@dataclass(frozen=True)
class NormStatistics(Method):
    """Statistics of batch norm from unlabelled windows (``raylab.training.norm_statistics``).

    Attributes:
        prior: windows that the statistics of the training people count for.
        online: each window is predicted with statistics of it and those before it, and nothing is stored.
    """

    prior: float = 10.0
    online: bool = False
    says: ClassVar[str] = "statistics of batch norm from unlabelled windows"
    requires: ClassVar[tuple[str, ...]] = (BATCH_NORM,)
    loops: ClassVar[bool] = False

    @property
    def learns_unlabelled(self) -> bool:
        return not self.online

    @property
    def reads_at_prediction(self) -> bool:
        return self.online


@dataclass(frozen=True)
class AnchoredHead(Method):
    """The head by maximum a posteriori, with the head of before as its prior's mean (``raylab.training.anchored_head``).

    Attributes:
        strength: of the L2 penalty to the head of before; None: chosen on people who validated, as pseudo-targets.
    """

    strength: float | None = None
    says: ClassVar[str] = "the most probable head near the one of before"
    requires: ClassVar[tuple[str, ...]] = (LINEAR_HEAD,)
    loops: ClassVar[bool] = False


@dataclass(frozen=True)
class History(Method):
    """Steps of Adam with the person's own unlabelled windows as a conditioning input (``raylab.training.history``).

    Attributes:
        which: of each person's windows are looked at: those before a window, the first share, or all.
        prior: windows that the mean of the training people counts for.
    """

    which: Which = "past"
    prior: float = 5.0
    says: ClassVar[str] = "steps on the cross-entropy, with the history of each person as a conditioning input"
    requires: ClassVar[tuple[str, ...]] = (FUSED_FEATURES,)

    @property
    def learns_unlabelled(self) -> bool:
        return False

    @property
    def reads_at_prediction(self) -> bool:
        return True


@dataclass(frozen=True)
class PeoplePenalty(Method):
    """Steps of Adam on the cross-entropy and a penalty over people (``raylab.training.people_penalty``).

    Attributes:
        kind: which.
        strength: its factor; for groupdro the step size of the people's weights.
    """

    kind: Penalty = "groupdro"
    strength: float = 1.0
    says: ClassVar[str] = "steps on the cross-entropy and a penalty over people"
    requires: ClassVar[tuple[str, ...]] = (FUSED_FEATURES,)
    one_worker: ClassVar[str] = "its loss compares the people of a whole batch, and each worker has a share of it"
    own_order: ClassVar[str] = "its batches are made of runs of many people"


@dataclass(frozen=True)
class Episodes(Method):
    """Episodes of one person each, after which the weights move a part of the way (``raylab.training.episodes``).

    Attributes:
        step: that part.
    """

    step: float = 0.5
    says: ClassVar[str] = "episodes of one person each"
    one_worker: ClassVar[str] = "an episode is a sequence of steps of one person, and workers would share each step"


@dataclass(frozen=True)
class Contrastive(Method):
    """Steps of Adam on a contrastive loss without labels (``raylab.training.contrastive``).

    Attributes:
        temperature: of the softmax over similarities.
        units: of the projection behind the features.
    """

    temperature: float = 0.5
    units: int = 64
    says: ClassVar[str] = "steps on a contrastive loss without labels"
    requires: ClassVar[tuple[str, ...]] = (FUSED_FEATURES,)
    one_worker: ClassVar[str] = "its loss compares all windows of a batch, and each worker has a share of it"
    steps_on_unlabelled: ClassVar[bool] = True


@dataclass(frozen=True)
class EntropyMinimization(Method):
    """Steps of Adam on the entropy of the predictions for unlabelled windows (``raylab.training.entropy``)."""

    says: ClassVar[str] = "steps on the entropy of the predictions"
    requires: ClassVar[tuple[str, ...]] = (FUSED_FEATURES,)
    steps_on_unlabelled: ClassVar[bool] = True


GRADIENT_DESCENT = GradientDescent()
