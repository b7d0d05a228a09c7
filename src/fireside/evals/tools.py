"""``tools``: does the model call the right tool with arguments that fit, and none where none is needed?

Measured behind the gateway, as everything is that Fireside does with a model: calls it repairs on the way count as they arrive.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fireside.core.errors import Invalid
from fireside.core.messages import JsonSchema, Message, ToolCall, ToolSpec
from fireside.evals.asking import ask, drawn, rows
from fireside.evals.statistics import quantile, share
from fireside.evals.suite import Case as SuiteCase
from fireside.evals.suite import CaseSettings, Outcome, Score, Subject

MAX_TOKENS = 512
SYSTEM = (
    "You help in a software project. Use a tool when it is needed to do what is asked; when it is not, just answer."
)


class Task(msgspec.Struct, frozen=True):
    """``wanted``: the tool to be called, "" for none. ``arguments``: those that must be as they are here. ``offered``: [] = all tools."""

    id: str
    user: str
    wanted: str
    arguments: dict[str, Any]
    offered: list[str]


@dataclass(frozen=True, slots=True)
class Case(SuiteCase):
    user: str = ""
    wanted: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    offered: tuple[str, ...] = ()


class Tools:
    name = "tools"
    about = "tool calls: the right tool, arguments that fit its schema, none where none is needed"

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        made = [
            Case(
                task.id, "call" if task.wanted else "none", task.user, task.wanted, task.arguments, tuple(task.offered)
            )
            for task in rows("toolcalls.jsonl", Task)
        ]
        return drawn(made, settings)

    async def run(self, case: Case, subject: Subject) -> Outcome:
        if await subject.card_for(subject.model, needs=frozenset(("tools",))) is None:
            raise Invalid("this model cannot call tools", remedy="name one that can: fireside models list")
        tools = [tool for tool in toolbox() if not case.offered or tool.name in case.offered]
        messages = (Message("system", SYSTEM), Message("user", case.user))
        answer = await ask(subject, messages, max_tokens=MAX_TOKENS, tools=tools)
        scores, detail = judge(case, answer.calls, {tool.name: tool.parameters for tool in tools})
        return Outcome(case.id, scores | {"ms": 1000 * answer.seconds}, answer.seconds, detail, group=case.group)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        calls = [outcome for outcome in outcomes if outcome.group == "call"]
        others = [outcome for outcome in outcomes if outcome.group == "none"]
        return (
            share("right", outcomes),
            share("called", calls),
            share("right tool", calls),
            share("valid arguments", calls),
            share("right arguments", calls),
            share("no needless call", others),
            quantile("p50", outcomes, 0.5, key="ms"),
            quantile("p95", outcomes, 0.95, key="ms"),
        )


def toolbox() -> list[ToolSpec]:
    """The tools that come with the tasks."""
    return rows("tools.jsonl", ToolSpec)


def judge(case: Case, calls: Sequence[ToolCall], schemas: Mapping[str, JsonSchema]) -> tuple[dict[str, float], str]:
    """Scores, and what is wrong. Only one call is right: the tasks need no more."""
    if not case.wanted:
        called = ", ".join(call.name for call in calls)
        silent = float(not calls)
        return {"right": silent, "no needless call": silent}, f"called {called} for nothing" if called else ""
    names = {"called": float(bool(calls))} | dict.fromkeys(("right tool", "valid arguments", "right arguments"), 0.0)
    if not calls:
        return names | {"right": 0.0}, f"{case.wanted} was not called"
    call = calls[0]
    wrong = _wrong(call.arguments, schemas.get(call.name))
    names["right tool"] = float(call.name == case.wanted)
    names["valid arguments"] = float(not wrong)
    if not wrong and call.name == case.wanted:
        given = json.loads(call.arguments)
        differ = [key for key, value in case.arguments.items() if not _equal(given.get(key), value)]
        names["right arguments"] = float(not differ)
        wrong = f"{call.name}: {', '.join(differ)} is not what was asked for" if differ else ""
    elif not wrong:
        wrong = f"{call.name} was called instead of {case.wanted}"
    if len(calls) > 1 and not wrong:
        wrong = f"{len(calls)} calls where one was needed"
    return names | {"right": float(not wrong)}, wrong


def _wrong(arguments: str, schema: JsonSchema | None) -> str:
    """What is wrong with the arguments, or ""."""
    import jsonschema_rs

    if schema is None:
        return "a tool was called that was not offered"
    try:
        given = json.loads(arguments)
        jsonschema_rs.validator_for(dict(schema)).validate(given)
    except ValueError as error:
        return "arguments do not fit: " + str(error).partition("\n")[0]
    return ""


def _equal(given: object, wanted: object) -> bool:
    """A path may begin with ``./`` or end with a slash; all else must be as it was said."""
    if isinstance(given, str) and isinstance(wanted, str):
        return given.removeprefix("./").rstrip("/\n") == wanted.removeprefix("./").rstrip("/\n")
    if isinstance(given, list) and isinstance(wanted, list):
        return sorted(map(str, given)) == sorted(map(str, wanted))
    # A flag that is off may be left out.
    return given == wanted or (wanted is False and given is None)
