"""The OpenAPI document of our own API tells the truth: Schemathesis sends what it allows, and what it does not."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup

from fireside.engines.scripted import ScriptedEngine
from support.project import write_project
from support.servers import Served, served


@contextmanager
def running(root) -> Iterator[Served]:
    """The server in a loop of its own, for clients that know no loops."""
    ready, ends = threading.Event(), asyncio.Event()
    made: list[Served] = []

    async def serve() -> None:
        async with served(ScriptedEngine(says="Hello.", name="s"), root=root) as server:
            made.append(server)
            ready.set()
            await ends.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield made[0]
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, request):
    patch = pytest.MonkeyPatch()
    home = tmp_path_factory.mktemp("house")
    patch.setenv("FIRESIDE_HOME", str(home / "home"))
    try:
        with running(write_project(home / "harbour")) as made:
            yield made
    finally:
        patch.undo()


@pytest.fixture(scope="module")
def document(server):
    found = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    # A request that fits may still name a line that a file does not have; what does not fit is a 400.
    found.config.checks.positive_data_acceptance.expected_statuses.append("422")
    return found


FUZZED = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", GenerationMode)
def test_what_comes_back_is_what_the_document_tells_for_every_operation(document, mode):
    wrong = {}
    for found in document.get_all_operations():
        operation = found.ok()
        try:
            check(operation, mode)
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label
        except (FailureGroup, Failure, ExceptionGroup) as error:
            wrong[operation.label] = error
    assert not wrong, "\n\n".join(f"{label}: {said(error)}" for label, error in wrong.items())


def said(error: BaseException) -> str:
    """With what hypothesis grouped."""
    inner = getattr(error, "exceptions", ())
    return "\n".join([str(error), *map(said, inner)])


def check(operation, mode: GenerationMode) -> None:
    """Many requests of one operation, each checked in all ways Schemathesis knows."""

    @FUZZED
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case) -> None:
        case.call_and_validate()

    ask()


def test_it_tells_the_other_dialects_that_are_served_here_too(server):
    told = requests.get(f"{server.address}/openapi.json", timeout=10).json()
    for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/infill"):
        assert path in told["info"]["description"]
    paths = told["paths"]
    assert "/api/v1/chat" in paths
    for path, operations in paths.items():
        for method in operations:
            assert server.app.table.find(method.upper(), path.replace("{name}", "x").replace("{request_id}", "x")), path
