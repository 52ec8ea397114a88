"""What a driver knows of a cluster that has not grown yet."""

from collections.abc import Iterator

import pytest
import ray
from ray._private.state import state
from ray._raylet import GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, GCS_AUTOSCALER_STATE_NAMESPACE
from ray.core.generated.autoscaler_pb2 import ClusterConfig
from ray.experimental import internal_kv

from raylab.errors import RaylabError
from raylab.runs.cluster import max_resources, slots, waits_for, worker_resources
from raylab.trials.resources import Resources


@pytest.fixture
def can_start(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two CPUs of the session's Ray may become 16, with 4 GPUs."""
    monkeypatch.setenv("RAYLAB_CAN_START", "CPU=16 GPU=4")


@pytest.fixture
def reported(cluster: None) -> Iterator[None]:
    """An autoscaler told Ray, as managed ones do, that there can be 3 nodes of 8 CPUs and 2 GPUs."""
    config = ClusterConfig()
    group = config.node_group_configs.add(name="gpu", max_count=3)
    group.resources["CPU"], group.resources["GPU"] = 8, 2
    where = GCS_AUTOSCALER_STATE_NAMESPACE.encode()
    internal_kv._internal_kv_put(GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, config.SerializeToString(), overwrite=True, namespace=where)
    yield
    internal_kv._internal_kv_del(GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, namespace=where)
    assert state.get_max_resources_from_cluster_config() is None


def test_a_part_of_the_gpus_that_can_be_started(can_start: None) -> None:
    """`gpu: auto` takes its part, the slots are those of the grown cluster, and the run says what it waits for."""
    each = worker_resources(Resources())
    assert {"cpu": 1, "gpu": 0.25} == each
    assert 16 == slots(each)
    assert "a trial waits until the cluster has 0.25 GPU: it has 0 now and can start 4" == waits_for(each)
    assert "" == waits_for({"cpu": 1, "gpu": 0.0})


def test_a_gpu_that_nobody_is_known_to_start_is_waited_for_and_said(cluster: None) -> None:
    """A study that names a fraction gets it or waits: the sentence names what the driver was not told."""
    each = worker_resources(Resources(gpu=0.25))
    expected = "a trial waits until the cluster has 0.25 GPU: it has 0 now and is not known to start more (RAYLAB_CAN_START)"
    assert (expected, 1) == (waits_for(each), slots(each))


def test_what_a_managed_autoscaler_reports_is_used(reported: None) -> None:
    """3 nodes of 8 CPUs and 2 GPUs: 24 slots; what a trial waits for is said."""
    assert {"CPU": 24, "GPU": 6} == {name: max_resources()[name] for name in ("CPU", "GPU")}
    assert 24 == slots(worker_resources(Resources()))


def test_what_is_there_counts_where_less_is_promised(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise of less than the cluster has takes nothing away."""
    monkeypatch.setenv("RAYLAB_CAN_START", "CPU=1")
    assert 2 == max_resources()["CPU"] == ray.cluster_resources()["CPU"]


@pytest.mark.parametrize("said", ["GPU", "GPU=four", "GPU:4", "GPU=-1"])
def test_a_promise_that_is_no_number_is_a_sentence(said: str, cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the variable, and how to write it."""
    monkeypatch.setenv("RAYLAB_CAN_START", said)
    with pytest.raises(RaylabError, match=f"RAYLAB_CAN_START: '{said}' is not name=number; write it like"):
        max_resources()
