"""Connecting to Ray: a cluster that is named, the one already there, or a local one."""

import os
from typing import Any, Literal

import ray
from ray._private import ray_constants
from ray._private.state import state

from raylab.errors import RaylabError
from raylab.trials.study import Resources

Executor = Literal["ray", "local"]  # on a cluster, or in this process without Ray
CAN_START = "RAYLAB_CAN_START"
SHARE_OF_A_GPU = 0.25  # of `gpu: auto` where the cluster has GPUs: the paper's models are small; untested on a real GPU


def connect(address: str | None = None, **local: Any) -> None:
    """Use ``address`` (``auto``: the cluster this process belongs to), or start a local Ray; nothing where connected already.

    The local one is always new (a cluster left over by a killed process is not joined) and listens on loopback only.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "300")  # a snapshot holds every trial so far; resuming needs none
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune prints nothing: the progress line is ours
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address:
        ray.init(address=address, **quiet)
        return
    # Ray turns 127.0.0.1 into the machine's outside address unless it is told that there will be no cluster; it then
    # listens on loopback only. The variable is for the processes it starts, the constant for this one.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet, **local)


def max_resources() -> dict[str, float]:
    """Resources that the connected cluster has, or will have when its autoscaler has started all that it may.

    Managed clusters tell Ray what they can grow to. The open-source autoscalers (`ray up`, KubeRay) keep it to themselves in 2.60,
    so cluster.yaml and the manifests say it in the environment of the head: ``RAYLAB_CAN_START="CPU=128 GPU=16"``.

    Raises:
        RaylabError: where that variable is not name=number.
    """
    grown: dict[str, float] = state.get_max_resources_from_cluster_config() or {}
    for pair in os.environ.get(CAN_START, "").split():
        name, _, amount = pair.partition("=")
        if not amount.replace(".", "", 1).isdigit():
            raise RaylabError(f'{CAN_START}: {pair!r} is not name=number; write it like {CAN_START}="CPU=128 GPU=16"')
        grown[name] = float(amount)
    have = ray.cluster_resources()
    return {name: max(have.get(name, 0.0), grown.get(name, 0.0)) for name in {*have, *grown}}


def per_trial(resources: Resources) -> dict[str, float]:
    """What Tune reserves for one trial on the connected cluster."""
    gpu = (SHARE_OF_A_GPU if max_resources().get("GPU") else 0.0) if resources.gpu == "auto" else float(resources.gpu)
    return {"cpu": resources.cpu, "gpu": gpu}


def slots(each: dict[str, float]) -> int:
    """How many trials the connected cluster holds at once, or will hold when it has grown."""
    there = max_resources()
    by_cpu = there.get("CPU", 1) / each["cpu"]
    by_gpu = there.get("GPU", 0) / each["gpu"] if each["gpu"] else by_cpu
    return max(1, int(min(by_cpu, by_gpu) + 1e-9))


def waits_for(each: dict[str, float]) -> str:
    """A sentence where a trial needs what the cluster does not have now; empty where it has it."""
    have, later = ray.cluster_resources(), max_resources()
    hopes = []
    for name, amount in (("CPU", each["cpu"]), ("GPU", each["gpu"])):
        if amount > have.get(name, 0):
            more = f"can start {later[name]:g}" if later.get(name, 0) >= amount else f"is not known to start more ({CAN_START})"
            hopes.append(f"{amount:g} {name}: it has {have.get(name, 0):g} now and {more}")
    return f"a trial waits until the cluster has {' and '.join(hopes)}" if hopes else ""
