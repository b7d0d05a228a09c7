"""``edits``: does the model keep to the formats in which Fireside takes changes, and is the change the one that was asked for?

Every task is asked once in each format. The answer is applied as ``fireside edit`` would apply it, with no other format standing in.
"""

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fireside.core.messages import Message
from fireside.core.values import replace
from fireside.evals.asking import ask, drawn, rows
from fireside.evals.statistics import quantile, share
from fireside.evals.suite import Case as SuiteCase
from fireside.evals.suite import CaseSettings, Outcome, Score, Subject
from fireside.workspace.edits.apply import apply_edits
from fireside.workspace.edits.formats import FORMATS
from fireside.workspace.edits.refusals import EditRefused

MAX_TOKENS = 1024
SYSTEM = (
    "You change files. Answer with the change alone, in exactly the format that is described, and with no explanation."
)
EXAMPLES = {
    "search_replace": """The file's name on a line of its own, the lines to find, as they stand in the file, and those in their place:

notes.py
<<<<<<< SEARCH
print("helo")
=======
print("hello")
>>>>>>> REPLACE""",
    "whole": """The file's name on a line of its own, then its whole new content in a fence:

notes.py
```
print("hello")
```""",
    "udiff": """A unified diff:

--- a/notes.py
+++ b/notes.py
@@ -1 +1 @@
-print("helo")
+print("hello")""",
    "apply_patch": """A patch of this form:

*** Begin Patch
*** Update File: notes.py
@@
-print("helo")
+print("hello")
*** End Patch""",
    "edit_tool": """One JSON object; the old text must stand in the file exactly once:

{"path": "notes.py", "edits": [{"old_text": "print(\\"helo\\")", "new_text": "print(\\"hello\\")"}]}""",
    "function": """The file's name, two colons and the name of the definition, then that whole definition anew in a fence:

notes.py::Greeter.greet
```
    def greet(self):
        print("hello")
```""",
}


class Task(msgspec.Struct, frozen=True):
    """One file, what is to be changed in it, and how it looks then."""

    id: str
    path: str
    before: str
    instruction: str
    after: str


@dataclass(frozen=True, slots=True)
class Case(SuiteCase):
    """``group``: the format."""

    path: str = ""
    before: str = ""
    instruction: str = ""
    after: str = ""


class Edits:
    name = "edits"
    about = "changes to files in each of Fireside's edit formats: do they apply, and are they right?"

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        made = [
            Case(f"{task.id}/{format}", format, task.path, task.before, task.instruction, task.after)
            for task in rows("edits.jsonl", Task)
            for format in FORMATS
            if format != "function" or _in_functions(task)
        ]
        return drawn(made, settings)

    async def run(self, case: Case, subject: Subject) -> Outcome:
        question = (
            f"The file {case.path}:\n\n```\n{case.before}```\n\n{case.instruction}\n\n"
            f"Answer in this format, here for another file. {EXAMPLES[case.group]}"
        )
        answer = await ask(subject, (Message("system", SYSTEM), Message("user", question)), max_tokens=MAX_TOKENS)
        scores = {"applies": 0.0, "correct": 0.0, "ms": 1000 * answer.seconds}
        detail = ""
        try:
            after = apply_edits(answer.text, {case.path: case.before}, format=case.group)
            scores["applies"] = 1.0
            scores["correct"] = float(set(after) == {case.path} and same(case.path, after[case.path], case.after))
            if not scores["correct"]:
                detail = "applies, but it is not the change that was asked for"
        except EditRefused as refused:
            detail = f"{refused.refusals[0].reason}: {refused.refusals[0]}"
        return Outcome(case.id, scores, answer.seconds, " ".join(detail.split()), group=case.group)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        groups = [name for name in FORMATS if any(outcome.group == name for outcome in outcomes)]
        each = [
            replace(share(what, [one for one in outcomes if one.group == group]), name=f"{group}: {what}")
            for group in groups
            for what in ("applies", "correct")
        ]
        return (
            share("applies", outcomes),
            share("correct", outcomes),
            *each,
            quantile("p50", outcomes, 0.5, key="ms"),
            quantile("p95", outcomes, 0.95, key="ms"),
        )


def same(path: str, text: str, wanted: str) -> bool:
    """Whether two texts say the same: Python by its syntax tree, JSON by its values, others but for blanks and empty lines."""
    try:
        if path.endswith(".py"):
            return ast.dump(ast.parse(text)) == ast.dump(ast.parse(wanted))
        if path.endswith(".json"):
            return bool(json.loads(text) == json.loads(wanted))
    except (ValueError, SyntaxError):
        return False
    return _plain(text) == _plain(wanted)


def _plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _in_functions(task: Task) -> bool:
    """Whether all that changes stands within functions that are there before and after."""
    if not task.path.endswith(".py"):
        return False
    before, after = (_without_bodies(text) for text in (task.before, task.after))
    return before == after


def _without_bodies(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body, node.args = [], ast.arguments([], [], None, [], [], None, [])
            node.returns = None
    return ast.dump(tree)
