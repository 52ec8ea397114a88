"""A run as discrete events: units on slots, in the order of raylab's own ``StageScheduler``; drivers, a store, and nodes that are lost.

A unit is handed out by the driver, trains the stages that it owns, and ends through the driver. Whether it can start, and which of several goes
first, is asked of the scheduler that a real run has. What is simplified: a driver serves one event at a time, and reports of running trainings
make it slower by their share (they are no events of their own); a unit whose node is lost goes back to the scheduler and begins its first stage
that is not stored again from its first epoch.
"""

import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from benchmarks.cluster_model.cores import SharedCores
from benchmarks.cluster_model.costs import HOUR_S, ClusterShape, Overheads
from raylab.runs.stage_scheduler import StageScheduler
from raylab.runs.sweep import report_interval
from raylab.trials.stacks import Unit, unit_key

Steps = Generator[simpy.Event, Any, None]
STATES = ("training", "trial", "driver", "store", "dependencies", "tail", "lost", "boot")


@dataclass(frozen=True)
class Work:
    """What is to be done: the units of a plan, and how long their stages take.

    Attributes:
        shards: of each driver its units, in the plan's order.
        stage_s: hash of a stage to the seconds of its training on a slot.
        leaves: stages that one trial alone needs: they are not stored, so they are lost with their unit.
        people: participants in the indexes.
    """

    shards: Sequence[Sequence[Unit]]
    stage_s: Mapping[str, float]
    leaves: frozenset[str] = frozenset()
    people: int = 0

    @property
    def units(self) -> list[Unit]:
        """The units of all drivers."""
        return [unit for shard in self.shards for unit in shard]

    @property
    def trials(self) -> int:
        """Number of trials."""
        return sum(len(unit.trials) for unit in self.units)

    @property
    def training_s(self) -> float:
        """Seconds of all distinct trainings, one after the other."""
        return sum(self.stage_s[stage] for stage in {stage for unit in self.units for stage in unit.stages})


@dataclass
class SimulatedRun:
    """What a simulated run took.

    Attributes:
        seconds: from its start to its end.
        slot_s: seconds of all slots together by what they were used for: see ``STATES``. ``dependencies``: idle, while units wait for stages of
            others; ``tail``: idle, while none waits any more; ``lost``: training and waiting that a lost node took with it.
        trained: number of trainings by stage.
        ended: number of ends by the key of each trial.
        order: keys of the units in the order of their starts.
        restarts: units that were begun again.
        worst: restarts of the unit that was lost most often.
        nodes_lost: number.
        driver_s: seconds that the drivers served events, all together.
    """

    seconds: float = 0.0
    slot_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))
    trained: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    restarts: int = 0
    worst: int = 0
    nodes_lost: int = 0
    driver_s: float = 0.0


class _Driver:
    """One driver: its scheduler, and the queue of events that it serves one at a time."""

    def __init__(self, env: simpy.Environment, units: Sequence[Unit], slots: int, report_s: float) -> None:
        self.units = {unit.key: unit for unit in units}
        self.scheduler = StageScheduler(units, set())
        self.left = len(units)
        self.given: dict[str, Unit] = {}
        self.queue = simpy.Resource(env, capacity=1)
        self.report_share = report_s / report_interval(slots)  # of the driver, for each training that reports

    def next(self, trial_id: str) -> Unit | None:
        """A unit that can run."""
        config = self.scheduler.suggest(trial_id) if self.left else None
        if not isinstance(config, dict):
            return None
        return self.units[unit_key(config)]


@dataclass(eq=False)
class _Node:
    """Slots that are lost together; ``fresh``: of these, the ones that have not had a unit since the node booted."""

    slots: int
    running: set[simpy.Process] = field(default_factory=set)
    fresh: int = 0

    def __post_init__(self) -> None:
        self.fresh = self.slots


