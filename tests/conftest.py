"""What tests share: a small simulated cohort, made windows, one Ray for the session, and the real recordings if they are there."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from builders.live import make_run
from builders.running import quiet
from builders.session import forbidden_skips, group_of, outcomes, place_of
from builders.studies import small
from builders.windows import make_windows
from moto.server import ThreadedMotoServer
from pyarrow import fs

from raylab.runs.cluster import connect
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.runs.run import Summary, start
from raylab.runs.stop import SIGNALS
from raylab.windows.dataset import Windows

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


S3_KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


def _connect_patiently(tries: int = 3) -> None:
    """Ray gives its node 30 s to start, which a busy machine exceeds now and then."""
    for number in range(1, tries + 1):
        try:
            connect(num_cpus=2)
        except Exception as error:
            if number == tries or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
        else:
            return


@pytest.fixture(autouse=True)
def _signals_are_heard_again() -> Iterator[None]:
    """A command that was stopped ignores further signals while its process ends; a test that runs one in this process goes on."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    """A live stream switches oneDNN off for its whole process, and then the same weights predict other last bits."""
    threads, onednn = torch.get_num_threads(), torch.backends.mkldnn.enabled
    yield
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = onednn


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Copies of windows lie in a folder of the session, also for the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYLAB_WINDOWS_CACHE", str(tmp_path_factory.mktemp("copies")))
        yield


@pytest.fixture(scope="session")
def cluster(_own_cache: None) -> Iterator[None]:
    """One local Ray with 2 CPUs for the whole session: a start costs seconds. Its workers know the key of the ``bucket``.

    A test that uses Ray in this process asks for it; all of them run on one worker of pytest-xdist, so that there is one Ray.
    """
    os.environ |= S3_KEY
    # what tests send to Ray's workers may be defined among the builders; tests/analysis alone would stand for the package
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    _connect_patiently()
    node = ray._private.worker._global_node
    started = [info.process for infos in node.all_processes.values() for info in infos]
    yield
    ray.shutdown()
    # On a busy machine they take longer than the second that Ray waits, and Python warns of a process that still runs.
    for process in started:
        process.wait(60)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the windows of a simulated cohort: ``simulated``, 5 people of about 3 minutes, prepared in this process."""
    root = tmp_path_factory.mktemp("windows")
    request = PrepareRequest("simulated", ".", str(root / "simulated"), options={"participants": 5, "minutes": 3, "seed": 3})
    prepare(request, say=lambda line: None, where="local")
    return root


@pytest.fixture(scope="session")
def run_on_ray(cluster: None, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """The small study's run folder and summary, run once on Ray with two workers: what it left is only read."""
    out = tmp_path_factory.mktemp("run") / "two-workers"
    return out, start(small(), str(cohort), str(out), log=quiet)


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
def bucket(cluster: None, bucket_without_ray: Callable[[str], str]) -> Callable[[str], str]:
    """An S3 server on loopback with one bucket, of which Ray's workers have the key: gives the URI of a name in it."""
    return bucket_without_ray


@pytest.fixture(scope="session")
def bucket_without_ray() -> Iterator[Callable[[str], str]]:
    """The same for tests that use no Ray."""
    os.environ |= S3_KEY
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


@pytest.fixture(autouse=True)
def _no_other_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that uses Ray in this process asks for ``cluster``: a Ray that it starts by itself would be left to all that follow."""
    before = ray.is_initialized()
    yield
    assert before or not ray.is_initialized() or "cluster" in request.fixturenames, (
        "this test starts Ray: it needs the fixture `cluster`"
    )


@pytest.fixture
def made() -> Windows:
    """Five people, 20 windows each: ten of class 0, then ten of class 1."""
    return make_windows({f"P{i}": [0] * 10 + [1] * 10 for i in range(1, 6)})


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """The groups that take longest first, behind which others fit."""
    yield
    items.sort(key=lambda item: place_of(group_of(item.nodeid, ROOT)))  # stable: otherwise the random order stays


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out by groups: all tests that use Ray go to one worker of pytest-xdist, so that there is one Ray."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  plain pytest works without pytest-xdist

    class ByGroups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid, ROOT)

    return ByGroups(config, log)


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Name the skips that are failures; after `make slow`, every slow test with its outcome and its seconds."""
    if forbidden := forbidden_skips(terminalreporter.stats.get("skipped", []), os.environ):
        terminalreporter.section("skipped, although what it needs should be here", red=True)
        for line in forbidden:
            terminalreporter.line(line)
    if config.option.markexpr == "slow":
        terminalreporter.section("slow tests")
        for line in outcomes(terminalreporter.stats):
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that must not skip and skipped is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and exitstatus == 0 and forbidden_skips(reporter.stats.get("skipped", []), os.environ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
