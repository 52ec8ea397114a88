"""The SLURM script: its words, and, with stand-ins for SLURM's own commands that run everything on this machine, what it does."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.ray_head import free_ports
from builders.studies import submitted_study as study
from ray.scripts.scripts import start

import psutil  # isort: skip  Ray carries it

from raylab.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "slurm.sh"
STAND_INS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "scontrol": 'if [[ $1 == show ]]; then printf "%s\\n" first second; else echo "$@" >> "$ASKED"; fi',
    "hostname": "echo 127.0.0.1",
}


def test_the_script_is_bash() -> None:
    """Bash reads it to its end."""
    done = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("name", ["deploy/slurm.sh", "cluster.yaml"])
def test_ray_start_knows_its_options(name: str) -> None:
    """Every option of `ray start` in it is one that this Ray has."""
    text = (ROOT / name).read_text()
    used = set()
    for line in re.split(r"\n\s*- |(?<!\\)\n(?=\S)", text):
        if "ray start" in line or line.startswith("here="):
            used |= set(re.findall(r"(?<!\w)--[a-z-]+", re.sub(r"srun.*?ray start", "ray start", line, flags=re.DOTALL)))
    known = {option for parameter in start.params for option in parameter.opts}
    assert {"--head", "--address", "--dashboard-host"} <= used
    assert used <= known


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a job on two nodes that are both this machine; what the job leaves behind is ended by its ids."""
    for name, body in STAND_INS.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/bash\n{body}\n")
        command.chmod(0o755)
    job = str(free_ports(1)[0] - 20000)  # the script's port is 20000 more (modulo 20000)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    yield {
        **clean,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "ASKED": str(tmp_path / "asked"),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAYLAB_VENV": sys.prefix,
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": job,
        "SLURM_JOB_NODELIST": "first,second",
        "SLURM_CPUS_PER_TASK": "1",
    }
    for process in psutil.process_iter(["cmdline"]):
        if any(f"/tmp/ray-{job}" in part for part in process.info["cmdline"] or []):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _end(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=600)
    return out


@pytest.mark.slow
def test_a_preempted_job_goes_back_into_the_queue_and_finishes(slurm: dict[str, str], cohort: Path, tmp_path: Path) -> None:
    """TERM in the middle of a run of two nodes asks for a requeue; the same script again runs the rest and exits with 0."""
    out = tmp_path / "run"
    command = ["bash", str(SCRIPT), str(study(tmp_path)), "--windows", str(cohort), "--out", str(out)]

    def submitted() -> subprocess.Popen[str]:
        return subprocess.Popen(command, env=slurm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    first = submitted()
    while first.poll() is None and not (0 < len(RunFolder(str(out)).records())):
        time.sleep(0.2)
    first.send_signal(signal.SIGTERM)
    printed = _end(first)
    assert 143 == first.returncode, printed
    assert f"requeue {slurm['SLURM_JOB_ID']}\n" == Path(slurm["ASKED"]).read_text()
    before = RunFolder(str(out)).finished()
    assert 0 < len(before) < 10
    second = submitted()
    printed = _end(second)
    assert 0 == second.returncode, printed
    assert f"{len(before)} done already" in printed
    assert "trials: 10 ok" in printed
