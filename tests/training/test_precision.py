"""Named arithmetics: float32 is float32, bf16 is near it, and whatever trains or predicts a network computes in the network's own."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from builders.training import CPU, a_stage, carried_out, context_of, copied, network_of, people, same, staged
from builders.windows import make_windows
from torch import nn

from raylab.models.keras_defaults import batch_norm
from raylab.models.layers import normalized
from raylab.models.network import ModelSpec, Network, build
from raylab.models.precision import FLOAT32, Precision, float32_products
from raylab.models.recurrence import recurrence
from raylab.models.registry import ENCODERS, FUSIONS
from raylab.models.stacked_layers import Members, StackedBatchNorm
from raylab.techniques.method import (
    GRADIENT_DESCENT,
    AnchoredHead,
    ClassMeans,
    Contrastive,
    EntropyMinimization,
    Episodes,
    History,
    Method,
    NormStatistics,
    PeoplePenalty,
)
from raylab.training.augment import Augmentation
from raylab.training.batches import Signals
from raylab.training.job import Job, TrainingResult, features_of
from raylab.training.loop import attention, known_classes, predict, reader_of, train
from raylab.training.norm_statistics import _Move
from raylab.training.people_penalty import PENALTIES
from raylab.training.regularize import Regularization
from raylab.training.stacked import train_stack
from raylab.training.stage_hash import PlannedStage, TrainingContext

WINDOWS = make_windows({f"P{i}": [0] * 8 + [1] * 8 for i in range(1, 6)}, length=16)
Flags = tuple[bool, bool, str]


def flags() -> Flags:
    """Whether products and cuDNN may take TensorFloat-32, and the name of the precision of products."""
    torch_flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return (*torch_flags, torch.get_float32_matmul_precision())


INSIDE: dict[Precision, Flags] = {
    "float32": (False, False, "highest"),
    "tf32": (True, True, "high"),
    "bf16": (False, False, "highest"),
}


@pytest.fixture(autouse=True)
def _settings_of_another() -> Iterator[None]:
    """Another part of the process has set what raylab does not take over; torch's own settings are back after the test."""
    before = flags()
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision(before[2])
    torch.backends.cudnn.allow_tf32 = before[1]


def network_in(precision: Precision, encoder: str = "fcn", fusion: str = "late", lengths: bool = False) -> tuple[Network, Job]:
    """A small network, and its training on two people for two epochs; with ``lengths`` some windows lack a channel or are short."""
    shapes = {name: (x.shape[1], x.shape[2]) for name, x in WINDOWS.signals.items()}
    context = TrainingContext(context_of(WINDOWS).fold, ModelSpec(encoder, fusion, 0.05), False, shapes, precision=precision)
    steps = {"b": np.random.default_rng(0).integers(0, 33, len(WINDOWS.index.window))} if lengths else {}
    stage = staged(people(context, "P2", "P3"), people(context, "P4"), epochs=2, batch_size=8)
    network = build(context.model, shapes, 2, False, context.fold.draws, precision)
    classes = known_classes(context.fold.y, stage)
    return network, Job(network, Signals(WINDOWS.signals, steps), classes, stage, context.fold.draws, CPU)


def trained_alone(job: Job) -> TrainingResult:
    return train(job.network, job.signals, job.classes.astype(np.int8), job.stage, job.draws, CPU)


def test_settings_are_restored_after_an_exception() -> None:
    """Also the third, which is of processors."""
    before = flags()
    for precision, expected in INSIDE.items():
        inside: list[Flags] = []
        with pytest.raises(RuntimeError, match="stopped"):
            _stopped(precision, inside)
        assert [expected] == inside
        assert before == flags()


def _stopped(precision: Precision, inside: list[Flags]) -> None:
    with float32_products(precision):
        inside.append(flags())
        raise RuntimeError("stopped")


@pytest.mark.parametrize("precision", INSIDE)
def test_whatever_computes_sets_them(precision: Precision) -> None:
    """Training alone and in a stack (forward and backward), prediction and attention; cuDNN's TensorFloat-32 is torch's default, and is off."""
    network, job = network_in(precision, fusion="attention")
    seen: list[tuple[str, Flags]] = []
    for one in (network, second := deepcopy(network)):
        one.trunk.register_forward_pre_hook(lambda *rest: seen.append(("forward", flags())))
        next(one.head.parameters()).register_hook(lambda grad: seen.append(("backward", flags())))
    before = flags()

    trained_alone(job)
    train_stack([replace(job, on_batch=lambda rows: seen.append(("stack", flags()))), replace(job, model=second)])
    predict(network, job.signals, job.stage.train, CPU)
    attention(network, job.signals, job.stage.train, CPU)

    assert {("forward", INSIDE[precision]), ("backward", INSIDE[precision]), ("stack", INSIDE[precision])} == set(seen)
    assert before == flags()


