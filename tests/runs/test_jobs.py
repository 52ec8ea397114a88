"""Submitting to a cluster: the token, the exit code, what the last lines name; watching a run from another process; growing from nothing.

A real head on loopback in processes of its own. What needs a cloud, a Kubernetes or a GPU is not tested here (docs/cluster.md names it).
"""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builders.ray_head import TOKEN, Head, free_ports, started
from builders.studies import submitted_study as study

from raylab.errors import RaylabError
from raylab.runs.folder import RunFolder
from raylab.runs.status import status_lines

pytestmark = pytest.mark.slow  # minutes: heads of their own are started

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"RAY_AUTH_TOKEN": TOKEN, "RAY_AUTH_MODE": "token"}


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    """A head with 2 CPUs that asks for a token; its ``env`` holds the token."""
    with started("--num-cpus=2", **QUIET) as one:
        yield one


def evaluate(study_file: Path, cohort: Path, out: Path) -> list[str]:
    return ["-m", "jobs.evaluate", str(study_file), "--windows", str(cohort), "--out", str(out)]


def test_without_the_token_nothing_is_submitted(head: Head) -> None:
    """No token, and a wrong one: both are refused for what they are, and the command fails."""
    with ThreadPoolExecutor() as pool:
        none = pool.submit(head.submit, "-c", "print(7 * 191)", RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN="")
        wrong = pool.submit(head.submit, "-c", "print(7 * 191)", RAY_AUTH_TOKEN=TOKEN.upper())
    for refused in (none.result(), wrong.result()):
        assert 0 != refused.returncode
        assert "AuthenticationError" in refused.stderr
        assert "1337" not in refused.stdout


def watched(head: Head, cohort: Path, out: Path, study_file: Path) -> tuple[Any, list[list[str]], list[str]]:
    """Submit; while it runs, ask for the status and scrape, from this process.

    Returns:
        the finished command, the status at each look, and what was scraped while the run went on.
    """
    looks, scraped = [], []
    with ThreadPoolExecutor() as pool:
        job = pool.submit(head.submit, *evaluate(study_file, cohort, out))
        while not job.done():
            try:
                looks.append(status_lines(str(out)))
                scraped.append(head.scraped())
            except RaylabError:
                pass  # the job has not started its run yet
            time.sleep(0.3)
    return job.result(), looks, scraped


def test_a_submitted_study_is_watched_while_it_runs(head: Head, cohort: Path, tmp_path: Path) -> None:
    """With the token it runs and exits with 0; its status is told meanwhile, and its metrics are those the dashboard asks for."""
    out = tmp_path / "run"
    job, looks, scraped = watched(head, cohort, out, study(tmp_path))
    assert 0 == job.returncode, job.stdout + job.stderr
    assert "trials: 10 ok" in job.stdout
    assert {"ok"} == set(RunFolder(str(out)).finished().values())
    ended = [int(look[0].split("/")[0]) for look in looks]
    assert sorted(ended) == ended
    assert any(0 < count < 10 for count in ended), ended
    assert any(re.search(r"^[1-9]\d* training$", "\n".join(look), re.MULTILINE) for look in looks)
    assert_dashboard_is_fed(scraped)


