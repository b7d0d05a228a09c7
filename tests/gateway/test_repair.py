"""Calls that models meant become calls, in every notation they use and with every fault they are known for."""

import json
import random

import pytest

from fireside.core.events import EventBus
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, Logprob, ResponseFormat, Usage
from fireside.gateway.calls import Offered
from fireside.gateway.hold import Hold
from fireside.gateway.metrics import Metrics
from fireside.gateway.repair import repaired
from fireside.gateway.signals import ToolCallRepaired
from support.toolcall_cases.faults import CONTENT, as_call, as_text
from support.toolcall_cases.forms import FORMS
from support.toolcall_cases.shown import CALL, TAGGED
from support.toolcall_cases.streams import answered, in_pieces
from support.toolcall_cases.tools import CLIENTS, EVERYTHING, offering

PRINTED = list(as_text("x", {}))
REPORTED = list(as_call("x", {}))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", PRINTED)
async def test_a_printed_call_writes_the_file(client: str, fault: str):
    tools, name, (path, content) = CLIENTS[client]
    arguments = {path: "src/done.py", content: CONTENT}
    text = as_text(name, arguments)[fault]
    for size in (1, 4, len(text), random.Random(fault)):
        outcome = await answered(offering(tools), *in_pieces(text, size))
        assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == [(name, arguments)]
        assert outcome.finish == "tool_calls"
        assert outcome.text == ("I'll create the file now.\n\n" if "prose" in fault else "")
        assert len(outcome.faults) == 1


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fault", REPORTED)
async def test_a_faulty_call_writes_the_file(client: str, fault: str):
    tools, name, (path, content) = CLIENTS[client]
    arguments = {path: "src/done.py", content: CONTENT.replace('"', "'")}
    outcome = await answered(offering(tools), [Delta(tool_call=as_call(name, arguments)[fault])])
    assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == [(name, arguments)]
    assert (outcome.finish, len(outcome.faults)) == ("tool_calls", 1)


@pytest.mark.parametrize(("text", "expected"), FORMS.values(), ids=FORMS.keys())
async def test_every_familys_notation_is_read(text: str, expected: list[tuple[str, dict[str, object]]]):
    for size in (1, 3, len(text)):
        outcome = await answered(offering(EVERYTHING), *in_pieces(text, size))
        assert [(call.name, json.loads(call.arguments)) for call in outcome.calls] == expected, outcome.text
        assert outcome.finish == "tool_calls"
        assert all(call.id.startswith("call_") for call in outcome.calls)
        assert len({call.id for call in outcome.calls}) == len(expected)


@pytest.mark.parametrize("text", [TAGGED, "[TOOL_CALLS][" + CALL + "]", f"```json\n{CALL}\n```"])
async def test_prose_before_a_call_goes_out_first_and_at_once(text: str):
    prose = "I look at the file first. \n\n"
    outcome = await answered(offering(EVERYTHING), [Delta(text=prose)], *in_pieces(text, 5))
    assert outcome.deltas[0] == Delta(text=prose)
    assert outcome.text == prose
    assert [call.name for call in outcome.calls] == ["read_file"]


LEAD_INS = [
    "I'll write the file now.",
    "I will create the file for you.",
    "Let me read the file:",
    "Sure.",
    "Sure! Here is the tool call:",
    "Okay, I need to look at the structure of the project first.",
    "Reading `a.py`",
    "To do this, I'm going to use the `read_file` tool.",
    "Here is the JSON for a function call with its proper arguments that best answers the given prompt:",
    "First, I need to see what is in there. Then I'll fix the bug.",
]


@pytest.mark.parametrize("prose", LEAD_INS)
@pytest.mark.parametrize("call", [f"```json\n{CALL}\n```\n", TAGGED], ids=["fence", "envelope"])
async def test_a_call_behind_a_sentence_is_believed(prose: str, call: str):
    outcome = await answered(offering(EVERYTHING), *in_pieces(f"{prose}\n\n{call}", 2))
    assert [made.name for made in outcome.calls] == ["read_file"]
    assert outcome.text == f"{prose}\n\n"


@pytest.mark.parametrize(
    "prose", ["I'll update the format of the config:", "I fix the example file:", "Its docs say more."]
)
async def test_an_envelope_needs_less_belief_than_a_fence(prose: str):
    assert (await answered(offering(EVERYTHING), *in_pieces(f"{prose}\n{TAGGED}", 2))).calls
    assert not (await answered(offering(EVERYTHING), *in_pieces(f"{prose}\n```json\n{CALL}\n```", 2))).calls


