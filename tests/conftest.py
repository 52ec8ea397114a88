"""What tests share: a small simulated cohort, made windows, one Ray for the session, and the real recordings if they are there."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from builders.live import make_run
from builders.windows import make_windows
from moto.server import ThreadedMotoServer
from pyarrow import fs

from raylab.runs.cluster import connect
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.windows.dataset import Windows

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


S3_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """One local Ray with 2 CPUs for the whole session: a start costs seconds. Its workers know the key of the ``bucket``."""
    os.environ |= S3_KEY
    connect(num_cpus=2)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def cohort(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the windows of a simulated cohort: ``simulated``, 5 people of about 3 minutes."""
    root = tmp_path_factory.mktemp("windows")
    order = PrepareRequest("simulated", ".", str(root / "simulated"), options={"participants": 5, "minutes": 3, "seed": 3})
    prepare(order, say=lambda line: None)
    return root


@pytest.fixture(scope="session")
def live_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small runs on windows with causal normalization, for model files and streams."""
    return make_run(tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, or a skip that says what is missing."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[browser]'")
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed: pip install -e '.[browser]'")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not there: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def bucket(cluster: None) -> Iterator[Callable[[str], str]]:
    """An S3 server on loopback with one bucket: gives the URI of a name in it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "{}:{}".format(*server.get_host_and_port())
    store = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True)
    store.create_dir("raylab")
    yield lambda name: f"s3://raylab/{name}?scheme=http&region=us-east-1&endpoint_override={endpoint}"
    server.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real recordings (RAYLAB_DATA)."""
    where = os.environ.get("RAYLAB_DATA")
    if not where:
        pytest.skip("RAYLAB_DATA is not set: no real recordings at hand")
    assert Path(where).is_dir(), f"RAYLAB_DATA={where} is no folder"
    return Path(where)


@pytest.fixture
def made() -> Windows:
    """Five people, 20 windows each: ten of class 0, then ten of class 1."""
    return make_windows({f"P{i}": [0] * 10 + [1] * 10 for i in range(1, 6)})


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Say so where a test of real data was skipped although the data are there."""
    if _skipped_with_data(terminalreporter):
        terminalreporter.section("real data at hand, but skipped", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test of real data that skips although the data are there is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and exitstatus == 0 and _skipped_with_data(reporter):
        session.exitstatus = 1


def _skipped_with_data(reporter: Any) -> bool:
    skipped = reporter.stats.get("skipped", [])
    return bool(os.environ.get("RAYLAB_DATA")) and any("real" in report.keywords for report in skipped)
