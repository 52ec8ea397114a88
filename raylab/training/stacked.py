"""Many trainings as one: stages of equal shape take their steps side by side (docs/decisions/0030-stacks.md).

What ``raylab.training.gradient.Loop`` does for one training is done here for K, with the same draws: every member has its own windows, shuffles,
dropout, number of steps, learning rate, plateau, early stopping and best weights. Members differ in which windows they see, never in the shape
of what is computed, so one operation serves all. Nothing flows between members: a member's sums are its own, in an order that the stack's
composition decides. So the weights equal those of a training alone up to the order of summation (1e-10 in double precision:
``tests/training/test_stacked.py``), and are equal to the bit for equal compositions.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from raylab.folds.fold import NO_ROWS, RowIds
from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.models.precision import float32_products
from raylab.models.stacked import StackedNetwork
from raylab.training.epoch_order import order_of_epoch
from raylab.training.gradient import Inputs, Logits
from raylab.training.job import (
    EVALUATION_BATCH,
    Epoch,
    Job,
    OnEpoch,
    TrainingError,
    TrainingResult,
    features_of,
    refuse_nonfinite,
)
from raylab.training.plateau import Plateau
from raylab.training.resident import Resident
from raylab.training.stacked_inputs import StackedInputs

BETAS = (0.9, 0.999)  # torch's, and Keras's
End = TrainingResult | TrainingError
OnEnd = Callable[[int, End], None]


@dataclass
class _Member:
    """One training of the stack.

    Attributes:
        number: its position among the jobs.
        order: the rows of this epoch, in the order of its steps.
        step: Adam's count of steps, as the optimizer takes it.
    """

    number: int
    job: Job
    inputs: Inputs
    plateau: Plateau
    shuffle: np.random.Generator
    step: Tensor
    result: TrainingResult = field(default_factory=TrainingResult)
    seen: list[RowIds] = field(default_factory=list)
    order: RowIds = field(default_factory=lambda: NO_ROWS)

    @classmethod
    def of(cls, number: int, job: Job) -> "_Member":
        step = torch.zeros((), dtype=torch.float32, device=job.device)
        return cls(number, job, Inputs(job, features_of), Plateau(job.stage.hyper), job.draws.generator("shuffle"), step)

    @property
    def rate(self) -> float:
        """The learning rate of the next step: Keras's inverse-time decay counts the member's own steps."""
        return self.plateau.rate / (1 + self.job.stage.hyper.decay * self.result.steps)

    def new_order(self) -> RowIds:
        """The rows of an epoch, as the training alone would draw them."""
        rows = self.job.stage.stepped
        return order_of_epoch(rows, self.job.people_of(rows), self.job.stage.hyper.shuffle_buffer, self.shuffle)

    def batch(self, number: int) -> RowIds:
        """The rows of the epoch's step of this number; none after the last, short one."""
        size = self.job.stage.hyper.batch(len(self.order))
        return self.order[number * size : (number + 1) * size]

    @property
    def n_steps(self) -> int:
        """Steps in this epoch."""
        return -(-len(self.order) // self.job.stage.hyper.batch(len(self.order)))


def train_stack(jobs: Sequence[Job], on_end: OnEnd = lambda number, end: None, resident: Resident | None = None) -> list[End]:
    """Train the stages of all jobs at once, each network in place.

    Args:
        jobs: trainings by steps on the cross-entropy of networks of one shape and precision, with equal trainable parts, hyperparameters and devices,
            and all or none with validation windows; of one dataset.
        on_end: called with a job's position when it has ended, while others may go on; its network then holds its weights.
        resident: the windows; made of the jobs' signals if None.

    Returns:
        For each job the account of its training, or the error that ended it (a loss that is not finite); the others are not touched by it.
    """
    with float32_products(jobs[0].network.precision):
        loop = _StackedLoop(jobs, resident or Resident.of(jobs[0].signals, jobs[0].device), on_end)
        loop.run()
    return [loop.ends[number] for number in range(len(jobs))]


def train_copies(job: Job, members: int, on_epoch: OnEpoch = lambda epoch: None) -> None:
    """Train a job beside copies of itself, to measure what a stack of so many folds needs.

    Args:
        on_epoch: called after every epoch of the stack.
    """
    train_stack([replace(job, on_epoch=on_epoch), *(replace(job, model=deepcopy(job.model)) for _ in range(members - 1))])


class _StackedLoop:
    """The state of one stack."""

    def __init__(self, jobs: Sequence[Job], resident: Resident, on_end: OnEnd) -> None:
        self.counted_until = time.process_time()
        self.stage, self.device, self.on_end = jobs[0].stage, jobs[0].device, on_end
        generators = [torch.Generator(self.device).manual_seed(job.draws.integer("dropout")) for job in jobs]
        self.members = [_Member.of(number, job) for number, job in enumerate(jobs)]
        self.inputs = StackedInputs([member.inputs for member in self.members], resident)
        self.stacked = StackedNetwork([job.network for job in jobs], generators)
        self.network = self.stacked.network
        self.logits = Logits(self.network)
        self.ends: dict[int, End] = {}
        self.best: dict[str, Tensor] = {}
        regularization = self.stage.hyper.regularization
        self.decay = regularization.weight_decay if regularization else 0.0
        self._take_parameters([])

    def _take_parameters(self, moments: list[tuple[Tensor, Tensor]]) -> None:
        """The parameters to optimize, their moments (0 at the start), and views of each member's own."""
        self.parameters = self.network.set_trainable(self.stage.trainable)
        values = [parameter.detach() for parameter in self.parameters]
        self.moments = moments or [(torch.zeros_like(value), torch.zeros_like(value)) for value in values]
        columns = (values, [m for m, _ in self.moments], [v for _, v in self.moments])
        self.views = [[[value[k] for value in column] for column in columns] for k in range(len(self.members))]

    def run(self) -> None:
        """All epochs, until every member has stopped."""
        epoch = 0
        while self.members:
            epoch += 1
            rates = [member.plateau.rate for member in self.members]
            losses = self._epoch()
            validation = self._validation_losses() if len(self.stage.validation) else None
            share = self._cpu_s() / len(self.members)
            ended, better = [], []
            for k, member in enumerate(self.members):
                member.result.cpu_s += share
                record: Epoch = {"epoch": epoch, "loss": losses[k], "learning_rate": rates[k]}
                if validation is not None:
                    record["val_loss"] = validation[k]
                is_better, stops = self._take_in(member, record)
                if is_better:
                    better.append(k)
                if stops:
                    ended.append(k)
            self._keep_best(better)
            self._end(ended)

    def _cpu_s(self) -> float:
        """Processor seconds since the last call, or since the stack was made."""
        now = time.process_time()
        since, self.counted_until = now - self.counted_until, now
        return since

    def _take_in(self, member: _Member, record: Epoch) -> tuple[bool, bool]:
        """An epoch of one member: whether its weights are the ones to keep, and whether it ends here."""
        stage = member.job.stage
        last = int(record["epoch"]) == stage.hyper.epochs
        better, stop = last, False  # without validation windows the last epoch's weights are kept, and nothing stops early
        try:
            if "val_loss" in record:
                better, stop = member.plateau.step(record["val_loss"])
            refuse_nonfinite(record, stage)
        except TrainingError as error:
            self.ends[member.number] = error
            return False, True
        if better:
            member.result.best_epoch = int(record["epoch"])
        member.result.curve.append(record)
        member.job.on_epoch(record)
        return better, stop or last

    def _keep_best(self, positions: list[int]) -> None:
        """Copy the weights of these members: the next step changes them."""
        if not positions:
            return
        state = self.network.state_of(self.stage.trainable)
        if not self.best:
            self.best = {name: value.clone() for name, value in state.items()}
        index = torch.tensor(positions)
        for name, value in state.items():
            self.best[name][index] = value[index]

    def _end(self, positions: list[int]) -> None:
        """Take members out of the stack: their networks get their best weights, and the others go on in a smaller one."""
        for k in positions:
            member = self.members[k]
            if member.number not in self.ends:
                self.ends[member.number] = self._finish(member, {name: value[k] for name, value in self.best.items()})
            self.on_end(member.number, self.ends[member.number])
        rest = [k for k in range(len(self.members)) if k not in positions]
        self.members = [self.members[k] for k in rest]
        if not positions or not rest:
            return
        index = torch.tensor(rest)
        self.stacked.keep(rest)
        self.inputs = self.inputs.keep(rest)
        self.best = {name: value[index] for name, value in self.best.items()}  # on the processor
        index = index.to(self.device)
        self._take_parameters([(m[index], v[index]) for m, v in self.moments])

    def _finish(self, member: _Member, best: dict[str, Tensor]) -> End:
        """Put a member's weights into its network, and check what it received."""
        network, stage, result = member.job.network, member.job.stage, member.result
        network.load_parts(best)
        network.eval()
        result.seen = np.unique(np.concatenate(member.seen))
        result.augmented = result.seen if member.inputs.changes.augmenter else NO_ROWS
        if not np.array_equal(result.seen, np.sort(stage.stepped)):
            return TrainingError(
                f"stage {stage.name} trained on {len(result.seen)} windows, {len(stage.stepped)} others were planned"
            )
        return result

    def _epoch(self) -> list[float]:
        """One pass of every member over its own windows in its own order; each member's mean loss.

        In each round those members step together whose batches are equally large. Most rounds have one such group, the last ones of an epoch
        several: short batches, and members with fewer windows, which wait.
        """
        self.totals = torch.zeros(len(self.members), dtype=torch.float64, device=self.device)
        self.network.set_trainable(self.stage.trainable)
        for member in self.members:
            member.order = member.new_order()
        for number in range(max(member.n_steps for member in self.members)):
            groups: dict[int, list[tuple[int, RowIds]]] = defaultdict(list)
            for k, member in enumerate(self.members):
                if len(rows := member.batch(number)):
                    groups[len(rows)].append((k, rows))
            for _, entries in sorted(groups.items(), reverse=True):
                self._step([k for k, _ in entries], np.stack([rows for _, rows in entries], axis=1))
        return [total / len(member.order) for total, member in zip(self.totals.tolist(), self.members, strict=True)]

    def _step(self, positions: list[int], rows: RowIds) -> None:
        """One optimizer step of each of these members, on its column of rows (batch, k)."""
        self.stacked.use(None if len(positions) == len(self.members) else positions)
        inputs, targets, kept = self.inputs.for_step(positions, rows, self.stacked.members)
        output = self.logits(inputs, kept)
        losses = _of_members(targets.losses(output.logits), targets.weight, rows.shape)
        objective = losses.sum()
        if output.votes is not None:
            votes, weight = targets.each_vote(output.votes)
            objective = objective + _of_members(votes, weight, (*rows.shape, output.votes.shape[1])).sum()
        for parameter in self.parameters:
            parameter.grad = None
        objective.backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self._optimize(positions)
        self.totals[positions] += losses.detach().double() * len(rows)
        for j, k in enumerate(positions):
            member = self.members[k]
            member.result.steps += 1
            member.job.on_batch(rows[:, j])
            if not member.result.curve:
                member.seen.append(rows[:, j])

    def _optimize(self, positions: list[int]) -> None:
        """Adam on the parameters of these members: those of the others stay, and so do their moments.

        Adam works element by element, so the members' steps are one, wherever their rates and counts agree.
        """
        members = [self.members[k] for k in positions]
        alike = len(members) == len(self.members) and len({(m.rate, m.result.steps) for m in members}) == 1
        used = [i for i, parameter in enumerate(self.parameters) if parameter.grad is not None]
        grads = [grad for parameter in self.parameters if (grad := parameter.grad) is not None]
        if alike:
            whole = (
                [parameter.detach() for parameter in self.parameters],
                [m for m, _ in self.moments],
                [v for _, v in self.moments],
            )
            self._adam(members[0], grads, *([column[i] for i in used] for column in whole))
            for member in members[1:]:
                member.step += 1
            return
        by_member = list(zip(*(grad.unbind(0) for grad in grads), strict=True))
        for k, member in zip(positions, members, strict=True):
            self._adam(member, list(by_member[k]), *([column[i] for i in used] for column in self.views[k]))

    def _adam(
        self, member: _Member, grads: list[Tensor], values: list[Tensor], first: list[Tensor], second: list[Tensor]
    ) -> None:
        """torch's fused Adam, or AdamW if weights decay, as ``torch.optim`` calls it for an ordinary training."""
        update = torch._fused_adamw_ if self.decay else torch._fused_adam_
        member.step += 1
        update(
            values,
            grads,
            first,
            second,
            [],
            [member.step] * len(values),
            lr=member.rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.decay,
            eps=ADAM_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def _validation_losses(self) -> list[float]:
        """Each member's mean loss over its validation windows, in inference mode; members with fewer windows are filled up."""
        self.network.eval()
        self.stacked.use(None)
        positions, sets = range(len(self.members)), [member.job.stage.validation for member in self.members]
        longest, size = max(map(len, sets)), max(1, EVALUATION_BATCH // len(sets))
        totals = torch.zeros(len(sets), dtype=torch.float64, device=self.device)
        counts = np.array([len(rows) for rows in sets])
        filled = np.stack([np.concatenate([rows, np.repeat(rows[:1], longest - len(rows))]) for rows in sets], axis=1)
        with torch.no_grad():
            for start in range(0, longest, size):
                rows = filled[start : start + size]
                logits = self.logits(self.inputs.of(positions, rows)).logits
                counted = torch.from_numpy(np.arange(start, start + len(rows))[:, None] < counts).to(self.device)
                totals += self.inputs.validation_losses(logits, positions, rows).masked_fill(~counted, 0.0).sum(dim=0).double()
        return [total / count for total, count in zip(totals.tolist(), counts.tolist(), strict=True)]


def _of_members(losses: Tensor, weight: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """The mean loss of each member, (k,), from one for each row (and vote): ``shape`` is (batch, k, ...)."""
    by_member = (losses if weight is None else weight * losses).view(shape).transpose(0, 1)
    return by_member.flatten(1).mean(dim=1)