EACH = [*((encoder, "late") for encoder in ENCODERS), *(("fcn", fusion) for fusion in FUSIONS if fusion != "late")]


@pytest.mark.parametrize(
    ("encoder", "fusion", "lengths"),
    [(*pair, lengths) for pair in EACH for lengths in (False, True) if not lengths or ENCODERS[pair[0]].variable],
)
def test_every_encoder_and_fusion_in_bf16(encoder: str, fusion: str, lengths: bool) -> None:
    """Alone and in a stack the losses are finite and near those of float32; what is stored is float32; predictions are of float32's softmax."""
    losses, predictions = [], []
    for precision in (FLOAT32, "bf16"):
        network, job = network_in(precision, encoder, fusion, lengths)
        jobs = [replace(job, model=deepcopy(network)) for _ in range(2)]
        results = [trained_alone(job), *train_stack(jobs)]
        for model, result in zip([network, *(job.network for job in jobs)], results, strict=True):
            assert isinstance(result, TrainingResult)
            assert {torch.float32} == {value.dtype for value in model.state_dict().values() if value.is_floating_point()}
            losses.append([epoch[name] for epoch in result.curve for name in ("loss", "val_loss")])
            predictions.append(predict(model, job.signals, job.stage.validation, CPU))

    assert np.isfinite(losses).all()
    np.testing.assert_allclose(np.array(losses[3:]), np.array(losses[:1] * 3), atol=0.1)
    np.testing.assert_allclose(np.array(predictions[3:]), np.array(predictions[:1] * 3), atol=0.1)
    np.testing.assert_allclose(predictions[3].sum(axis=1), 1.0, atol=1e-6)


def test_bf16_changes_the_weights_a_little() -> None:
    """They are others, alone and in a stack, and not by much."""
    (one, one_job), (other, other_job) = network_in("float32"), network_in("bf16")
    start = copied(one)
    assert same(start, copied(other))
    stacked = [replace(other_job, model=deepcopy(other)) for _ in range(3)]
    trained_alone(one_job)
    trained_alone(other_job)
    train_stack(stacked)

    for network in (other, stacked[0].network):
        rest = [name for name in start if not name.endswith(("conv.bias", "running_mean", "num_batches_tracked"))]
        moved = max(float((one.state_dict()[name] - network.state_dict()[name]).abs().max()) for name in rest)
        assert 1e-5 < moved < 0.05


def test_single_precision_is_what_it_was() -> None:
    """Without autocast and without a cast, to the bit; in double precision nothing becomes single."""
    network, job = network_in("float32")
    batch = job.signals.batch(job.stage.train, CPU)
    with torch.no_grad():
        assert torch.equal(network(batch), network.head(network.trunk(batch)))
        doubled = Signals({name: values.astype(np.float64) for name, values in job.signals.values.items()})
        assert torch.float64 == deepcopy(network).double()(doubled.batch(job.stage.train, CPU)).dtype
        # and bf16 is autocast's, to the bit
        network.precision = "bf16"
        with torch.autocast("cpu", torch.bfloat16):
            features = network.trunk(batch)
            assert torch.bfloat16 == features.dtype
        assert torch.equal(features.float(), network.features(batch))
        assert torch.float32 == network(batch).dtype


@pytest.mark.parametrize("kind", ["alone", "stacked", "moved by each window"])
def test_statistics_of_batch_norm_are_of_single_precision(kind: str) -> None:
    """Of bfloat16 inputs they are what they are of the same inputs in float32, to the bit, with windows of unequal length too."""
    draws = torch.Generator().manual_seed(0)
    x, mask = torch.randn(6, 3, 16, generator=draws).bfloat16(), torch.arange(16) < torch.tensor([16, 5, 0, 9, 16, 3])[:, None]
    found = []
    for values in (x, x.float()):
        norm = batch_norm(3).train()
        if kind == "stacked":
            norm = StackedBatchNorm(norm, Members([torch.Generator() for _ in range(2)]))
            for name, value in [*norm.named_parameters(), *norm.named_buffers()]:
                held = torch.stack([value.detach(), value.detach()])
                norm._parameters.update({name: nn.Parameter(held)} if name in norm._parameters else {})
                norm._buffers.update({name: held} if name in norm._buffers else {})
        if kind == "moved by each window":
            norm.eval().register_forward_pre_hook(_Move(0.5))
        normalized(norm, values, mask)
        found.append((norm.running_mean, norm.running_var))
    for one, other in zip(*found, strict=True):
        assert one is not None and other is not None and torch.float32 == one.dtype
        # torch's own batch norm adds bfloat16 up in float32 by another algorithm
        torch.testing.assert_close(one, other, rtol=1e-5 if kind == "alone" else 0, atol=1e-6 if kind == "alone" else 0)