def test_ordinary_prose_is_never_delayed():
    text = "Here is what I found: `a[0]` is *x < y*, see [the docs](https://x.org). [1]\n\n- one\n- two\n```py\n[x]\n```\n<b>Done</b>."
    hold, late = Hold(Offered(EVERYTHING), bare=True), 0
    for place, sign in enumerate(text):
        late += 1 - len(hold.feed(sign))
        # A sign that may begin a mark waits for the next one that tells; nothing else waits.
        assert late == 0 or text[: place + 1].endswith(("[", "`", "``", "```", "<", "```p", "```py")), text[: place + 1]
    assert late == 0


async def test_prose_passes_piece_by_piece_as_it_came():
    words = [[Delta(text=word)] for word in ("The ", "answer ", "is ", "simple", ": ", "no.")]
    assert (await answered(offering(EVERYTHING), *words)).deltas[:-1] == [piece for (piece,) in words]


async def test_what_cannot_become_a_call_is_let_go_when_that_is_known():
    request = offering(EVERYTHING)
    texts = ['{"name": "', "my-package", '", "version": ', '"1.0"}']
    outcome = await answered(request, *([Delta(text=text)] for text in texts))
    assert [delta.text for delta in outcome.deltas[:-1]] == ['{"name": "my-package', '", "version": ', '"1.0"}']
    texts = [CALL, "\n\nThis", " is how", " it is done."]
    outcome = await answered(request, *([Delta(text=text)] for text in texts))
    assert [delta.text for delta in outcome.deltas[:-1]] == [CALL + "\n\nThis", " is how", " it is done."]


async def test_without_tools_the_answer_is_not_even_looked_at():
    async def stream():
        yield [Delta(finish_reason="stop")]

    batches = stream()
    for request in (
        offering(()),
        offering(EVERYTHING, tool_choice="none"),
        offering((), response_format=ResponseFormat()),
    ):
        assert repaired(request, batches, heard=print) is batches
    await batches.aclose()


async def test_a_batch_travels_together():
    outcome = await answered(offering(EVERYTHING), [Delta(text="one "), Delta(text="two "), Delta(text="three")])
    assert [delta.text for delta in outcome.deltas] == ["one ", "two ", "three", ""]


async def test_reasoning_passes_while_text_is_held():
    outcome = await answered(
        offering(EVERYTHING), [Delta(text=CALL[:20])], [Delta(reasoning="hm")], [Delta(text=CALL[20:])]
    )
    assert outcome.deltas[0] == Delta(reasoning="hm")
    assert [call.name for call in outcome.calls] == ["read_file"]


async def test_a_thought_printed_as_text_is_followed_by_a_call():
    outcome = await answered(offering(EVERYTHING), *in_pieces(f"<think>\nhm <tool_call>\n</think>\n\n{CALL}", 3))
    assert outcome.text == "<think>\nhm <tool_call>\n</think>"
    assert [call.name for call in outcome.calls] == ["read_file"]


async def test_usage_and_who_answered_stay_with_the_last_piece():
    last = Delta(text=CALL, finish_reason="stop", usage=Usage(3, 4), engine="e", model="m")
    outcome = await answered(offering(EVERYTHING), [last], end=False)
    assert outcome.deltas[-1] == Delta(finish_reason="tool_calls", usage=Usage(3, 4), engine="e", model="m")
    assert outcome.text == ""


async def test_logprobs_go_where_their_text_goes():
    likely = tuple(Logprob(sign, -0.1) for sign in "{x")
    outcome = await answered(
        offering(EVERYTHING), [Delta(text="{", logprobs=likely[:1])], [Delta(text="x", logprobs=likely[1:])]
    )
    assert outcome.deltas[0] == Delta(text="{x", logprobs=likely)


async def test_text_in_front_of_a_reported_call_is_text():
    call = ToolCall("1", "read_file", '{"path": "a"}')
    outcome = await answered(offering(EVERYTHING), [Delta(text='{"name": "read_')], [Delta(tool_call=call)])
    assert [delta.text or delta.tool_call for delta in outcome.deltas] == ['{"name": "read_', call, None]
    assert (outcome.finish, outcome.faults) == ("tool_calls", [])


