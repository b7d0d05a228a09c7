"""The flows again in a network namespace that has a loopback and nothing else: no route, no name server, no way out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.namespaces import BEGIN, namespace

FLOWS = Path(__file__).parent
INSIDE = "FIRESIDE_TEST_NAMESPACE"


@pytest.mark.skipif(INSIDE in os.environ, reason="these are the flows that run inside the namespace")
def test_every_flow_works_where_there_is_no_network_at_all():
    command = namespace()
    if not command and "CI" not in os.environ:
        pytest.skip("this system has no network namespaces (unshare from util-linux, and the right to use it)")
    assert command, "CI must be able to make a network namespace"
    selected = ["-m", "not slow and not hf", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, sys.executable, "-c", BEGIN, sys.executable, "-m", "pytest", str(FLOWS), *selected],
        env={**os.environ, INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=180,
        cwd=FLOWS.parent.parent,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
