"""The same results in the same order from one process, from several, and from a cluster of two machines."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, NotPermitted, OutOfResources
from fireside.training.collect.mapping import map_shards, only_here
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.stage import Collect
from fireside.training.stages import Desk, perform
from fireside.workspace.workspace import Workspace


def doubled(number: int) -> int:
    return number * 2


def refused(number: int) -> int:
    if number == 3:
        raise Invalid("three is not wanted", remedy="take four")
    return number


def killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def marked(number: int, folder: str) -> int:
    Path(folder, str(number)).touch()
    return number


def test_results_come_in_the_order_of_the_inputs():
    assert list(map_shards(doubled, range(40), workers=3)) == list(map_shards(doubled, range(40), workers=1))


def test_inputs_are_read_only_as_they_are_needed():
    read: list[int] = []

    def inputs() -> Iterator[int]:
        for number in range(1_000):
            read.append(number)
            yield number

    results = map_shards(doubled, inputs(), workers=2)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    results.close()  # type: ignore[attr-defined]
    assert len(read) < 10


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_back_with_its_remedy(workers):
    with pytest.raises(Invalid, match="three is not wanted") as told:
        list(map_shards(refused, range(20), workers=workers))
    assert told.value.remedy == "take four"


def test_a_worker_that_is_killed_gives_one_clear_error():
    with pytest.raises(OutOfResources, match="a worker of the collection was killed"):
        list(map_shards(killed, range(20), workers=2))


def test_workers_end_when_nobody_asks_any_more(tmp_path):
    results = map_shards(partial(marked, folder=str(tmp_path)), range(1_000), workers=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) < 20


def test_another_machine_is_joined_only_with_leave():
    assert only_here("127.0.0.1:6379") == "127.0.0.1:6379"
    with pytest.raises(NotPermitted, match="another machine"):
        only_here("10.1.2.3:6379")


RAY = [
    pytest.mark.ray,
    pytest.mark.train,
    *(
        pytest.mark.filterwarnings(f"ignore::{name}")
        for name in ("DeprecationWarning", "FutureWarning", "ResourceWarning", "UserWarning")
    ),
]


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of two nodes, each with processes of its own, on loopback."""
    from fireside.index.ray_cluster import ENVIRONMENT, LOOPBACK

    node = {"num_cpus": 1, "object_store_memory": 100_000_000}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | LOOPBACK).items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        try:
            made.add_node(**node)
            made.wait_for_nodes()
            yield made.address
        finally:
            made.shutdown()


class TestOnACluster:
    pytestmark = RAY

    def test_the_shards_are_those_made_here(self, cluster, repository, tmp_path):
        for work, settings in (("here", {"workers": 1}), ("there", {"ray": cluster})):
            settings = CollectSettings(repositories=(str(repository),), **settings)
            perform(Collect(settings), Desk(tmp_path / work, "collect"))
        here, there = (
            {path.name: path.read_bytes() for path in (tmp_path / work / "collect/shards").iterdir()}
            for work in ("here", "there")
        )
        assert here == there

    def test_both_machines_work_and_errors_come_back(self, cluster):
        assert list(map_shards(abs, range(-90, 0), ray=cluster)) == list(range(90, 0, -1))
        with pytest.raises(Invalid, match="does not exist"):
            list(map_shards(Workspace, ["/no/such/folder"], ray=cluster))

    def test_an_address_that_makes_no_sense_is_refused(self):
        with pytest.raises(Invalid, match="not the address of a Ray cluster"):
            map_shards(abs, [1], ray="the big one")
