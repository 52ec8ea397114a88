"""The models that a study may name: one list of declarations. It loads no library of networks, so that it can be printed at once.

The class that a declaration stands for says so with ``implements``; ``raylab.models.build`` imports every such class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, TypeVar

Implementation = TypeVar("Implementation", bound=type)


@dataclass(frozen=True)
class Declaration:
    """A name that a study may use, and what a user is told about it."""

    name: str
    description: str

    @property
    def identity(self) -> str:
        """What decides its weights beside the code that declares it, for the hash of stages; empty if there is nothing."""
        return ""

    def build(self, *arguments: Any) -> Any:
        """An instance of the class that implements this declaration.

        Raises:
            RuntimeError: if the module of the class has not been imported.
        """
        if self not in _CLASSES:
            raise RuntimeError(f"no class implements {self.name!r} yet; import raylab.models.build first")
        return _CLASSES[self](*arguments)


@dataclass(frozen=True)
class Encoder(Declaration):
    """An encoder; built from a channel's length, its number of features and the width of its layers.

    Attributes:
        batch_size: the paper's batch size for it.
        variable: whether it takes channels of variable length.
        norm: its normalization layers: ``batch`` (with running statistics), ``layer`` (without), or none.
    """

    batch_size: int
    variable: bool = True
    norm: str = "batch"


@dataclass(frozen=True)
class FusionMethod(Declaration):
    """A fusion; built from the channels' shapes, the encoder's name, the width of its layers and the number of classes.

    Attributes:
        accepts_adapter: whether an adapter fits between its features and its head.
        fuses_votes: whether its features are the votes of the channels' own classifiers.
        linear_head: whether its head is a linear layer.
    """

    accepts_adapter: bool = True
    fuses_votes: bool = False
    linear_head: bool = True


@dataclass(frozen=True)
class ClassicalModel(Declaration):
    """A model without a network; built from the channels' names, the number of classes and a seed.

    Attributes:
        needs: a library that is not among raylab's own requirements; its extra brings it.
        follows_steps: whether it follows a window from step to step; features, which may be missing and have one step, are none for it.
        variable: whether it takes channels of variable length.
        weighs: whether windows can have weights in its fit.
        has_space: whether it decides by distances or directions in a feature space, in which class means can take the decision over.
    """

    needs: str = ""
    follows_steps: bool = False
    variable: bool = True
    weighs: bool = False
    has_space: bool = False

    MISSING: ClassVar[str] = "{name} needs {needs}, which is not installed; run: pip install 'raylab-affect[speech]'"

    @property
    def missing(self) -> str:
        """The sentence that says what to install; empty if nothing is missing."""
        return self.MISSING.format(name=self.name, needs=self.needs) if self.needs and find_spec(self.needs) is None else ""


_CLASSES: dict[Declaration, type] = {}  # filled by `implements`, when the modules of the classes are imported
# Name to the plugin that added the encoder, fusion or classical model, the version of its code (``raylab.plugins``) and its ``identity``. It is part
# of the hash of stages that train it (``ModelSpec.architecture``): nothing else tells that a plugin's code has changed, and with it the weights.
VERSIONS: dict[str, str] = {}


def implements(declaration: Declaration) -> Callable[[Implementation], Implementation]:
    """Decorate the class that a declaration stands for.

    Raises:
        RuntimeError: if another class implements it already.
    """

    def register(implementation: Implementation) -> Implementation:
        before = _CLASSES.get(declaration)
        if before and (before.__module__, before.__qualname__) != (implementation.__module__, implementation.__qualname__):
            raise RuntimeError(
                f"{_CLASSES[declaration].__name__} and {implementation.__name__} both implement {declaration.name!r}"
            )
        _CLASSES[declaration] = implementation
        return implementation

    return register


ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        Encoder("fcn", "fully convolutional: 3 convolutions (128, 256, 128 maps), global average pooling", 4),
        Encoder("resnet", "residual: 3 blocks of 3 convolutions (64, 128, 128 maps), global average pooling", 4),
        Encoder("mlp_lstm", "2 half-windows through 3 dense layers of 500, then an LSTM of 500", 16, variable=False, norm=""),
        Encoder("cnn", "3 convolutions (64, 128, 256 maps) with max pooling and dropout, global average pooling", 16),
        Encoder("rnn", "frames through a dense layer of 128, then an LSTM of 128 each way, averaged over time", 16, norm=""),
        Encoder("cnn_rnn", "2 convolutions (64, 128 maps) with max pooling, then an LSTM of 64 each way", 16),
        Encoder("transformer", "frames as tokens of 64, 2 layers of 4 heads, averaged over time", 16, norm="layer"),
        Encoder("inception", "6 modules of convolutions (3 lengths, 32 maps each), residual, global average pooling", 16),
    )
}

FUSIONS: dict[str, FusionMethod] = {
    fusion.name: fusion
    for fusion in (
        FusionMethod("late", "one tower per channel, their features side by side (the paper's)"),
        FusionMethod("early", "all channels on one time base, their features side by side in every step, one encoder"),
        FusionMethod(
            "weighted",
            "a classifier per channel; the average of their probabilities with learned weights",
            accepts_adapter=False,
            fuses_votes=True,
            linear_head=False,
        ),
        FusionMethod("stacked", "a classifier per channel; a linear classifier on their logits", fuses_votes=True),
        FusionMethod("attention", "one tower per channel, their features averaged with weights that each window decides"),
    )
}

CLASSICAL_MODELS: dict[str, ClassicalModel] = {
    model.name: model
    for model in (
        ClassicalModel(
            "rule", "the best single statistic and its sign, chosen on the training people; nothing else is learned"
        ),
        ClassicalModel(
            "lda",
            "linear discriminant analysis, Ledoit-Wolf shrinkage, on 10 statistics of each feature of a window",
            has_space=True,
        ),
        ClassicalModel("logistic", "logistic regression (L2, C = 1) on the same statistics", weighs=True, has_space=True),
        ClassicalModel("ridge", "ridge classifier (alpha = 1) on the same statistics", weighs=True, has_space=True),
        ClassicalModel("random_forest", "200 trees on the same statistics", weighs=True),
        ClassicalModel("gradient_boosting", "100 rounds of histogram-based trees on the same statistics", weighs=True),
        ClassicalModel(
            "minirocket",
            "MiniROCKET: 84 fixed kernels on every column, about 10,000 features in all, ridge classifier",
            follows_steps=True,
            variable=False,
            has_space=True,
        ),
        ClassicalModel(
            "svm",
            "support vector machine (radial kernel, C = 5) on 8 statistics of each feature of a window",
            weighs=True,
            has_space=True,
        ),
        ClassicalModel(
            "hmm_gmm",
            "a hidden Markov model of 3 states with 2 Gaussians for each class and channel",
            needs="hmmlearn",
            follows_steps=True,
        ),
    )
}


def can_stack(encoder: str = "fcn", fusion: str = "late") -> bool:
    """Whether networks of these can be trained side by side (``raylab.training.stacked``): raylab's own can, of a plugin's code nothing is known."""
    return encoder in ENCODERS and not {encoder, fusion} & VERSIONS.keys()


def model_names() -> tuple[str, ...]:
    """What a study may write as ``encoder``."""
    return (*ENCODERS, *CLASSICAL_MODELS)


def batch_size(encoder: str) -> int:
    """The batch size that a study gets if it names none; a classical model has no batches, so that its 1 changes nothing."""
    return ENCODERS[encoder].batch_size if encoder in ENCODERS else 1
