"""Programming tasks in HumanEval's format: read them, take the code out of an answer, and find out in the sandbox whether it is right.

Format: one JSON object a line with task_id, prompt, entry_point, canonical_solution and test, where test defines ``check(candidate)``
("Evaluating Large Language Models Trained on Code", Chen et al. 2021). Knows no model.
"""

import gzip
import re
import secrets
import textwrap
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fireside.core.errors import Invalid
from fireside.evals.sandbox import run
from fireside.evals.sandbox_limits import Limits

OURS = Path(__file__).with_name("data") / "tasks.jsonl"
# Where the answer of a model that only goes on writing has gone past the end of the function.
STOPS = ("\nclass ", "\ndef ", "\nif __name__", "\nprint(", "\n#", "\nassert ", "\n```")
LIMITS = Limits(seconds=10.0)
_LARGEST = 256 << 20
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n`]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


class Task(msgspec.Struct, frozen=True):
    """``prompt``: the code up to the body to be written; ``entry_point``: the name of the function or class that ``test`` checks."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why``: empty when it passed; else one line: the error, or which bound ended it. ``seconds``: in the sandbox."""

    passed: bool
    why: str
    seconds: float


def read_tasks(path: Path = OURS) -> tuple[Task, ...]:
    """The tasks of a .jsonl, .jsonl.gz or .jsonl.zst file, in its order; fields beyond those of the format are allowed.

    Raises Invalid, with the line's number, for a file that cannot be read, a row that does not fit, and a task that comes twice.
    """
    found: dict[str, Task] = {}
    for number, line in enumerate(_text_of(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            task = msgspec.json.decode(line, type=Task)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(
                f"{path}, line {number}: {error}", remedy=f"each line is a JSON object with {_FIELDS}"
            ) from error
        if wrong := _wrong(task, found):
            raise Invalid(f"{path}, line {number}: {wrong}")
        found[task.task_id] = task
    if not found:
        raise Invalid(f"{path} holds no task", remedy=f"one JSON object a line with {_FIELDS}")
    return tuple(found.values())


_FIELDS = "task_id, prompt, entry_point, canonical_solution and test"


def _wrong(task: Task, before: dict[str, Task]) -> str:
    if task.task_id in before:
        return f"{task.task_id} comes twice"
    if not task.entry_point.isidentifier():
        return f"entry_point is no name: {task.entry_point!r}"
    if not _defines(task.prompt, task.entry_point):
        return f"the prompt does not define {task.entry_point}"
    return "" if "def check(" in task.test else "the test does not define check(candidate)"


def _text_of(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as packed:
                data = packed.read(_LARGEST + 1)
        elif path.suffix == ".zst":
            data = _unpacked(path)
        else:
            with path.open("rb") as plain:
                data = plain.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Invalid(
            f"{path} cannot be read: {error}", remedy="name a .jsonl, .jsonl.gz or .jsonl.zst file"
        ) from error
    if len(data) > _LARGEST:
        raise Invalid(f"{path} is larger than {_LARGEST >> 20} MiB", remedy="split it")
    return data


def _unpacked(path: Path) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise Invalid(
            f"{path} needs zstandard to be read", remedy="pip install 'fireside[train]', or unpack it"
        ) from error
    try:
        with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as reader:
            return bytes(reader.read(_LARGEST + 1))
    except zstandard.ZstdError as error:
        raise Invalid(f"{path} is no zstd file: {error}", remedy="pack it again: zstd FILE.jsonl") from error


def _defines(code: str, name: str) -> bool:
    return _definition(code, name) >= 0


def _definition(code: str, name: str) -> int:
    """Where the last definition of ``name`` begins at the left edge; -1 when there is none."""
    places = [
        found.start() for found in re.finditer(rf"^(?:async def|def|class) +{re.escape(name)}\b", code, re.MULTILINE)
    ]
    return places[-1] if places else -1


def continued(task: Task, completion: str) -> str:
    """The whole code, from the answer of a model that was given the prompt to go on with: cut where the function has ended."""
    ends = [place for stop in STOPS if (place := completion.find(stop)) >= 0]
    return task.prompt + _indented(completion[: min(ends, default=len(completion))])


def answered(task: Task, answer: str) -> str:
    """The whole code, from a chat answer: the last fenced block that defines what was asked for, else all that looks like code."""
    fenced = blocks_of(answer)
    blocks = fenced or [_spoken(answer).strip("\n")]
    whole = [block for block in blocks if _defines(block, task.entry_point)]
    if whole:
        return _before(task) + (whole[-1] if fenced else _from_code(whole[-1]))
    return task.prompt + _indented(max(blocks, key=len))


def blocks_of(answer: str) -> list[str]:
    """The fenced blocks of an answer, an unclosed last one included; what a model thought aloud is left out."""
    return [textwrap.dedent(found[2]) for found in _FENCE.finditer(_spoken(answer))]


def _spoken(answer: str) -> str:
    return _THOUGHT.sub("", answer).replace("\r\n", "\n")


def _before(task: Task) -> str:
    """What the prompt brings along: imports and functions above the one that is asked for."""
    return task.prompt[: max(0, _definition(task.prompt, task.entry_point))]


def _from_code(text: str) -> str:
    """Without fences a sentence may stand before the code."""
    lines = text.split("\n")
    codelike = ("def ", "class ", "import ", "from ", "async def ", "@")
    first = next((number for number, line in enumerate(lines) if line.startswith(codelike)), 0)
    return "\n".join(lines[first:])


def _indented(body: str) -> str:
    """A body whose first line lost its indentation, or which has none at all, gets it."""
    lines = body.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None or lines[first][0] in " \t":
        return body
    rest = [line for line in lines[first + 1 :] if line.strip()]
    if rest and all(line[0] in " \t" for line in rest) and not lines[first].rstrip().endswith(":"):
        lines[first] = "    " + lines[first]
        return "\n".join(lines)
    return textwrap.indent(body, "    ")


def judge(task: Task, code: str, *, limits: Limits = LIMITS) -> Verdict:
    """Run the task's check over the code in the sandbox. Raises NotPermitted where no sandbox works.

    It has passed when the last line of the program was reached: ``sys.exit(0)`` in the code is no success. Who writes code to deceive
    the check can; that is not what is measured.
    """
    word = secrets.token_hex(16)
    program = f"{code}\n\n{task.test}\n\ncheck({task.entry_point})\nprint({word!r})\n"
    try:
        ran = run(program, limits=limits)
    except Invalid as error:
        return Verdict(False, error.message, 0.0)
    if ran.ended == "done" and ran.status == 0 and ran.stdout.rstrip().endswith(word):
        return Verdict(True, "", ran.seconds)
    if ran.ended != "done":
        return Verdict(False, ran.ended, ran.seconds)
    said = ran.stderr.strip().splitlines()
    return Verdict(False, said[-1][:200] if said else "ended before its check", ran.seconds)
