"""What every test stands on: no connection but loopback, and a home of its own."""

import ipaddress
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A submission is judged by the same examples each time; a developer's runs look for new ones.
settings.register_profile("ci", derandomize=True, print_blob=True)
settings.load_profile("ci" if "CI" in os.environ else "default")

VARIABLES = (
    *("OLLAMA_HOST", "OLLAMA_ENDPOINT", "FIRESIDE_OLLAMA_URL"),
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"),
)
REAL_CONNECT = socket.socket.connect
REAL_CONNECT_EX = socket.socket.connect_ex


def _check(address: object) -> None:
    if isinstance(address, tuple) and address and isinstance(address[0], str):
        host = address[0].split("%")[0]
        if host not in ("localhost", "") and not ipaddress.ip_address(host).is_loopback:
            raise AssertionError(f"a test tried to reach {address!r}; only loopback is allowed")


# Words of a skip that mean: something could have been installed and was not.
NOT_INSTALLED = ("could not import", "is not installed", "needs usearch")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where everything is installed on purpose, what is missing is a failure and no skip."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and os.environ.get("CI") == "true":
        why = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if any(words in why for words in NOT_INSTALLED):
            report.outcome, report.longrepr = "failed", f"skipped in CI: {why}"


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that is not to this machine (unix sockets are)."""

    def connect(self: socket.socket, address: object) -> None:
        _check(address)
        return REAL_CONNECT(self, address)  # type: ignore[arg-type]

    def connect_ex(self: socket.socket, address: object) -> int:
        _check(address)
        return REAL_CONNECT_EX(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect_ex)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that are not there yet, one after another."""
    base = tmp_path_factory.mktemp("homes")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home no other test has; nothing of the user's is read or written."""
    home = next(homes)
    home.mkdir()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FIRESIDE_HOME", str(home / "fireside"))
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are cores: many tests wait for a server or a time limit."""
    return min(8, (os.cpu_count() or 1) + 1)