async def test_a_right_call_passes_as_it_is():
    delta = Delta(tool_call=ToolCall("1", "read_file", '{ "path":"a" }'))
    outcome = await answered(offering(EVERYTHING), [delta], finish="tool_calls")
    assert outcome.deltas[0] is delta
    assert outcome.faults == []


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ('{"path": "a.py", "limit": "5"}', {"path": "a.py", "limit": 5}),
        ('{"path": "a.py", "limit": null}', {"path": "a.py"}),
        ('{"path": 5}', {"path": "5"}),
        ("{path: 'a.py', /* why */ limit: 5}", {"path": "a.py", "limit": 5}),
        ("{“path”: “a.py”}", {"path": "a.py"}),
        ('{"path": "a.py"}}', {"path": "a.py"}),
        ('"\\"{\\\\\\"path\\\\\\": \\\\\\"a.py\\\\\\"}\\""', {"path": "a.py"}),
        ('{\\"path\\": \\"a.py\\"}', {"path": "a.py"}),
        ('{"path": "a.py", "other": 1}', {"path": "a.py", "other": 1}),
    ],
)
async def test_arguments_are_written_as_the_schema_wants_them(written: str, given: dict[str, object]):
    outcome = await answered(offering(EVERYTHING), [Delta(tool_call=ToolCall("1", "read_file", written))])
    assert json.loads(outcome.calls[0].arguments) == given


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"command": "ls"}', {"command": ["ls"]}),
        ('{"command": "[\\"ls\\", \\"-l\\"]"}', {"command": ["ls", "-l"]}),
        ('{"command": ["ls"], "timeout_ms": "1e3", "with_escalated_permissions": "True"}',
         {"command": ["ls"], "timeout_ms": 1000.0, "with_escalated_permissions": True}),
        ('{"command": ["ls"], "explanation": "I look"}', {"command": ["ls"]}),
    ],
)  # fmt: skip
async def test_the_shell_of_codex_gets_a_list(arguments: str, given: dict[str, object]):
    tools, _, _ = CLIENTS["codex"]
    outcome = await answered(offering(tools), [Delta(tool_call=ToolCall("1", "shell", arguments))])
    assert json.loads(outcome.calls[0].arguments) == given


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("WRITE", "Write"),
        ("functions.Bash", "Bash"),
        ("Tool.read", "Read"),
        ("default_api.Glob", "Glob"),
        ("Bash:0", "Bash"),
        ("functions.Write:3", "Write"),
        ("create_issue", "mcp__github__create_issue"),
        ("create-issue", "mcp__github__create_issue"),
        ("mcp__files__Read", "Read"),
        ("Reed", "Reed"),
        ("", ""),
    ],
)
async def test_names_are_taken_back_to_the_one_tool_they_can_mean(written: str, meant: str):
    tools, _, _ = CLIENTS["Claude Code"]
    outcome = await answered(offering(tools), [Delta(tool_call=ToolCall("1", written, "{}"))])
    assert outcome.calls[0].name == meant


async def test_a_name_that_might_be_two_tools_stays():
    tools = tuple(tool for tool in EVERYTHING if tool.name == "edit")
    both = tuple(type(tool)(name, "", tool.parameters) for tool in tools for name in ("a__edit", "b__edit"))
    outcome = await answered(offering(both), [Delta(tool_call=ToolCall("1", "edit", "{}"))])
    assert outcome.calls[0].name == "edit"


@pytest.mark.parametrize(
    "arguments", ['{"path": "a", "content": "half of', '{"path": "a", "content":', "what?", '{"path": "a", ']
)
async def test_what_broke_off_stays_as_it_was(arguments: str):
    call = ToolCall("1", "write_file", arguments)
    outcome = await answered(offering(EVERYTHING), [Delta(tool_call=call)])
    assert outcome.calls == [call]


async def test_brackets_are_closed_only_in_an_answer_that_came_to_its_end():
    call = ToolCall("1", "write_file", '{"path": "a", "content": "all"')
    for finish, arguments in (("stop", call.arguments + "}"), ("length", call.arguments)):
        outcome = await answered(offering(EVERYTHING), [Delta(tool_call=call)], finish=finish)
        assert json.loads(outcome.calls[0].arguments + "}" * (finish == "length")) == json.loads(call.arguments + "}")
        assert (outcome.calls[0].arguments == arguments) or finish == "stop"
        assert outcome.finish == ("tool_calls" if finish == "stop" else "length")


async def test_calls_keep_their_order_while_one_waits_for_the_end():
    cut, whole = ToolCall("1", "read_file", '{"path": "a"'), ToolCall("2", "read_file", '{"path": "b"}')
    outcome = await answered(offering(EVERYTHING), [Delta(tool_call=cut)], [Delta(tool_call=whole)])
    assert [call.id for call in outcome.calls] == ["1", "2"]


async def test_nothing_is_an_empty_object():
    outcome = await answered(offering(EVERYTHING), [Delta(tool_call=ToolCall("1", "list_files", ""))])
    assert outcome.calls[0].arguments == "{}"


async def test_the_faults_are_told():
    text = "<tool_call>\n{'name': 'functions.read_file', 'arguments': {'path': 'a', 'limit': '5',}}\n</tool_call>"
    outcome = await answered(offering(EVERYTHING), *in_pieces(text, 9))
    assert outcome.faults == ["arguments_syntax", "arguments_type", "name", "text_tagged"]


def test_repairs_are_counted():
    events = EventBus()
    metrics = Metrics(events)
    for fault in ("text_json", "name", "text_json"):
        events.publish(ToolCallRepaired(1, "scripted", fault))
    assert metrics.snapshot()["tool_repairs"] == {"text_json": 2, "name": 1}
