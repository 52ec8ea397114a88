"""The simulated cluster against what can be said without it: laws of queues, of chains, of losses; and what no run may do."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import simpy

from benchmarks.cluster_model.__main__ import row_of
from benchmarks.cluster_model.cores import SharedCores
from benchmarks.cluster_model.costs import HOUR_S, ClusterShape, Gpu, Overheads
from benchmarks.cluster_model.gpu_steps import count_flops, count_launches
from benchmarks.cluster_model.plans import cohort_plan, grown, repeated
from benchmarks.cluster_model.simulation import SimulatedRun, Simulation, Work, critical_path
from raylab.models.network import ModelSpec
from raylab.training.protocol import Protocol
from raylab.trials.stacks import Unit
from raylab.trials.trial import Trial

NOTHING = Overheads(
    start_s=0,
    trial_s=0,
    handover_s=0,
    end_s=0,
    report_s=0,
    driver_s=0,
    planning_s=0,
    person_s=0,
    requests=0,
    request_s=0,
    boot_s=0,
)


def trial_of(key: str, *stages: str) -> Trial:
    """A trial of the technique that has these stages."""
    model = ModelSpec("fcn", "late", 1.0)
    return Trial("d", "w", "stress", ("BVP",), model, "non_personalized", {}, key, 0, Protocol(), stages=stages, key=key)


def units_with(*trials: Trial) -> list[Unit]:
    """Each trial as a unit."""
    return [Unit((trial,)) for trial in trials]


def bases_and_calibrations(bases: int, each: int, base_s: float = 50.0, calibration_s: float = 7.0) -> Work:
    """So many bases, and so many trials that go on from each."""
    trials = [trial_of(f"b{k}", f"base{k}") for k in range(bases)]
    trials += [trial_of(f"c{k}-{n}", f"base{k}", f"own{k}-{n}") for k in range(bases) for n in range(each)]
    own = {f"own{k}-{n}": calibration_s for k in range(bases) for n in range(each)}
    return Work([units_with(*trials)], {**{f"base{k}": base_s for k in range(bases)}, **own}, frozenset(own))


def simulated(work: Work, cluster: ClusterShape, overheads: Overheads = NOTHING, seed: int = 0) -> SimulatedRun:
    """The outcome of a run."""
    return Simulation(work, cluster, overheads, seed).run()


@pytest.mark.parametrize(("trials", "slots"), [(10, 1), (10, 3), (12, 4), (3, 8)])
def test_equal_trials_take_rounds(trials: int, slots: int) -> None:
    """N independent equal stages on G slots: ceil(N / G) rounds."""
    work = Work([units_with(*(trial_of(f"t{k}", f"s{k}") for k in range(trials)))], {f"s{k}": 5.0 for k in range(trials)})
    assert 5.0 * math.ceil(trials / slots) == pytest.approx(simulated(work, ClusterShape(slots)).seconds)


def test_a_chain_takes_its_sum_on_any_number_of_slots() -> None:
    """Stages that continue from each other cannot be trained at the same time; and that is the critical path."""
    trials = [trial_of(f"t{k}", *(f"s{n}" for n in range(k + 1))) for k in range(6)]
    work = Work([units_with(*trials)], {f"s{n}": 10.0 + n for n in range(6)})
    assert 75.0 == pytest.approx(simulated(work, ClusterShape(4)).seconds)
    assert 75.0 == pytest.approx(critical_path(work, NOTHING))


def test_a_driver_that_saturates_sets_the_rate() -> None:
    """With more slots than it can feed, trials end at the rate of one a driver's cost; two drivers take half the time."""
    trials = [trial_of(f"t{k}", f"s{k}") for k in range(600)]
    given = replace(NOTHING, driver_s=0.1)
    shards = [units_with(*trials)], [units_with(*trials[::2]), units_with(*trials[1::2])]
    one, two = (
        simulated(Work(shard, {f"s{k}": 1.0 for k in range(600)}), ClusterShape(300, drivers=n), given)
        for n, shard in enumerate(shards, 1)
    )
    assert 600 * 0.1 == pytest.approx(one.seconds, rel=0.05)
    assert 2 == pytest.approx(one.seconds / two.seconds, rel=0.05)
    assert one.slot_s["driver"] > one.slot_s["training"]


