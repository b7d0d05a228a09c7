"""What only shows a tool call is never made one, however it comes in."""

import random

import pytest

from fireside.core.requests import Delta, ResponseFormat
from support.toolcall_cases.shown import CALL, SHOWN, TAGGED
from support.toolcall_cases.streams import answered, in_pieces
from support.toolcall_cases.tools import CLIENTS, EVERYTHING, offering


def test_there_are_enough_of_them():
    assert len(SHOWN) >= 120


@pytest.mark.parametrize("text", SHOWN.values(), ids=SHOWN.keys())
async def test_an_answer_that_shows_something_keeps_every_byte(text: str):
    dice = random.Random(text)
    for pieces in ([[Delta(text=text)]], in_pieces(text, 1), *(in_pieces(text, dice) for _ in range(4))):
        outcome = await answered(offering(EVERYTHING), *pieces)
        assert (outcome.text, outcome.calls, outcome.finish, outcome.faults) == (text, [], "stop", [])


@pytest.mark.parametrize("client", CLIENTS)
async def test_nor_does_any_agents_own_set_of_tools_change_one(client: str):
    tools, _, _ = CLIENTS[client]
    for text in SHOWN.values():
        outcome = await answered(offering(tools), *in_pieces(text, 7))
        assert (outcome.text, outcome.calls) == (text, [])


@pytest.mark.parametrize(
    "text", [CALL, f"```json\n{CALL}\n```", f"I read.\n```json\n{CALL}\n```", "read_file(path='a')"]
)
async def test_an_answer_that_was_asked_for_as_json_is_no_call(text: str):
    outcome = await answered(offering(EVERYTHING, response_format=ResponseFormat()), *in_pieces(text, 3))
    assert (outcome.text, outcome.calls) == (text, [])


@pytest.mark.parametrize("text", [CALL, TAGGED, f"I read.\n```json\n{CALL}\n```"])
@pytest.mark.parametrize("finish", ["length", "cancelled"])
async def test_an_answer_that_did_not_come_to_its_end_is_no_call(text: str, finish: str):
    outcome = await answered(offering(EVERYTHING), *in_pieces(text, 3), finish=finish)
    assert (outcome.text, outcome.calls, outcome.finish) == (text, [], finish)


async def test_a_call_in_a_thought_is_no_call():
    outcome = await answered(offering(EVERYTHING), [Delta(reasoning=TAGGED)], [Delta(reasoning=CALL)])
    assert (outcome.reasoning, outcome.calls, outcome.finish) == (TAGGED + CALL, [], "stop")
