"""The two C programs, built for this run, and where programs may run: mock and driver share one core, a gateway has another alone."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

HERE = Path(__file__).parent
LOAD_CORE, GATEWAY_CORE = 0, 1
FLAGS = ("-O2", "-Wall", "-Wno-format-truncation")


class Missing(Exception):
    """Something this benchmark needs is not there: one line, and the remedy."""


@dataclass(frozen=True, slots=True)
class Programs:
    """``port``: the mock's. ``driver``: the load driver."""

    driver: Path
    port: int

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stats(self) -> dict[str, int]:
        """What the mock has seen."""
        from urllib.request import urlopen

        with urlopen(f"{self.upstream}/stats", timeout=5) as answer:
            found: dict[str, int] = orjson.loads(answer.read())
        return found


@contextlib.contextmanager
def built() -> Iterator[Programs]:
    """Compile, start the mock, and end it afterwards. Raises ``Missing``."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("there is no C compiler for the mock upstream and the load driver: apt-get install gcc libc6-dev")
    with tempfile.TemporaryDirectory(prefix="fireside-bench-") as folder:
        for name in ("mock", "driver"):
            subprocess.run([compiler, *FLAGS, "-o", f"{folder}/{name}", str(HERE / f"{name}.c")], check=True)
        port = free_port()
        mock = subprocess.Popen([*pinned(LOAD_CORE), f"{folder}/mock", str(port)])
        try:
            wait_for(port, mock)
            yield Programs(Path(folder) / "driver", port)
        finally:
            mock.terminate()
            mock.wait()


def pinned(core: int) -> Sequence[str]:
    """The words before a command that keep it on one core; none where that cannot be."""
    if (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        return ()
    return ("taskset", "-c", str(core))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]", *, seconds: float = 60) -> None:
    """Until somebody listens there. Raises ``Missing`` when the process ends first, or nobody does."""
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        if process.poll() is not None:
            raise Missing(f"{process.args!r} ended at once with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.002)
    raise Missing(f"{process.args!r} does not listen at port {port} after {seconds:.0f} s")
