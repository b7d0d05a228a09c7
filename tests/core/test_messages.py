"""The central types hold still: frozen, comparable, hashable where they can be, with defaults that mean "nothing asked"."""

import dataclasses

import pytest

from fireside.core import messages, requests, turns
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Priority, Usage
from fireside.core.turns import Citation

TYPES = [
    kind
    for module in (messages, requests, turns)
    for kind in vars(module).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_central_type_is_frozen_and_slotted(kind):
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_equal_messages_are_equal_and_can_be_kept_in_a_set():
    call = ToolCall("1", "read", '{"path": "a.py"}')
    assert len({Message("assistant", "", (call,)), Message("assistant", "", (call,)), Message("assistant", "x")}) == 2


def test_typing_goes_before_chat_before_agent_before_batch():
    assert sorted(Priority) == [Priority.TYPING, Priority.CHAT, Priority.AGENT, Priority.BATCH]
    assert CompletionRequest("").priority < ChatRequest(()).priority


@pytest.mark.parametrize(
    ("delta", "visible"),
    [
        (Delta(), False),
        (Delta(finish_reason="stop"), False),
        (Delta(usage=Usage(1, 1)), False),
        (Delta(engine="e", model="m"), False),
        (Delta(text="a"), True),
        (Delta(text=" "), True),
        (Delta(reasoning="hm"), True),
        (Delta(tool_call=ToolCall("1", "f", "{}")), True),
    ],
)
def test_only_what_a_reader_would_see_is_content(delta, visible):
    assert delta.has_content is visible


def test_a_citation_reads_as_path_and_lines():
    assert str(Citation("src/a.py", 3, 9, "main")) == "src/a.py:3-9"
