"""Run the ``git`` program so that a repository somebody else wrote cannot make it do anything but answer.

Knows arguments, environment, time and size limits, and what git's complaints mean. Never a shell, no prompt, no pager, no network, no
program that a repository's own configuration names: its hooks, file monitors, filters and merge drivers are switched off here, its diff
drivers where a diff is asked for.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, NotPermitted, TimedOut, ToolFailed

SECONDS = 30.0
MAX_OUTPUT = 32_000_000
# What a user sets for git on purpose; every other GIT_ variable points it to another place or makes it talk.
KEPT_VARIABLES = frozenset(
    (
        *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES"),
        *("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE"),
        *("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE"),
    )
)
ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_EDITOR": "false",
    "GIT_ASKPASS": "false",
    "SSH_ASKPASS": "false",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
    "LANGUAGE": "",
}
SETTINGS = (
    *(
        "core.quotepath=false",
        "core.fsmonitor=false",
        "core.hooksPath=" + os.devnull,
        "core.sshCommand=false",
        "core.pager=cat",
    ),
    *(
        "core.untrackedCache=false",
        "credential.helper=",
        "safe.bareRepository=explicit",
        "submodule.recurse=false",
        "color.ui=false",
    ),
    *(
        "log.showSignature=false",
        "commit.gpgSign=false",
        "gpg.program=false",
        "merge.verifySignatures=false",
        "blame.ignoreRevsFile=",
    ),
    # "git diff" would write the index to note what was only touched, even where GIT_OPTIONAL_LOCKS forbids it.
    *("gc.auto=0", "maintenance.auto=false", "merge.renormalize=false", "diff.autoRefreshIndex=false"),
)
# Drivers a repository's configuration may define. A filter without a command does nothing; a merge driver that fails is a conflict.
DRIVER_KEYS = r"^(filter\..*\.(clean|smudge|process)|merge\..*\.driver)$"
OLDEST = (2, 31)
OWN_SCOPES = frozenset((b"local", b"worktree"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What git wrote. ``code``: its exit status. ``cut``: there was more than the limit, and git was stopped."""

    output: bytes
    error: str
    code: int
    cut: bool = False


def run(
    folder: Path,
    arguments: Sequence[str],
    *,
    settings: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
    given: bytes = b"",
    seconds: float = SECONDS,
    max_output: int = MAX_OUTPUT,
    held: Sequence[int] = (),
) -> Answer:
    """One git command in ``folder``. ``settings``: more of git's settings; ``extra``: variables; ``given``: its standard input.

    ``held``: descriptors it keeps open, so that a lock outlives a process of ours that is killed. Raises ``ToolFailed`` when there is no
    git, ``TimedOut`` after ``seconds``, ``Invalid`` for what cannot be an argument.
    """
    if any("\0" in argument for argument in arguments):
        raise Invalid("a path or a revision cannot hold a NUL character")
    options = [part for setting in SETTINGS for part in ("-c", setting)]
    command = ["git", "--no-pager", "--literal-pathspecs", *options, *arguments]
    with tempfile.TemporaryFile() as error, tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        try:
            process = subprocess.Popen(
                [os.fsencode(part) for part in command],
                cwd=folder,
                env=environment() | as_variables(settings or {}) | dict(extra or {}),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=error,
                start_new_session=True,
                pass_fds=tuple(held),
            )
        except FileNotFoundError as missing:
            raise _not_started(folder) from missing
        except OSError as fault:
            raise ToolFailed(f"git could not be started: {fault.strerror}", remedy="check: git --version") from fault
        output, cut, late = _read(process, seconds, max_output)
        error.seek(0)
        complaint = error.read(10_000).decode("utf-8", "replace")
    if late:
        raise TimedOut(f"git {arguments[0]} took longer than {seconds:g} s", phase="total", retryable=False)
    return Answer(output, complaint, process.returncode, cut)


