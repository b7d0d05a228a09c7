"""The supervised child: keeps one model server running for as long as somebody uses it, and takes it along when it goes.

``python -m fireside.engines.child FOLDER``. What to run stands in ``FOLDER/spec.json``; who runs is written to ``pids.json``, where it
listens to ``ready.json``, how it ended by itself to ``died.json``. The server is a process of its own (``fireside.engines.host``, or a
``llama-server`` binary): loading a model holds Python's lock for its whole length, and this process must go on noticing that its users
are gone. It knows locks, signals and clocks; nothing of models or requests. Standard library only: it has to start in a blink.

Files of the folder: ``alive`` is locked while this process or its server lives; every user shares ``lease``, and for the length of a
request ``busy``; this process leaves only when it has one of the two for itself, so nobody is left talking to a closing door.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

from fireside.engines.lease import Lease
from fireside.engines.processes import birth
from fireside.engines.spec import ChildSpec, command_line

LOOK_SECONDS = 0.2
READY_LOOK_SECONDS = 0.01
SERVER_GRACE_SECONDS = 1.0
LOG_LIMIT, LOG_KEPT = 1 << 20, 1 << 18


class Keeper:
    """One server and the reasons to end it."""

    def __init__(self, folder: Path, spec: ChildSpec) -> None:
        self.folder = folder
        self.spec = spec
        self.api_key = os.urandom(24).hex()
        self.port = free_port()
        # By names relative to the working folder: should that be taken away and made anew, the new one is not ours.
        self.lease = Lease(Path("lease"))
        self.busy = Lease(Path("busy"))
        self.busy.path.touch(mode=0o600)
        self.began = time.monotonic()
        self.server = 0
        self.ready = False
        self.other_ports = 3

    def run(self) -> None:
        """Start the server and stay until it dies or is no longer wanted. Does not return."""
        wakeup = wakeup_pipe()
        self._start_server()
        signal.signal(signal.SIGTERM, lambda *_: self.leave())
        while True:
            select.select([wakeup], [], [], LOOK_SECONDS if self.ready else READY_LOOK_SECONDS)
            drain(wakeup)
            self._look_at_server()
            if not self.ready and answers(self.port):
                self.ready = True
                self._write_ready()
            try:
                if self.lease.take_alone() or self._idle():
                    self.leave()
                self.lease.release()
                trim_log(Path("log"))
            except FileNotFoundError:  # the folder was taken away: nobody can find this server any more
                self.leave()

    def leave(self) -> None:
        """End the server, politely first, then this process."""
        Path("ready.json").unlink(missing_ok=True)
        os.kill(self.server, signal.SIGTERM)
        deadline = time.monotonic() + SERVER_GRACE_SECONDS
        while time.monotonic() < deadline:
            if os.waitpid(self.server, os.WNOHANG)[0]:
                os._exit(0)
            time.sleep(0.005)
        os.kill(self.server, signal.SIGKILL)
        os.waitpid(self.server, 0)
        os._exit(0)

    def _start_server(self) -> None:
        arguments = command_line(self.spec, self.folder, self.port)
        environment = {**os.environ, "LLAMA_API_KEY": self.api_key}
        keeper = os.getpid()
        self.server = os.fork()
        if self.server == 0:
            become(arguments, environment, keeper=keeper, nice=self.spec.nice)
        pids = {"pid": keeper, "born": birth(keeper), "server_pid": self.server, "server_born": birth(self.server)}
        write_json(Path("pids.json"), pids)

    def _look_at_server(self) -> None:
        pid, status = os.waitpid(self.server, os.WNOHANG)
        if pid and not self.ready and self.other_ports and not is_free(self.port):
            self.other_ports -= 1  # somebody took it between the choice and the start
            self.port = free_port()
            self._start_server()
        elif pid:
            code = os.waitstatus_to_exitcode(status)
            write_json(Path("died.json"), {"code": code, "loading": not self.ready})
            os._exit(1)

    def _idle(self) -> bool:
        """Whether no request ran for the agreed time and none can begin any more."""
        seconds = time.time() - os.stat(self.busy.path).st_mtime
        if self.ready and seconds > self.spec.idle_seconds and self.busy.take_alone():
            return True
        self.busy.release()
        return False

    def _write_ready(self) -> None:
        os.utime(self.busy.path)
        url, seconds = f"http://127.0.0.1:{self.port}", time.monotonic() - self.began
        write_json(Path("ready.json"), {"base_url": url, "api_key": self.api_key, "seconds": seconds})


def become(arguments: list[str], environment: dict[str, str], *, keeper: int, nice: int) -> None:
    """Turn this freshly forked process into the server. Does not return."""
    try:
        die_with_parent(keeper)
        os.nice(nice)
        os.execvpe(arguments[0], arguments, environment)
    except OSError as error:
        os.write(2, f"E cannot start {arguments[0]}: {error.strerror}\n".encode())
    os._exit(127)


def die_with_parent(parent: int) -> None:
    """Ask Linux to end this process with ``parent``; elsewhere the host watches, and the supervisor ends a leftover binary."""
    if sys.platform == "linux":
        import ctypes

        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def wakeup_pipe() -> int:
    """The end of a pipe that becomes readable with every signal, the death of the server among them."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def drain(reader: int) -> None:
    try:
        os.read(reader, 4096)
    except BlockingIOError:
        return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # what a server that just ended leaves behind does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether the server there says it is healthy (200 on /health, which needs no key)."""
    with socket.socket() as connection:
        # Bound first: an unbound socket may be given the very port it connects to, and would then talk to itself.
        connection.bind(("127.0.0.1", 0))
        connection.settimeout(1)
        try:
            if connection.getsockname()[1] == port:
                return False
            connection.connect(("127.0.0.1", port))
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
        except OSError:
            return False


def write_json(path: Path, content: dict[str, object]) -> None:
    """Readable by this user only, and never half there."""
    temporary = path.with_suffix(f".{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file)
    os.replace(temporary, path)


def trim_log(path: Path) -> None:
    """Keep the end of a log that has grown too long; its writers append, so they go on behind what is left."""
    if path.stat().st_size > LOG_LIMIT:
        with open(path, "r+b") as file:
            file.seek(-LOG_KEPT, os.SEEK_END)
            end = file.read()
            file.truncate(0)
            file.seek(0)
            file.write(end)


def main(folder: Path) -> None:
    os.setsid()
    os.chdir(folder)
    Keeper(folder, ChildSpec(**json.loads((folder / "spec.json").read_bytes()))).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
