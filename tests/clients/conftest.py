"""Real clients need what not every machine has; in CI every reason not to run is a failure."""

import os
from collections.abc import Callable

import pytest

from support.client_page import Section, sections
from support.clients import NotInstalled
from support.namespaces import namespace


@pytest.fixture(scope="session", autouse=True)
def alone(request: pytest.FixtureRequest) -> None:
    """Nothing is installed by the way, and no client is let near a network."""
    if "clients" not in request.config.option.markexpr:
        pytest.skip("these install other people's clients: make test-clients")
    if not namespace():
        assert "CI" not in os.environ, "CI must be able to make a network namespace"
        pytest.skip("this system has no network namespaces (unshare from util-linux, and the right to use it)")


@pytest.fixture(scope="session")
def page() -> dict[str, Section]:
    return sections()


@pytest.fixture(scope="session")
def attempt() -> Callable:
    """Calls something; a client that cannot be had is a skip, which CI takes for a failure."""

    def call(function: Callable, *arguments: object, **named: object):
        try:
            return function(*arguments, **named)
        except NotInstalled as error:
            pytest.skip(str(error))

    return call