def assert_dashboard_is_fed(scraped: list[str]) -> None:
    """Every metric that the dashboard's queries name, with the labels they name, was there; ours moved."""
    lines = {line for text in scraped for line in text.splitlines() if line and not line.startswith("#")}
    labels: dict[str, set[str]] = {}
    for line in lines:
        labels.setdefault(re.split(r"[{ ]", line)[0], set()).update(re.findall(r'(\w+)="', line))
    panels = json.loads((ROOT / "deploy" / "grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) >= 5
    for query in queries:
        names = set(re.findall(r"\bray_\w+", query))
        assert names
        assert names <= labels.keys(), query
        used = set(re.findall(r"(\w+)=~?\"", query)) | {
            name for by in re.findall(r"by \(([^)]*)\)", query) for name in by.split(", ")
        }
        assert all(used <= labels[name] for name in names), query
    for name in (
        'ray_raylab_trials{.*state="ok"',
        'ray_raylab_stages_total{.*how="reused"',
        "ray_raylab_windows_trained_total{",
    ):
        assert any(re.match(name, line) and float(line.split()[-1]) > 0 for line in lines), name


def test_a_study_that_fails_fails_the_job(head: Head, cohort: Path, tmp_path: Path) -> None:
    """The exit code is not 0, and the last lines name who failed, in what, and why."""
    two = [{"windows": "simulated", "label": "stress", "participants": ["P01", "P02"]}]
    failing = study(tmp_path, datasets=two, protocol={"epochs": 2, "batch_size": 8, "learning_rate": 1e30})
    job = head.submit(*evaluate(failing, cohort, tmp_path / "run"))
    assert 0 != job.returncode
    assert "trials: " in job.stdout, job.stdout + job.stderr
    end = job.stdout[job.stdout.rindex("trials: ") :]
    assert "trials: 2 blocked, 2 failed" in end
    failed = re.findall(r"^  failed: simulated .* non_personalized - (P\d+) 0: TrainingError: .*nan", end, re.MULTILINE)
    assert ["P01", "P02"] == failed
    blocked = re.findall(
        r"^  blocked: .* fine_tuning layers=all budget=0.2 (P\d+) 0: stage \w+ was not trained: trial \w+ failed",
        end,
        re.MULTILINE,
    )
    assert ["P01", "P02"] == blocked
    assert "the same command tries again what failed" in end


AUTOSCALER = {
    "cluster_name": "grows",
    "max_workers": 2,
    "idle_timeout_minutes": 5,
    "upscaling_speed": 1.0,
    "auth": {"ssh_user": "ray"},
    "docker": {},
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
    },
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    **{name: [] for name in ("cluster_synced_files", "initialization_commands", "setup_commands")},
    **{f"{kind}_{what}_commands": [] for kind in ("head", "worker") for what in ("setup", "start_ray")},
}
HEAD_ID = "f" * 51 + "00000"  # Ray's provider of pretended nodes finds the head by it


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Head]:
    """A head without CPUs and GPUs, whose autoscaler may start two nodes (raylets on this machine) with a pretended GPU each."""
    ports = free_ports(4)
    provider = {
        "type": "external",  # the type of its own that it has reads a file that the wheel lacks
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "disable_node_updaters": True,
        "gcs_address": f"127.0.0.1:{ports[0]}",
        "head_node_id": HEAD_ID,
        "launch_multiple": True,
    }
    config = tmp_path / "autoscaler.json"
    config.write_text(json.dumps({**AUTOSCALER, "provider": provider}))
    identity = {"RAY_CLOUD_INSTANCE_ID": HEAD_ID, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID}
    with started(
        "--num-cpus=0",
        "--num-gpus=0",
        f"--autoscaling-config={config}",
        ports=ports,
        RAY_FAKE_CLUSTER="1",
        RAY_enable_autoscaler_v2="1",
        RAYLAB_CAN_START="CPU=2 GPU=2",
        PYTHONPATH=str(ROOT),
        RAY_AUTH_MODE="disabled",
        **identity,
    ) as one:
        yield one


@pytest.mark.slow
def test_a_cluster_of_nothing_grows_for_a_run(growing: Head, cohort: Path, tmp_path: Path) -> None:
    """`gpu: auto` asks for a part of the GPUs that can be started, says that it waits, and both nodes come and do the work."""
    out = tmp_path / "run"
    # without a working directory: nodes that share one machine would remove it from each other
    job = growing.submit(*evaluate(study(tmp_path), cohort, out), working_dir=())
    assert 0 == job.returncode, job.stdout + job.stderr
    assert "1 CPU: it has 0 now and can start 2" in job.stdout
    assert "0.25 GPU: it has 0 now and can start 2" in job.stdout
    assert " 2 running" in job.stdout  # a node holds one
    assert "trials: 10 ok" in job.stdout