def test_the_state_of_a_stacks_lstm_is_of_single_precision() -> None:
    """Its inputs come out of a product in bfloat16."""
    draws = torch.Generator().manual_seed(0)
    inputs, recurrent = torch.randn(2, 3, 5, 16, generator=draws), torch.randn(2, 4, 16, generator=draws)
    rounded = inputs.bfloat16()
    expected = recurrence(rounded.float(), recurrent, None)
    with torch.autocast("cpu", torch.bfloat16):
        found = recurrence(rounded, recurrent, None)
    assert torch.equal(expected, found)


METHODS: dict[str, tuple[Method, dict[str, Any]]] = {
    "low rank": (GRADIENT_DESCENT, {"trainable": ("low_rank", "head"), "adds": {"low_rank": 2}}),
    "scale and shift": (GRADIENT_DESCENT, {"trainable": ("norm_affine", "head")}),
    "head": (GRADIENT_DESCENT, {"trainable": ("head",)}),
    "augmentation": (GRADIENT_DESCENT, {"augmentation": Augmentation(noise=0.1, mask_time=0.2)}),
    "regularization": (
        GRADIENT_DESCENT,
        {"regularization": Regularization(weight_decay=0.1, dropout=0.2, label_smoothing=0.1, mixup=0.2, channel_dropout=0.2)},
    ),
    "class means": (ClassMeans(), {"trainable": ("head",)}),
    "anchored head": (AnchoredHead(0.1), {"trainable": ("head",)}),
    "statistics": (NormStatistics(), {"trainable": ("norm_statistics",)}),
    "statistics of the past": (NormStatistics(online=True), {"trainable": ("norm_statistics",)}),
    "entropy": (EntropyMinimization(), {"trainable": ("norm_affine",)}),
    "history": (History("all"), {"trainable": ("film", "head"), "adds": {"film": 8}}),
    "episodes": (Episodes(), {}),
    "contrastive": (Contrastive(), {"trainable": ("trunk",)}),
    **{kind: (PeoplePenalty(kind), {}) for kind in PENALTIES},  # type: ignore[arg-type]  # one of its own names
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_in_bf16(name: str) -> None:
    """Weights are finite and near those of float32, and so are predictions, also of methods that read a window with others beside it."""
    method, fields = METHODS[name]
    context = context_of(WINDOWS, width=0.05)
    target = people(context, "P1")
    unlabelled = {"unlabelled": target} if method.learns_unlabelled or isinstance(method, NormStatistics | History) else {}
    stage = a_stage(method, people(context, "P2", "P3"), source=people(context, "P4"), **unlabelled, **{"epochs": 2, **fields})
    found = []
    for precision in (FLOAT32, "bf16"):
        network = network_of(context)
        network.precision = precision
        # the parts that a stage adds come with it
        carried_out(WINDOWS, context, _with_parts(network, stage, context), network)
        reader = reader_of((stage,), WINDOWS.index.participant_index)
        found.append(predict(network, Signals(WINDOWS.signals), target, CPU, reader))
        assert all(value.isfinite().all() for value in network.state_dict().values())
    assert not np.array_equal(*found)
    np.testing.assert_allclose(*found, atol=0.1)


def _with_parts(network: Network, stage: PlannedStage, context: TrainingContext) -> PlannedStage:
    for part, size in stage.adds.items():
        network.add(part, size, context.fold.draws)
    return stage


def test_features_leave_the_network_in_single_precision() -> None:
    """Statistics of features, penalties and solvers see float32 only."""
    network, job = network_in("bf16")
    types = [type(module) for module in network.modules()]
    assert nn.Conv1d in types and torch.float32 == features_of(network, job.signals, job.stage.train, CPU).dtype
