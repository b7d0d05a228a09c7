"""What is done about each kind of error, as a table."""

import pytest

from fireside.core.errors import ERRORS, ErrorKind
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import ChatRequest, Sampling
from fireside.gateway.recovery import Facts, Step, decide, shrink

ALONE = Facts()
OTHERS = Facts(others=True)
WIDER = Facts(others=True, wider=True)
PULL = Facts(others=True, may_pull=True)
SHRINK = Facts(others=True, may_shrink=True)

TABLE = [
    # kind, context, attempt, facts, step
    ("connection", {"cause": "reset"}, 0, ALONE, Step.RETRY),
    ("connection", {"cause": "reset"}, 0, OTHERS, Step.RETRY),
    ("connection", {"cause": "reset"}, 2, OTHERS, Step.NEXT),
    ("connection", {"cause": "reset"}, 2, ALONE, Step.GIVE_UP),
    ("connection", {"cause": "refused"}, 0, OTHERS, Step.NEXT),
    ("connection", {"cause": "refused"}, 0, ALONE, Step.RETRY),
    ("connection", {"cause": "breaker", "retryable": False}, 0, ALONE, Step.GIVE_UP),
    ("model_not_found", {}, 0, ALONE, Step.GIVE_UP),
    ("model_not_found", {}, 0, OTHERS, Step.NEXT),
    ("model_not_found", {}, 0, PULL, Step.PULL),
    ("timeout", {"phase": "first_token"}, 0, OTHERS, Step.NEXT),
    ("timeout", {"phase": "load"}, 0, ALONE, Step.GIVE_UP),
    ("resource", {}, 0, OTHERS, Step.NEXT),
    ("resource", {}, 0, ALONE, Step.GIVE_UP),
    ("resource", {"retryable": True}, 0, ALONE, Step.RETRY),
    ("rate_limit", {"retry_after": 1.5}, 0, OTHERS, Step.RETRY),
    ("rate_limit", {"retry_after": 30}, 0, OTHERS, Step.NEXT),
    ("rate_limit", {"retry_after": 30}, 0, ALONE, Step.GIVE_UP),
    ("rate_limit", {}, 0, OTHERS, Step.NEXT),
    ("rate_limit", {}, 0, ALONE, Step.RETRY),
    ("rate_limit", {"retry_after": 1.5}, 2, ALONE, Step.GIVE_UP),
    ("validation", {}, 0, WIDER, Step.GIVE_UP),
    ("validation", {"retryable": True}, 0, WIDER, Step.GIVE_UP),
    ("tool_execution", {}, 0, WIDER, Step.GIVE_UP),
    ("permission", {}, 0, WIDER, Step.GIVE_UP),
    ("context_length", {}, 0, WIDER, Step.NEXT),
    ("context_length", {}, 0, OTHERS, Step.GIVE_UP),
    ("context_length", {}, 0, SHRINK, Step.SHRINK),
    ("unknown", {}, 0, OTHERS, Step.NEXT),
    ("unknown", {}, 0, ALONE, Step.GIVE_UP),
]


@pytest.mark.parametrize(("kind", "context", "attempt", "facts", "step"), TABLE)
def test_each_error_has_its_remedy(kind, context, attempt, facts, step):
    assert decide(ERRORS[ErrorKind(kind)]("it went wrong", **context), attempt, facts).step is step


def test_the_table_holds_every_kind():
    assert {kind for kind, *_ in TABLE} == set(ErrorKind)


@pytest.mark.parametrize("kind", ErrorKind)
def test_after_the_first_content_nothing_is_tried_again(kind):
    everything = Facts(started=True, others=True, wider=True, may_pull=True, may_shrink=True)
    assert decide(ERRORS[kind]("it went wrong", retryable=True), 0, everything).step is Step.GIVE_UP


def test_a_short_wait_that_was_named_is_taken_as_named():
    error = ERRORS[ErrorKind.RATE_LIMIT]("slow down", retry_after=1.5)
    assert decide(error, 0, ALONE).wait == 1.5


def conversation(*turns: str) -> tuple[Message, ...]:
    spoken = [Message("user" if index % 2 == 0 else "assistant", text) for index, text in enumerate(turns)]
    return (Message("system", "be brief"), *spoken)


def test_shrinking_drops_the_oldest_turns_and_keeps_the_system_message():
    request = ChatRequest(
        conversation("a" * 400, "b" * 400, "c" * 400, "d" * 400, "now?"), sampling=Sampling(max_tokens=50)
    )
    shorter, left_out = shrink(request, prompt_tokens=500, window=400)
    assert left_out == 2
    assert [message.content[:1] for message in shorter.messages] == ["b", "c", "d", "n"]
    assert shorter.messages[0].role == "system"


def test_a_tool_result_never_loses_its_call():
    call = Message("assistant", "", tool_calls=(ToolCall("1", "read", "{}"),))
    messages = (
        Message("user", "x" * 300), call, Message("tool", "y" * 300, tool_call_id="1"), Message("assistant", "so"), Message("user", "and?"),
    )  # fmt: skip
    shorter, left_out = shrink(ChatRequest(messages), prompt_tokens=200, window=150)
    assert shorter.messages == (Message("user", "and?"),)
    assert left_out == 4


def test_a_last_turn_that_is_too_long_alone_cannot_be_shrunk():
    assert shrink(ChatRequest(conversation("short", "short", "x" * 4000)), prompt_tokens=1000, window=500) is None
