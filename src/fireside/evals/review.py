"""``review``: small files with one planted bug each, and the same files without it. Is the bug found, and is the clean file left in peace?

The answer is asked for as JSON by a schema, so that nothing hangs on how findings are written down.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from fireside.core.messages import JsonSchema, Message
from fireside.core.requests import ResponseFormat
from fireside.core.values import replace
from fireside.evals.asking import ask, drawn, rows
from fireside.evals.statistics import mean, quantile, share
from fireside.evals.suite import Case as SuiteCase
from fireside.evals.suite import CaseSettings, Outcome, Score, Subject

MAX_TOKENS = 512
NEAR = 2
CLEAN = "clean"
SYSTEM = (
    "You review code. Report real bugs only: wrong results, crashes, security holes, leaks, races. Nothing of style, names, types, tests or"
    " documentation. Most files have one bug or none. Lines are numbered."
)
SCHEMA: JsonSchema = {
    "type": "object",
    "properties": {
        "findings": {
            "type": "array",
            "maxItems": 5,
            "items": {
                "type": "object",
                "properties": {"line": {"type": "integer"}, "problem": {"type": "string"}},
                "required": ["line", "problem"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["findings"],
    "additionalProperties": False,
}


class Task(msgspec.Struct, frozen=True):
    """``text``: with the bug, in line ``line`` (from 1). ``about``: what is wrong there, for whoever reads the tasks."""

    id: str
    kind: str
    path: str
    text: str
    clean: str
    line: int
    about: str


class Finding(msgspec.Struct, frozen=True):
    line: int
    problem: str


class Findings(msgspec.Struct, frozen=True):
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Case(SuiteCase):
    """``line``: where the bug is; 0 in the clean twin. ``group``: the kind of bug, or "clean"."""

    path: str = ""
    text: str = ""
    line: int = 0


class Review:
    name = "review"
    about = "planted bugs in small files, and clean twins: found within two lines, false alarms"

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        made: list[Case] = []
        for task in rows("review.jsonl", Task):
            made.append(Case(f"{task.id}/bug", task.kind, task.path, task.text, task.line))
            made.append(Case(f"{task.id}/clean", CLEAN, task.path, task.clean, 0))
        return drawn(made, settings)

    async def run(self, case: Case, subject: Subject) -> Outcome:
        numbered = "\n".join(f"{number}: {line}" for number, line in enumerate(case.text.splitlines(), 1))
        messages = (Message("system", SYSTEM), Message("user", f"Review {case.path}:\n\n{numbered}"))
        answer = await ask(
            subject, messages, max_tokens=MAX_TOKENS, response_format=ResponseFormat(SCHEMA, name="findings")
        )
        scores, detail = judge(case, answer.text)
        return Outcome(case.id, scores | {"ms": 1000 * answer.seconds}, answer.seconds, detail, group=case.group)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        bugs = [outcome for outcome in outcomes if outcome.group != CLEAN]
        clean = [outcome for outcome in outcomes if outcome.group == CLEAN]
        kinds = sorted({outcome.group for outcome in bugs})
        return (
            share("found", bugs),
            share("false alarm", clean, better="lower", failed=None),
            share("valid", outcomes),
            mean("findings", outcomes, better="neither"),
            *(
                replace(share("found", [one for one in bugs if one.group == kind]), name=f"found: {kind}")
                for kind in kinds
            ),
            quantile("p50", outcomes, 0.5, key="ms"),
            quantile("p95", outcomes, 0.95, key="ms"),
        )


def judge(case: Case, text: str) -> tuple[dict[str, float], str]:
    """Scores, and what is wrong."""
    try:
        found = msgspec.json.decode(text, type=Findings).findings
    except (msgspec.MsgspecError, json.JSONDecodeError, UnicodeDecodeError):
        missed = {"found": 0.0} if case.line else {"false alarm": 0.0}
        return missed | {"valid": 0.0}, f"no findings in the form that was asked for: {text[:60]!r}"
    scores = {"valid": 1.0, "findings": float(len(found))}
    if not case.line:
        alarm = f"line {found[0].line} of a clean file: {found[0].problem[:80]}" if found else ""
        return scores | {"false alarm": float(bool(found))}, alarm
    hit = any(abs(finding.line - case.line) <= NEAR for finding in found)
    lines = ", ".join(str(finding.line) for finding in found) or "none"
    return scores | {"found": float(hit)}, "" if hit else f"the bug is in line {case.line}, reported: {lines}"
