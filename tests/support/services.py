"""A real PostgreSQL and a real Redis on a free loopback port, for as long as a test needs them.

A server given by ``FIRESIDE_TEST_POSTGRES`` or ``FIRESIDE_TEST_REDIS`` is used as it is; else one is started where its program is
installed; else the test is skipped, and told what to install.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

READY_SECONDS = 30


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database of its own on a PostgreSQL: ``postgresql://fireside@127.0.0.1:PORT/NAME``."""
    pytest.importorskip("pg8000", reason="pg8000 is not installed: pip install 'fireside[team]'")
    given = os.environ.get("FIRESIDE_TEST_POSTGRES", "")
    with _given(given) if given else _started_postgres() as server:
        yield fresh_database(server)


@contextmanager
def redis() -> Iterator[str]:
    """The URL of a Redis or Valkey: ``redis://127.0.0.1:PORT/0``. A given one is shared: use keys that nobody else has."""
    pytest.importorskip("redis", reason="redis is not installed: pip install 'fireside[team]'")
    given = os.environ.get("FIRESIDE_TEST_REDIS", "")
    with _given(given) if given else _started_redis() as url:
        yield url


@contextmanager
def redis_at(port: int) -> Iterator[str]:
    """A Redis on this port, which may be taken away and brought back."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with _folder() as folder, _running(command, folder, "eady to accept connections"):
        yield f"redis://127.0.0.1:{port}/0"


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _given(url: str) -> Iterator[str]:
    yield url


@contextmanager
def _started_redis() -> Iterator[str]:
    with redis_at(free_port()) as url:
        yield url


@contextmanager
def _started_postgres() -> Iterator[str]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "").parent]
    if not (programs[-1] / "initdb").exists():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with _folder() as folder:
        data, port = folder / "data", free_port()
        create = [str(programs[-1] / "initdb"), "-D", str(data), "-U", "fireside", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run(create, check=True, capture_output=True, cwd=folder, user=_owner())
        command = [str(programs[-1] / "postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
        with _running([*command, "-k", "", "-c", "fsync=off"], folder, "ready to accept connections"):
            yield f"postgresql://fireside@127.0.0.1:{port}/postgres"


def fresh_database(server: str) -> str:
    """The URL of another empty database on the same server."""
    from sqlalchemy import create_engine, make_url

    url, name = make_url(server).set(drivername="postgresql+pg8000"), f"fireside_{uuid.uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


def _owner() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package makes a user for it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres: apt-get install postgresql")


@contextmanager
def _folder() -> Iterator[Path]:
    """Outside pytest's own, which nobody but their owner may enter."""
    folder = Path(tempfile.mkdtemp(prefix="fireside-"))
    if owner := _owner_or_none():
        shutil.chown(folder, owner)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner_or_none() -> str | None:
    known = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if os.geteuid() == 0 and "postgres" in known else None


@contextmanager
def _running(command: Sequence[str], folder: Path, ready: str) -> Iterator[None]:
    """The program runs, and has said that it is ready."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, user=_owner_or_none()
    )
    assert process.stdout is not None
    said: deque[str] = deque(maxlen=20)
    is_ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if ready in line:
                is_ready.set()
        # An early end must not be waited out.
        is_ready.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert is_ready.wait(READY_SECONDS), "it does not get ready: " + "".join(said)
        assert process.poll() is None, "".join(said)
        yield
    finally:
        # PostgreSQL's "fast" shutdown; Redis leaves on it too.
        process.send_signal(signal.SIGINT)
        process.wait(READY_SECONDS)
        reader.join(READY_SECONDS)
        process.stdout.close()
