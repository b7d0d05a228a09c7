"""One suite, every engine.

Each case takes ``subject`` and so runs once per engine. A subject is opened once per worker and shared by its cases (an engine must stay
whole whatever it was asked before); a case that takes something away asks for ``fresh``, a subject of its own.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.subjects import SUBJECTS, Subject


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case that takes ``fault`` runs once for each fault that can be made to happen behind each engine."""
    if "fault" in metafunc.fixturenames:
        pairs = [
            pytest.param(name, fault, marks=_marks(name)) for name, kind in SUBJECTS.items() for fault in kind.faults
        ]
        metafunc.parametrize(("subject", "fault"), pairs, indirect=["subject"], scope="session")
    elif "subject" in metafunc.fixturenames or "fresh" in metafunc.fixturenames:
        fixture = "subject" if "subject" in metafunc.fixturenames else "fresh"
        names = [pytest.param(name, marks=_marks(name)) for name in SUBJECTS]
        metafunc.parametrize(fixture, names, indirect=True, scope="session" if fixture == "subject" else "function")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All cases of the suite share one event loop, as the subjects do."""
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.hf] if name == "huggingface" else []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async for opened in _open(request.param):
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async for opened in _open(request.param):
        yield opened


async def _open(name: str) -> AsyncIterator[Subject]:
    subject = SUBJECTS[name]()
    await subject.open()
    try:
        yield subject
    finally:
        await subject.close()
