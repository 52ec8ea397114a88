"""What the model takes as given: every figure with its unit, and where it was measured. What nobody has measured is an assumption, and says so."""

from dataclasses import dataclass

from raylab.runs.cost import START_S, TRIAL_S
from raylab.runs.sweep import REPORT_CPU_S

HOUR_S = 3600.0


@dataclass(frozen=True)
class Overheads:
    """What trials cost beside their trainings.

    Up to ``worker_s`` the defaults are those of ``raylab run --plan``; ``benchmarks.cluster_model.real_runs`` measures them anew on one core. Up to
    ``requests`` they are measured in docs/results/scale.md and survival.md; the others are assumed.

    Attributes:
        start_s: of a run until its first trial starts: Ray, Tune, the first worker's imports.
        trial_s: of a worker for a trial beside training: its fold planned, weights read and written, the target predicted, files written.
        handover_s: of a slot between two trials beside the driver's own work: messages, the actor's reset.
        end_s: of a run from its last trial to its end.
        worker_s: processor time of a worker's first trial beyond a later one's: imports, the windows opened. Of a machine it is in ``boot_s``.
        report_s: processor time of the driver for a report of a trial.
        driver_s: processor time of the driver for a unit that it starts and ends (20 ms less two reports).
        planning_s: of a trial, in the driver before the first one starts (100,000 trials in 143 s).
        person_s: of a participant, for the index.
        requests: to the store for a trial, one after the other.
        request_s: until the store answers. Assumption.
        store_rate: requests a second that one bucket's prefix takes. Assumption (Amazon names 3,500 PUT and 5,500 GET).
        boot_s: of a machine until its worker can train: boot, image, Ray, the windows copied and checked. Assumption.
    """

    start_s: float = START_S
    trial_s: float = TRIAL_S
    handover_s: float = 0.0
    end_s: float = 0.0
    worker_s: float = 0.0
    report_s: float = REPORT_CPU_S
    driver_s: float = 0.0172
    planning_s: float = 0.00143
    person_s: float = 0.0016
    requests: int = 4
    request_s: float = 0.03
    store_rate: float = 3500.0
    boot_s: float = 180.0


@dataclass(frozen=True)
class Gpu:
    """A GPU as the model sees it. No GPU was there to measure: both figures are assumptions.

    Attributes:
        flops: operations a second that the trainings of one process reach while a kernel runs.
        launch_s: from one kernel's launch to the next.
    """

    flops: float = 15e12
    launch_s: float = 8e-6

    def seconds(self, launches: float, flops: float, sharing: int) -> float:
        """Seconds of work in a process that shares the GPU with others: launches are each process's own, kernels stand in one queue.

        Nothing overlaps within a process, which is the slowest that it can be.
        """
        return launches * self.launch_s + sharing * flops / self.flops


@dataclass(frozen=True)
class ClusterShape:
    """Slots that trials run on.

    Attributes:
        slots: trials that run at the same time.
        sharing: of these on one GPU (or processor).
        gpus_a_node: that come and go together.
        drivers: shards of the study, a driver each.
        cores: that slots and drivers share, on one machine; None: each slot and each driver has what it needs.
        losses: of a node, an hour; 0: on demand.
        dollars: of a GPU, an hour.
    """

    slots: int
    sharing: int = 1
    gpus_a_node: int = 4
    drivers: int = 1
    cores: float | None = None
    losses: float = 0.0
    dollars: float = 0.0

    @property
    def gpus(self) -> float:
        """GPUs that the slots take."""
        return self.slots / self.sharing

    @property
    def node_slots(self) -> int:
        """Slots that are lost together."""
        return min(self.slots, self.gpus_a_node * self.sharing)
