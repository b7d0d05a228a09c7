"""The cases of a suite shared out over a real Ray cluster of two nodes: the same outcomes as here."""

import asyncio
import os
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fireside.app.evaluation import Wanted, measure_suites, opened
from fireside.app.evaluation_ray import measure_on_ray
from fireside.core.errors import Invalid
from fireside.evals.suite import CaseSettings, Step
from fireside.index.ray_cluster import ENVIRONMENT, LOOPBACK
from support.fake_openai import FakeOpenAI

# Ray's own habits: settings it calls outdated itself, and files of its children that it leaves to the garbage collector.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra [ray] is not installed"),
    *(
        pytest.mark.filterwarnings(f"ignore::{name}")
        for name in ("DeprecationWarning", "FutureWarning", "ResourceWarning", "UserWarning")
    ),
]
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes, each with processes of its own, on loopback."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | LOOPBACK).items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        made: Any = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        try:
            made.add_node(**NODE)
            made.wait_for_nodes()
            yield made.address
        finally:
            made.shutdown()


@pytest.fixture
def openai_server() -> Iterator[str]:
    """A server in a thread of its own: this process waits for the cluster meanwhile."""
    loop, ready, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with FakeOpenAI("compute", models={"qwen2.5-coder:7b": 8192}) as fake:
            urls.append(fake.url)
            ready.set()
            await over.wait()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    yield urls[0]
    loop.call_soon_threadsafe(over.set)
    thread.join()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "a.py").write_text("".join(f"value_{number} = compute({number})\n" for number in range(150)))
    return folder


def test_a_cluster_measures_what_one_machine_measures(address: str, code: Path, openai_server: str) -> None:
    settings = CaseSettings(sources=(str(code),), cases=12)
    wanted = Wanted(url=openai_server)
    steps: list[Step] = []
    (there,) = measure_on_ray(address, wanted, ["fim-line"], settings, trip=3, report=steps.append)

    async def here() -> Any:
        async with opened(wanted, environ=os.environ) as bench:
            return await measure_suites(bench, ["fim-line"], settings, parallel=1, report=lambda step: None)

    (own,) = asyncio.run(here())
    assert [outcome.case for outcome in there.outcomes] == [outcome.case for outcome in own.outcomes]
    assert there.material == own.material
    for one, other in zip(there.outcomes, own.outcomes, strict=True):
        assert {**one.scores, "ms": 0} == {**other.scores, "ms": 0}
        assert {**one.rivals["copy"], "ms": 0} == {**other.rivals["copy"], "ms": 0}
    assert steps[-1].done == 12


def test_only_a_url_can_be_asked_from_everywhere() -> None:
    with pytest.raises(Invalid, match="URL"):
        measure_on_ray("local", Wanted(model="x"), ["fim-line"], CaseSettings())
