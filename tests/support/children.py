"""Programs for the supervisor to keep, and other Fireside processes to share with."""

import asyncio
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from fireside.engines.processes import birth
from fireside.engines.supervisor import Running

# What llama-server is to the supervisor, without a model: a port that says it is healthy, signals, an exit code.
FAKE_SERVER = """\
#!{python} -S
import os, signal, socket, sys, time
port = int(sys.argv[sys.argv.index("--port") + 1])
behaviour = "{behaviour}"
if behaviour == "silent":
    time.sleep(3600)
if behaviour == "refuses":
    sys.stderr.write("0.00.001 E srv    load_model: unknown model architecture: 'fantasy'\\n")
    sys.exit(1)
if behaviour == "crashes":
    sys.stderr.write("GGML_ASSERT(n > 0) failed\\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
if behaviour == "hungry":
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", port))
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}")
    connection.close()
"""

OTHER_PROCESS = """\
import asyncio, sys
from pathlib import Path
from fireside.engines.spec import ChildSpec
from fireside.engines.supervisor import Supervisor

async def main():
    spec = ChildSpec(sys.argv[2], context=512, binary=sys.argv[3])
    running = await Supervisor(Path(sys.argv[1])).acquire(spec)
    print(running.pids.pid, running.pids.server_pid, flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def fake_server(folder: Path, behaviour: str) -> str:
    """A ``llama-server`` that is healthy, silent, refuses, crashes, is hungry or stubborn."""
    script = folder / f"llama-server-{behaviour}"
    script.write_text(FAKE_SERVER.format(python=sys.executable, behaviour=behaviour))
    script.chmod(0o700)
    return str(script)


def other_process(runtime: Path, model: Path, binary: str = "") -> "subprocess.Popen[str]":
    """A second Fireside process that acquires the same child, prints its two process numbers, and lives until its input ends."""
    arguments = [sys.executable, "-c", OTHER_PROCESS, str(runtime), str(model), binary]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Look at another process's doings until they are as expected."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def gone(*pids: int) -> None:
    await until(lambda: not any(birth(pid) for pid in pids))


async def status(running: Running, path: str, key: str | None = None) -> int:
    """The HTTP status of a GET."""
    headers = {"Authorization": f"Bearer {running.api_key if key is None else key}"}
    request = urllib.request.Request(running.base_url + path, headers=headers)

    def ask() -> int:
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    return await asyncio.to_thread(ask)


def command_lines() -> str:
    """What ``ps`` shows of every process, arguments and all."""
    return subprocess.run(["ps", "-A", "-ww", "-o", "args"], capture_output=True, text=True, check=True).stdout


def is_running(pid: int) -> bool:
    return bool(birth(pid))
