"""The gateways in one run: how each is installed, configured and started in front of the mock, alone on its core."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.gateway.load import chat
from benchmarks.gateway.programs import GATEWAY_CORE, Missing, Programs, free_port, pinned

NAMES = ("direct", "nginx", "smg", "litellm", "fireside")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fireside-bench"
LITELLM, SMG = "litellm[proxy]==1.106.*", "smg==1.13.*"
KEY = "sk-bench-0123456789"
ASLEEP = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "DO_NOT_TRACK": "1",
}
NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; client_body_buffer_size 1m; keepalive_requests 1000000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
LITELLM_CONFIG = """
model_list:
{models}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false, num_retries: 0}}
"""
LITELLM_MODEL = (
    "  - {{model_name: {name}, litellm_params: {{model: openai/{name}, api_base: '{upstream}/v1', api_key: none}}}}"
)
FIRESIDE_CONFIG = """
[engines.mock]
kind = "openai"
base_url = "{upstream}/v1"

[gateway]
max_waiting = 1024

[gateway.parallel]
mock = 1024

[server]
require_keys = true
"""


@dataclass(slots=True)
class Peer:
    """``headers``: what its clients send. ``process``: None for the mock itself. ``started``: seconds until its first answer."""

    name: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """A command that serves at ``port``, what it needs in its environment, and what its clients must send."""

    command: Sequence[str]
    port: int
    environ: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def recipe(name: str, programs: Programs, folder: Path, litellm: str = "") -> Recipe:
    """Raises ``Missing`` with the remedy for a gateway that is not on this machine and cannot be brought."""
    port = free_port()
    if name == "nginx":
        return _nginx(programs, folder, port)
    if name == "smg":
        return _smg(programs, port)
    if name == "litellm":
        return _litellm(programs, folder, port, litellm)
    if name == "fireside":
        return _fireside(programs, folder, port)
    raise Missing(f"no gateway {name}; there are: {', '.join(NAMES)}")


@contextlib.contextmanager
def started(name: str, programs: Programs, folder: Path, *, litellm: str = "") -> Iterator[Peer]:
    """The gateway, having given its first answer."""
    if name == "direct":
        yield Peer(name, programs.port)
        return
    plan = recipe(name, programs, folder, litellm)
    with open(folder / f"{name}.log", "ab") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [*pinned(GATEWAY_CORE), *plan.command],
            env={**os.environ, **plan.environ},
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            peer = Peer(name, plan.port, plan.headers, process)
            _first_answer(peer, folder / f"{name}.log")
            peer.started = time.perf_counter() - begun
            yield peer
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _first_answer(peer: Peer, log: Path, *, seconds: float = 90) -> None:
    """Ask again and again until a chat is answered."""
    assert peer.process is not None
    address = f"http://127.0.0.1:{peer.port}/v1/chat/completions"
    headers = {"Content-Type": "application/json", **peer.headers}
    due, said = time.monotonic() + seconds, ""
    while time.monotonic() < due:
        if peer.process.poll() is not None:
            raise Missing(f"{peer.name} ended with status {peer.process.returncode}: {log.read_text()[-2000:]}")
        try:
            with urlopen(Request(address, chat(), headers), timeout=30) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError) as error:
            said = str(error)
        time.sleep(0.005)
    raise Missing(f"{peer.name} gives no answer after {seconds:.0f} s ({said}): {log.read_text()[-2000:]}")


def _nginx(programs: Programs, folder: Path, port: int) -> Recipe:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise Missing("nginx is not installed: apt-get install nginx-light")
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, upstream=programs.port, port=port))
    return Recipe((found, "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")), port)


def _smg(programs: Programs, port: int) -> Recipe:
    found = installed("smg", SMG)
    words = (
        f"launch --worker-urls {programs.upstream} --host 127.0.0.1 --port {port} --policy round_robin --log-level warn"
    )
    more = f"--prometheus-host 127.0.0.1 --prometheus-port {free_port()} --disable-tokenizer-autoload --api-key {KEY}"
    return Recipe((str(found), *words.split(), *more.split()), port, headers={"Authorization": f"Bearer {KEY}"})


def _litellm(programs: Programs, folder: Path, port: int, own: str) -> Recipe:
    found = Path(own) if own else installed("litellm", LITELLM)
    models = "\n".join(
        LITELLM_MODEL.format(name=name, upstream=programs.upstream) for name in ("mock", "paced", "hang")
    )
    config = folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(models=models, key=KEY))
    command = (str(found), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    return Recipe(command, port, ASLEEP, {"Authorization": f"Bearer {KEY}"})


def _fireside(programs: Programs, folder: Path, port: int) -> Recipe:
    home = folder / "home"
    config = home / "config" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(FIRESIDE_CONFIG.format(upstream=programs.upstream))
    environ = {"FIRESIDE_HOME": str(home)}
    fireside = (sys.executable, "-m", "fireside")
    made = subprocess.run(
        [*fireside, "keys", "create", "bench"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Missing(f"fireside keys create: {made.stderr.strip()}")
    key = next(word for word in made.stdout.split() if word.startswith("fsd_"))
    return Recipe((*fireside, "serve", "--port", str(port)), port, environ, {"Authorization": f"Bearer {key}"})


def installed(name: str, wanted: str) -> Path:
    """A program of that name in an environment of its own, made at its first use and kept. Raises ``Missing``."""
    home = CACHE / name
    program = home / "bin" / name
    if program.exists():
        return program
    print(f"installing {wanted} into {home} (once) ...", flush=True)
    pip = home / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(pip), "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted],
    ):
        if subprocess.run(command, check=False).returncode:
            shutil.rmtree(home, ignore_errors=True)
            raise Missing(f"{wanted} could not be installed: pip install {wanted!r} by hand, and name it with --{name}")
    return program