class Simulation:
    """One simulated run; ``run`` gives its outcome."""

    def __init__(self, work: Work, cluster: ClusterShape, overheads: Overheads, seed: int = 0) -> None:
        self.work, self.cluster, self.overheads = work, cluster, overheads
        self.env, self.rng, self.outcome = simpy.Environment(), random.Random(seed), SimulatedRun()
        self.cores = SharedCores(self.env, cluster.cores) if cluster.cores else None
        at_once = max(1, cluster.slots // cluster.drivers)
        self.drivers = [_Driver(self.env, shard, at_once, overheads.report_s) for shard in work.shards if shard]
        self.store = simpy.Resource(self.env, capacity=1)
        self.idle: list[_Node] = []  # one entry a slot
        self.training, self.started, self.at = 0, 0, 0.0
        self.deaths: Counter[str] = Counter()
        self.stored: set[str] = set()
        self.done = self.env.event()

    def run(self) -> SimulatedRun:
        """From the start of the drivers to the end of the last trial."""
        if self.work.trials:
            self.env.process(self._begin())
            self.env.run(until=self.done)
        self._note_idle()
        self.outcome.seconds = self.env.now + self.overheads.end_s
        self.outcome.worst = max(self.deaths.values(), default=0)
        return self.outcome

    def _begin(self) -> Steps:
        """Planning in every driver of the whole plan, the start of Ray; then nodes come."""
        given = self.overheads
        yield self.env.timeout(given.start_s + given.planning_s * self.work.trials + given.person_s * self.work.people)
        yield self.env.timeout(given.boot_s)
        self.outcome.slot_s["boot"] += self.cluster.slots * given.boot_s
        self.at, left = self.env.now, self.cluster.slots
        while left > 0:
            node = _Node(min(left, self.cluster.node_slots))
            left -= node.slots
            self.idle += [node] * node.slots
            if self.cluster.losses:
                self.env.process(self._lose(node))
        self._assign()

    def _note_idle(self) -> None:
        """Book the idle slots since the last change."""
        waiting = any(driver.left > len(driver.given) for driver in self.drivers)
        self.outcome.slot_s["dependencies" if waiting else "tail"] += len(self.idle) * (self.env.now - self.at)
        self.at = self.env.now

    def _assign(self) -> None:
        """Give idle slots units that can run; drivers in turn."""
        self._note_idle()
        found = True
        while self.idle and found:
            found = False
            for driver in self.drivers:
                trial_id = str(self.started)
                if not self.idle or (unit := driver.next(trial_id)) is None:
                    continue
                found, node = True, self.idle.pop()
                self.started += 1
                driver.given[trial_id] = unit
                self.outcome.order.append(unit.key)
                first, node.fresh = node.fresh > 0, max(0, node.fresh - 1)
                node.running.add(self.env.process(self._unit(driver, node, trial_id, unit, first)))

    def _unit(self, driver: _Driver, node: _Node, trial_id: str, unit: Unit, first: bool) -> Steps:
        """A unit on a slot, until it ends or its node is lost; ``first``: of this slot."""
        began, process, spent = self.env.now, self.env.active_process, dict.fromkeys(STATES, 0.0)
        try:
            yield from self._phases(driver, trial_id, unit, spent, first)
        except simpy.Interrupt:
            self.outcome.slot_s["lost"] += self.env.now - began
            self.outcome.restarts += 1
            self.deaths[unit.key] += 1
            del driver.given[trial_id]
            driver.scheduler.retry(trial_id)
            self._assign()
            return
        for state, seconds in spent.items():
            self.outcome.slot_s[state] += seconds
        self._note_idle()
        driver.scheduler.on_trial_complete(trial_id, {})
        del driver.given[trial_id]
        driver.left -= 1
        self.outcome.ended.update(trial.key for trial in unit.trials)
        node.running.discard(process)
        self.idle.append(node)
        if any(each.left for each in self.drivers):
            self._assign()
        else:
            self.done.succeed()

    def _phases(self, driver: _Driver, trial_id: str, unit: Unit, spent: dict[str, float], first: bool) -> Steps:
        given = self.overheads
        yield from self._timed("driver", spent, lambda: self._serve(driver, given.driver_s / 2))
        yield from self._timed("trial", spent, lambda: self._wait(given.handover_s))
        if first:
            yield from self._timed("trial", spent, lambda: self._compute(given.worker_s))
        place = 0
        while together := _at_place(unit, place):
            yield from self._train(driver, trial_id, together, spent)
            place += 1
        yield from self._timed("trial", spent, lambda: self._compute(given.trial_s * len(unit.trials)))
        yield from self._timed("store", spent, lambda: self._request(given.requests * len(unit.trials)))
        yield from self._timed(
            "driver", spent, lambda: self._serve(driver, given.driver_s / 2 + given.report_s * len(unit.trials))
        )

    def _train(self, driver: _Driver, trial_id: str, together: list[str], spent: dict[str, float]) -> Steps:
        """Stages that are trained side by side, those of them that are not stored; then their reports."""
        missing = [stage for stage in together if stage not in self.stored]
        self.training += bool(missing)
        try:
            yield from self._timed("training", spent, lambda: self._compute(sum(self.work.stage_s[stage] for stage in missing)))
        finally:
            self.training -= bool(missing)
        self.outcome.trained.update(missing)
        self.stored.update(stage for stage in missing if stage not in self.work.leaves)
        yield from self._timed("driver", spent, lambda: self._serve(driver, self.overheads.report_s * len(together)))
        for stage in together:  # stored ones are reported too, and nobody waits for them
            driver.scheduler.on_trial_result(trial_id, {"stage_done": stage})
        self._assign()

    def _timed(self, state: str, spent: dict[str, float], steps: Callable[[], Steps]) -> Steps:
        began = self.env.now
        yield from steps()
        spent[state] += self.env.now - began

    def _wait(self, seconds: float) -> Steps:
        yield self.env.timeout(seconds)

    def _compute(self, seconds: float) -> Steps:
        """Processor or GPU time of a slot."""
        if self.cores is None or not seconds:
            yield self.env.timeout(seconds)
            return
        job = self.cores.job(seconds)
        try:
            yield job
        except simpy.Interrupt:
            self.cores.cancel(job)
            raise

    def _serve(self, driver: _Driver, seconds: float) -> Steps:
        """An event of the driver: it waits for those before it. Reports of running trainings take their share of the driver."""
        with driver.queue.request() as turn:
            yield turn
            began = self.env.now
            reports = min(0.9, driver.report_share * self.training / len(self.drivers))
            yield from self._compute(seconds / (1 - reports))
            self.outcome.driver_s += self.env.now - began

    def _request(self, count: int) -> Steps:
        """Requests one after the other: the store's turn, then the answers."""
        with self.store.request() as turn:
            yield turn
            yield self.env.timeout(count / self.overheads.store_rate)
        yield self.env.timeout(count * self.overheads.request_s)

    def _lose(self, node: _Node) -> Steps:
        """A node is lost after a random time; another takes its place when it has booted."""
        while True:
            yield self.env.timeout(self.rng.expovariate(self.cluster.losses / HOUR_S))
            self._note_idle()
            self.outcome.nodes_lost += 1
            self.idle = [slot for slot in self.idle if slot is not node]
            running, node.running = node.running, set()
            for process in running:
                process.interrupt()
            began = self.env.now
            yield self.env.timeout(self.overheads.boot_s)
            self.outcome.slot_s["boot"] += node.slots * (self.env.now - began)
            self._note_idle()
            node.fresh = node.slots
            self.idle += [node] * node.slots
            self._assign()


def _at_place(unit: Unit, place: int) -> list[str]:
    """The stages at this place of its trials, each once: those of a stack are trained together."""
    return list(dict.fromkeys(trial.stages[place] for trial in unit.trials if place < len(trial.stages)))


def critical_path(work: Work, overheads: Overheads) -> float:
    """Seconds until the last unit ends if every unit has a slot as soon as it can start: no number of slots is faster."""
    ready: dict[str, float] = {}
    last, each = 0.0, overheads
    for unit in work.units:  # a stage's owner is the first unit that needs it, so owners come first
        own = [stage for stage in unit.stages if stage not in ready]
        now = max((ready[stage] for stage in unit.stages if stage in ready), default=0.0)
        now += each.driver_s + each.handover_s
        for stage in own:
            now += work.stage_s[stage]
            ready[stage] = now
        last = max(last, now + len(unit.trials) * (each.trial_s + each.requests * each.request_s))
    return (
        last
        + each.start_s
        + each.worker_s
        + each.boot_s
        + each.planning_s * work.trials
        + each.person_s * work.people
        + each.end_s
    )
