"""Connecting to Ray: a cluster that is named, the one already there, or a local one."""

import os
from typing import Any

import ray
from ray._private import ray_constants

from raylab.trials.study import Resources

SHARE_OF_A_GPU = 0.25  # of `gpu: auto` where the cluster has GPUs: the paper's models are small; untested on a real GPU


def connect(address: str | None = None, **local: Any) -> None:
    """Use ``address`` (``auto``: the cluster this process belongs to), or start a local Ray; nothing where connected already.

    The local one is always new (a cluster left over by a killed process is not joined) and listens on loopback only.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
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


def per_trial(resources: Resources) -> dict[str, float]:
    """What Tune reserves for one trial on the connected cluster."""
    gpus = ray.cluster_resources().get("GPU", 0)
    gpu = (SHARE_OF_A_GPU if gpus else 0.0) if resources.gpu == "auto" else float(resources.gpu)
    return {"cpu": resources.cpu, "gpu": gpu}


def slots(each: dict[str, float]) -> int:
    """How many trials the connected cluster holds at once."""
    have = ray.cluster_resources()
    by_cpu = have.get("CPU", 1) / each["cpu"]
    by_gpu = have.get("GPU", 0) / each["gpu"] if each["gpu"] else by_cpu
    return max(1, int(min(by_cpu, by_gpu) + 1e-9))
