"""Other people's clients at work: ``fireside serve`` with a scripted model, and a client beside it that can reach nothing else.

Each client's turn is what ``docs/clients.md`` says to type; its model asks for a file by the client's own tool, and then says it is done.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from support.client_page import Section
from support.clients import installed, node
from support.namespaces import BEGIN, joining, namespace

FILE = "hello.txt"
CONTENT = "Hello, it's me.\nAnd a line more.\n"
DONE = "Your file is there, captain."
SECONDS = 120
LISTENING = "Fireside listens at http://127.0.0.1:8000"
CHAT = "/v1/chat/completions"
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Agent:
    """``section``: of the page. ``client``: in the table of versions. ``route``: where it asks. ``tool``: its own that writes a file."""

    section: str
    client: str
    route: str
    tool: str
    arguments: Callable[[str], Mapping[str, str]]

    def __str__(self) -> str:
        return self.section


def _by_shell(path: str) -> Mapping[str, str]:
    return {"cmd": f"cat > {path} <<'END'\n{CONTENT}END"}


AGENTS = (
    Agent("Codex", "codex", "/v1/responses", "exec_command", _by_shell),
    Agent("OpenCode", "opencode", CHAT, "write", lambda path: {"filePath": path, "content": CONTENT}),
    Agent("Qwen Code", "qwen-code", CHAT, "write_file", lambda path: {"file_path": path, "content": CONTENT}),
    Agent("Claude Code", "claude-code", "/v1/messages", "Write", lambda path: {"file_path": path, "content": CONTENT}),
    Agent("Continue", "continue", CHAT, "Write", lambda path: {"filepath": path, "content": CONTENT}),
    Agent("Nanocoder", "nanocoder", CHAT, "write_file", lambda path: {"path": path, "content": CONTENT}),
)
OTHERS = (
    Agent("Codex without configuration", "codex", "/v1/responses", "exec_command", _by_shell),
    Agent("gptme", "gptme", CHAT, "save", lambda path: {"path": path, "content": CONTENT}),
    Agent("llm", "llm", CHAT, "write_file", lambda path: {"path": path, "content": CONTENT}),
    Agent(
        "llm, through Ollama's API", "llm", "/api/chat", "write_file", lambda path: {"path": path, "content": CONTENT}
    ),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """``written``: what stands in the file, or nothing. ``said``: all that the client printed. ``served``: all that the server did.

    ``requests``: route and status of each, as the audit log has them.
    """

    status: int
    written: str | None
    said: str
    served: str
    requests: Sequence[tuple[str, int]]

    @property
    def succeeded(self) -> bool:
        return self.status == 0 and self.written == CONTENT


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: Mapping[str, str]

    @property
    def reply(self) -> Json:
        """Of a model that makes the call as it should."""
        return {"tool_calls": [{"name": self.name, "arguments": self.arguments}]}


def call_of(agent: Agent, folder: Path) -> Call:
    """The right call for the file."""
    return Call(agent.tool, agent.arguments(str(_project(folder) / FILE)))


def take_turn(agent: Agent, section: Section, folder: Path, *, replies: Sequence[Json]) -> Turn:
    """One turn in which the model answers the request for the file with ``replies``, and what comes after it by being done."""
    asked = [{"when": FILE, "offered": agent.tool, **reply} for reply in replies]
    return run_section(section, agent.client, folder, script=[*asked, {"text": DONE}])


def run_section(section: Section, client: str | None, folder: Path, *, script: Sequence[Json]) -> Turn:
    """Do what the section says, in a home and a project below ``folder``. Raises ``NotInstalled``."""
    programs = [installed(client), node()] if client else []
    home, project = folder / "home", _project(folder)
    for path in (home, project):
        path.mkdir(parents=True, exist_ok=True)
    if section.language == "js":
        (project / "node_modules").symlink_to(programs[0].parent)
    for place, text in section.files.items():
        target = home / place[2:] if place.startswith("~/") else project / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    environ = {
        "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "DO_NOT_TRACK": "1",
        "PATH": os.pathsep.join([*map(str, programs), os.path.dirname(sys.executable), str(_system(folder))]),
    }  # fmt: skip
    with serving(folder, script) as (pid, log):
        status, said = _run([*joining(pid), *_command(section)], environ, project)
    found = project / FILE
    written = found.read_text(encoding="utf-8") if found.is_file() else None
    return Turn(status, written, said, log.read_text(errors="replace"), _requests(folder))


def _system(folder: Path) -> Path:
    """The system's programs but for bubblewrap: Codex takes it before its own, and fails with the one that Debian 12 has."""
    place = folder / "system"
    place.mkdir(parents=True, exist_ok=True)
    for origin in (Path("/usr/local/bin"), Path("/usr/bin"), Path("/bin")):
        for program in origin.iterdir():
            if program.name != "bwrap" and not (place / program.name).is_symlink():
                (place / program.name).symlink_to(program)
    return place


@contextmanager
def serving(folder: Path, script: Sequence[Json]) -> Iterator[tuple[int, Path]]:
    """``fireside serve`` alone in a network: its process id, and the file it writes its log to."""
    home, log = folder / "fireside", folder / "served.txt"
    (home / "config").mkdir(parents=True, exist_ok=True)
    (folder / "script.json").write_text(json.dumps(script))
    (home / "config" / "config.toml").write_text(
        f'[engines.script]\nkind = "scripted"\nscript = "{folder / "script.json"}"\ncontext_window = 200000\n'
    )
    command = [*namespace(), sys.executable, "-c", BEGIN, sys.executable, "-m", "fireside", "serve"]
    environ = {"HOME": str(home), "FIRESIDE_HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environ, cwd=home, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        due = time.monotonic() + SECONDS
        while LISTENING not in log.read_text(errors="replace"):
            ended = server.poll() is not None or time.monotonic() > due
            assert not ended, log.read_text(errors="replace")
            time.sleep(0.02)
        yield server.pid, log
    finally:
        server.terminate()
        server.wait(SECONDS)


def _requests(folder: Path) -> list[tuple[str, int]]:
    log = folder / "fireside" / "data" / "audit" / "server.jsonl"
    lines = log.read_bytes().splitlines() if log.is_file() else []
    entries = [entry for entry in map(json.loads, lines) if entry["event"] == "request"]
    return [(entry["route"], entry["status"]) for entry in entries]


def _project(folder: Path) -> Path:
    return folder / "project"


def _command(section: Section) -> list[str]:
    if section.language == "python":
        return [sys.executable, "-c", section.text]
    if section.language == "js":
        return ["node", "--input-type=module", "-e", section.text]
    shell = shutil.which("bash")
    assert shell is not None
    return [shell, "-ec", section.text]


def _run(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Its status and all it printed; whatever it leaves running is ended, too."""
    with subprocess.Popen(
        command, env=environ, cwd=folder, text=True, errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as client:  # fmt: skip
        try:
            said, _ = client.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(client.pid, signal.SIGKILL)
            said, _ = client.communicate()
            said += f"\n(ended after {SECONDS} s)"
        with suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
    return client.returncode, said
