"""Connection to Ray: the cluster at an address, the one this process belongs to, or a local one."""

import os
from typing import TYPE_CHECKING, Any, Literal

import ray
from ray._private import ray_constants
from ray._private.state import state

from raylab.errors import RaylabError
from raylab.runs.ray_errors import check_temporary_folder, starting
from raylab.runs.stop import kept_handlers

if TYPE_CHECKING:  # it loads torch, which a worker that prepares windows has no use for
    from raylab.trials.resources import Resources

Executor = Literal["ray", "local"]  # on a cluster, or in this process without Ray
CAN_START = "RAYLAB_CAN_START"
SHARE_OF_A_GPU = 0.25  # for `gpu: auto` if the cluster has GPUs: the paper's models are small; untested on a real GPU


def connect(address: str | None = None, **local: Any) -> None:
    """Connect to the cluster at ``address``, or start a local Ray; do nothing if this process is connected already.

    A local Ray is always a new one, so that a cluster left over by a killed process is not joined; it listens on loopback only.

    Args:
        address: ``auto`` is the cluster that this process belongs to.
        local: arguments of ``ray.init`` for a local Ray.

    Raises:
        RaylabError: if Ray does not start or cannot be reached, with the remedy.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "300")  # a snapshot holds every trial so far; resuming needs none
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # ours ends Tune by Ctrl-C and SIGTERM alike (raylab.runs.stop)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune prints nothing: the progress line is ours
    if ray.is_initialized():
        return
    with starting(address), kept_handlers():
        _connect(address, local)


def _connect(address: str | None, local: dict[str, Any]) -> None:
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address:
        ray.init(address=address, **quiet)
        return
    check_temporary_folder()
    # Ray turns 127.0.0.1 into the machine's outside address unless it is told that there will be no cluster; it then
    # listens on loopback only. The variable is for the processes it starts, the constant for this one.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet, **local)


def is_own() -> bool:
    """Whether this process started the Ray that it is connected to, which then stays as large as it is."""
    node = ray._private.worker._global_node
    return bool(node is not None and node.head)


def max_resources() -> dict[str, float]:
    """Resources that the connected cluster has, or will have when its autoscaler has started all that it may.

    Managed clusters tell Ray how far they can grow. The open-source autoscalers (`ray up`, KubeRay) do not in Ray 2.60, so
    cluster.yaml and the manifests state it in the environment of the head: ``RAYLAB_CAN_START="CPU=128 GPU=16"``.

    Raises:
        RaylabError: if that variable is not name=number.
    """
    grown: dict[str, float] = state.get_max_resources_from_cluster_config() or {}
    for pair in os.environ.get(CAN_START, "").split():
        name, _, amount = pair.partition("=")
        if not amount.replace(".", "", 1).isdigit():
            raise RaylabError(f'{CAN_START}: {pair!r} is not name=number; write it like {CAN_START}="CPU=128 GPU=16"')
        grown[name] = float(amount)
    have = ray.cluster_resources()
    return {name: max(have.get(name, 0.0), grown.get(name, 0.0)) for name in {*have, *grown}}


def worker_resources(resources: "Resources") -> dict[str, float]:
    """CPUs and share of a GPU that one worker of a trial reserves on the connected cluster; a trial has one worker unless told otherwise."""
    gpu = (SHARE_OF_A_GPU if max_resources().get("GPU") else 0.0) if resources.gpu == "auto" else float(resources.gpu)
    return {"cpu": resources.cpu, "gpu": gpu}


def slots(per_trial: dict[str, float]) -> int:
    """Number of trials that the connected cluster runs at the same time, or will run when it has grown."""
    available = max_resources()
    by_cpu = available.get("CPU", 1) / per_trial["cpu"]
    by_gpu = available.get("GPU", 0) / per_trial["gpu"] if per_trial["gpu"] else by_cpu
    return max(1, int(min(by_cpu, by_gpu) + 1e-9))


def waits_for(per_trial: dict[str, float]) -> str:
    """A sentence that says which resources a trial has to wait for; empty if the cluster has them now."""
    have, later = ray.cluster_resources(), max_resources()
    waits = []
    for name, amount in (("CPU", per_trial["cpu"]), ("GPU", per_trial["gpu"])):
        if amount > have.get(name, 0):
            more = f"can start {later[name]:g}" if later.get(name, 0) >= amount else f"is not known to start more ({CAN_START})"
            waits.append(f"{amount:g} {name}: it has {have.get(name, 0):g} now and {more}")
    return f"a trial waits until the cluster has {' and '.join(waits)}" if waits else ""


def check_resources(resources: "Resources") -> str:
    """A sentence that says which resources a trial of this study has to wait for; empty if the cluster has them now.

    Raises:
        RaylabError: if a trial would wait for ever, because this process started its Ray for this machine alone.
    """
    per_trial = {name: amount * resources.workers for name, amount in worker_resources(resources).items()}
    waiting = waits_for(per_trial)
    if waiting and is_own():
        raise RaylabError(
            f"{waiting.replace('a trial waits until the cluster has', 'a trial needs')}: this Ray is on this machine alone and does not grow. "
            "What to do: ask for less in the study's resources (cpu, gpu, workers), or give a cluster with --address"
        )
    return waiting