def test_a_store_that_saturates_sets_the_rate() -> None:
    """Requests beyond its rate wait for their turn."""
    trials = [trial_of(f"t{k}", f"s{k}") for k in range(400)]
    given = replace(NOTHING, requests=6, store_rate=60.0)
    outcome = simulated(Work([units_with(*trials)], {f"s{k}": 0.5 for k in range(400)}), ClusterShape(200), given)
    assert 400 * 6 / 60 == pytest.approx(outcome.seconds, rel=0.05)


def test_losses_cost_what_the_exponential_law_says() -> None:
    """A training of T seconds on machines that are lost at a rate r takes (exp(r T) - 1) / r on average, if another is there at once."""
    seconds, rate = 1800.0, 1.0
    work = Work([units_with(*(trial_of(f"t{k}", f"s{k}") for k in range(1000)))], {f"s{k}": seconds for k in range(1000)})
    outcome = simulated(work, ClusterShape(1, losses=rate), NOTHING, seed=3)
    expected = 1000 * (math.exp(rate * seconds / HOUR_S) - 1) / (rate / HOUR_S)
    assert expected == pytest.approx(outcome.seconds, rel=0.06)
    assert {1} == set(outcome.ended.values())
    assert {1} == set(outcome.trained.values())  # completed ones


def test_nothing_is_lost_and_nothing_is_done_twice() -> None:
    """Every trial ends once and every stage is trained once; with losses a stage again only if it was not stored."""
    work = bases_and_calibrations(6, 9)
    calm = simulated(work, ClusterShape(5), Overheads())
    lossy = simulated(work, ClusterShape(8, losses=60.0), replace(NOTHING, boot_s=30.0, trial_s=20.0), seed=1)
    for outcome in (calm, lossy):
        assert {trial.key: 1 for unit in work.units for trial in unit.trials} == outcome.ended
        assert work.stage_s.keys() == outcome.trained.keys()
    assert {1} == set(calm.trained.values())
    assert lossy.restarts
    assert {stage for stage, count in lossy.trained.items() if count > 1} <= work.leaves
    assert any(count > 1 for count in lossy.trained.values())


def test_slots_are_booked_completely() -> None:
    """Seconds of slots by use add up to slots x time, but for what comes before the cluster."""
    work, given = bases_and_calibrations(5, 7), Overheads()
    for cluster in (ClusterShape(3), ClusterShape(16)):
        outcome = simulated(work, cluster, given)
        before = given.start_s + given.planning_s * work.trials
        assert cluster.slots * (outcome.seconds - before) == pytest.approx(sum(outcome.slot_s.values()))
        assert work.training_s == pytest.approx(outcome.slot_s["training"])
        assert work.training_s / cluster.slots / outcome.seconds == pytest.approx(
            row_of(work, cluster, given, outcome)["efficiency"], abs=1e-4
        )
        assert outcome.seconds >= max(critical_path(work, given), work.training_s / cluster.slots)


def test_a_unit_starts_when_its_stages_are_stored_and_those_that_others_wait_for_go_first() -> None:
    """The order is that of raylab's scheduler: bases before trials that nobody waits for, calibrations after their base."""
    alone = [trial_of(f"a{k}", f"alone{k}") for k in range(4)]
    work = bases_and_calibrations(2, 3)
    work = Work([units_with(*alone) + work.units], {**work.stage_s, **{f"alone{k}": 5.0 for k in range(4)}})
    outcome = simulated(work, ClusterShape(1))
    assert ["b0", "b1"] == outcome.order[:2]
    place = {key: number for number, key in enumerate(outcome.order)}
    assert all(place[f"b{k}"] < place[f"c{k}-{n}"] for k in range(2) for n in range(3))


