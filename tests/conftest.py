"""What all tests share: nothing that they start may outlive them."""

import ctypes
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow at making examples too: that says nothing about the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("any machine")

# A shell's background job ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
LEAVE_WITHIN_S = 10.0


def _running_children() -> list[psutil.Process]:
    """Processes below this one that still run; multiprocessing's own tracker ends with us."""
    children = []
    for child in psutil.Process().children(recursive=True):
        try:
            is_ours = "multiprocessing.resource_tracker" not in " ".join(child.cmdline())
            if is_ours and child.status() != psutil.STATUS_ZOMBIE:
                children.append(child)
        except psutil.NoSuchProcess:
            continue
    return children


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    """Fail the session of this test process if a program that a test started still runs."""
    # Orphans of a program that a test killed come to us instead of hiding under process 1.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    _, left = psutil.wait_procs(_running_children(), timeout=LEAVE_WITHIN_S)
    told = [f"{child.pid}: {' '.join(child.cmdline())}" for child in left if child.is_running()]
    for child in left:
        child.kill()
    assert not told, f"tests left these running: {told}"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder of the test's own with a short name: a Unix socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="gw") as folder:
        yield Path(folder)