def environment() -> dict[str, str]:
    """This process's variables without those that lead git elsewhere, and with those that keep it quiet."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in KEPT_VARIABLES}
    return kept | ENVIRONMENT


def drivers_off(folder: Path) -> dict[str, str]:
    """Settings that switch off the filters and merge drivers which the repository's own configuration defines.

    Those of the user's own configuration (Git LFS, for one) stay: the user chose them. Raises as ``run`` does.
    """
    answer = run(folder, ["config", "--show-scope", "--name-only", "-z", "--get-regexp", DRIVER_KEYS])
    parts = answer.output.split(b"\0")
    off: dict[str, str] = {}
    for scope, key in zip(parts[::2], parts[1::2], strict=False):
        stem, _, last = os.fsdecode(key).rpartition(".")
        if scope not in OWN_SCOPES:
            continue
        if last == "driver":
            off[f"{stem}.driver"] = "false"
        else:
            off |= {f"{stem}.clean": "", f"{stem}.smudge": "", f"{stem}.process": "", f"{stem}.required": "false"}
    return off


def as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as git reads them from its environment, where a key may hold any character (``-c`` ends it at the first ``=``)."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


@cache
def check_version() -> tuple[int, ...]:
    """The version of git as numbers. Raises ``ToolFailed`` when there is none, or one too old to be kept from running programs."""
    words = run(Path(os.path.abspath(os.sep)), ["version"]).output.decode("utf-8", "replace").split()
    version = tuple(int(part) for part in words[2].split(".")[:2] if part.isdigit()) if len(words) > 2 else ()
    if version < OLDEST:
        raise ToolFailed(
            f"git {'.'.join(map(str, OLDEST))} or newer is needed", remedy="update git, then: git --version"
        )
    return version


def complaint(answer: Answer, command: str, folder: Path) -> FiresideError:
    """What a failed command means for the user."""
    text = answer.error
    lowered = text.lower()
    if "dubious ownership" in lowered or "unsafe repository" in lowered:
        return NotPermitted(
            f"git does not trust {folder}: another user owns it",
            remedy=f"if you trust it: git config --global --add safe.directory {folder}",
        )
    if "not a git repository" in lowered:
        return Invalid(f"{folder} is not in a git repository", remedy="git init")
    if "must be run in a work tree" in lowered or "cannot use bare repository" in lowered:
        return Invalid(f"{folder} is a bare repository, without files", remedy="clone it, and work in the clone")
    if any(
        sign in lowered
        for sign in ("unknown revision", "bad revision", "not a valid object name", "needed a single revision")
    ):
        return Invalid(f"git knows no such revision: {first_line(text)}", remedy="git branch --all")
    if "please tell me who you are" in lowered or "empty ident" in lowered:
        return Invalid(
            "git does not know who you are",
            remedy='git config --global user.name "NAME"\ngit config --global user.email EMAIL',
        )
    return ToolFailed(f"git {command} failed: {first_line(text) or f'exit status {answer.code}'}", code=answer.code)


def first_line(text: str) -> str:
    """The first line that says what is wrong, without git's "fatal: " and without control characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0] if lines else "")
    plain = "".join(character if character.isprintable() else " " for character in chosen)
    return plain.removeprefix("fatal: ").removeprefix("error: ")[:300]


def _read(process: "subprocess.Popen[bytes]", seconds: float, max_output: int) -> tuple[bytes, bool, bool]:
    """The output up to the limit, whether there was more, and whether the time was over before the end."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    parts: list[bytes] = []
    size = 0
    assert process.stdout
    try:
        with process.stdout as stream:
            while size <= max_output and (part := os.read(stream.fileno(), 1 << 16)):
                parts.append(part)
                size += len(part)
            if size > max_output:
                _kill(process)
        process.wait()
    except BaseException:  # Ctrl-C: git must not go on alone
        _kill(process)
        process.wait()
        raise
    finally:
        timer.cancel()
    return b"".join(parts)[:max_output], size > max_output, late.is_set()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The program and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def _not_started(folder: Path) -> FiresideError:
    if not folder.is_dir():
        return Invalid(f"{folder} does not exist", remedy="check the path")
    return ToolFailed("git is not installed", remedy="install git (https://git-scm.com), then try again")