def test_equal_seeds_give_equal_runs() -> None:
    """A simulation is a function of its inputs and its seed."""
    work, cluster = bases_and_calibrations(4, 8), ClusterShape(6, losses=25.0)
    first, again, other = (simulated(work, cluster, Overheads(boot_s=5), seed) for seed in (1, 1, 2))
    assert first == again
    assert first.seconds != other.seconds


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 10.0), (2, 10.0), (3, 15.0), (8, 40.0)])
def test_jobs_share_two_cores_equally(jobs: int, seconds: float) -> None:
    """So many equal jobs on two cores; a short one beside long ones gets its part and leaves."""
    env = simpy.Environment()
    cores = SharedCores(env, 2)
    started = [cores.job(10.0) for _ in range(jobs)]
    env.run(until=env.all_of(started))
    assert seconds == pytest.approx(env.now)


def test_a_job_that_is_cancelled_leaves_its_cores_to_others() -> None:
    """Three jobs on one core, one cancelled after 3 s: the others have got 1 s each, and need 18 s more together."""
    env = simpy.Environment()
    cores = SharedCores(env, 1)
    first, second, third = (cores.job(10.0) for _ in range(3))

    def cancel() -> Sequence[simpy.Event]:
        yield env.timeout(3.0)  # type: ignore[misc]
        cores.cancel(third)

    env.process(cancel())  # type: ignore[arg-type]
    env.run(until=first & second)
    assert 21.0 == pytest.approx(env.now)


def test_a_shared_gpu_takes_kernels_in_turn_and_launches_at_once() -> None:
    """Bound by launches, two processes do twice the work; bound by kernels, no more than one."""
    gpu = Gpu(flops=1e12, launch_s=1e-5)
    assert gpu.seconds(1000, 0, 1) == gpu.seconds(1000, 0, 2)
    assert 2 * gpu.seconds(0, 1e9, 1) == gpu.seconds(0, 1e9, 2)


def test_a_plan_of_raylab_is_what_is_simulated() -> None:
    """A cohort's plan in stacks: a base for each group, which its calibrations wait for, and four calibrations at once."""
    plan = cohort_plan(20, 30, stacked=True, changes={})
    shared = [stage for stage in plan.stages.values() if stage.shape.stage == "everyone_else"]
    assert (20 * 9, 10 + 20 * 8, 10) == (len(plan.trials), len(plan.stages), len(shared))
    assert {4} == {stage.stack for stage in plan.stages.values() if stage.shape.stage == "calibration"}
    work = plan.work(lambda stage: stage.steps * stage.epochs * 0.001)
    outcome = simulated(work, ClusterShape(16))
    assert len(plan.trials) == len(outcome.ended)
    assert 4 == max(len(unit.trials) for unit in work.units)
    assert outcome.slot_s["dependencies"]


def test_a_larger_cohort_has_larger_bases_and_more_calibrations() -> None:
    """Three times the people in as many groups: as many bases of three times the steps, three times the calibrations of equal steps."""
    one = cohort_plan(20, 30, stacked=False, changes={})
    three, copies = grown(one, 3), repeated(one, 3)
    steps = Counter(), Counter(), Counter()
    for count, plan in zip(steps, (one, three, copies), strict=True):
        for stage in plan.stages.values():
            count[stage.shape.stage] += stage.steps
    assert {name: 3 * total for name, total in steps[0].items()} == steps[1] == steps[2]
    assert (10 + 3 * 160, 3 * 170) == (len(three.stages), len(copies.stages))
    assert 3 * 180 == len({trial.key for trial in three.trials})


def test_launches_are_counted_in_the_training_loop() -> None:
    """Each channel has its operators, the head's training has no trunk's, and a stack shares them."""
    both, head = ("trunk", "head"), ("head",)
    one, two = (count_launches(channels, "fcn", "late", both, 1) for channels in (1, 2))
    assert one < two < 2 * one
    assert count_launches(2, "fcn", "late", head, 1) < two / 3
    assert count_launches(2, "fcn", "late", both, 2) < two / 1.5


def test_operations_grow_with_length_and_batch() -> None:
    """A network of convolutions takes operations in proportion to the samples, forward and twice that backward."""
    spec = ModelSpec("fcn", "late", 1 / 32)
    short, long = (count_flops((("BVP", length),), spec, ("trunk", "head")) for length in (100, 200))
    assert 2 == pytest.approx(long / short, rel=0.01)
