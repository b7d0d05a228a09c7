"""Text that is no Unicode: what an engine is given is, and no engine is blamed for it."""

from fireside.core.messages import Message, ToolCall
from fireside.core.requests import ChatRequest, CompletionRequest, Snippet
from fireside.engines.scripted import ScriptedEngine
from fireside.gateway.texts import scan, sendable
from support.gateways import ask, fill, opened, text_of

HALF = "caf\udce9 \ud83d"
WHOLE = "caf\ufffd \ufffd"


async def test_half_a_character_reaches_no_engine():
    engine = ScriptedEngine("chat", "code")
    async with opened(engine) as (gateway, _):
        assert await text_of(gateway.chat(ask(HALF))) == "chat"
        assert await text_of(gateway.complete(fill(HALF))) == "code"
        assert await gateway.count_tokens(HALF) == await gateway.count_tokens(WHOLE)
        assert len(await gateway.embed([HALF])) == 1
    first, second = engine.requests
    assert isinstance(first, ChatRequest)
    assert isinstance(second, CompletionRequest)
    assert (first.messages[0].content, second.prefix) == (WHOLE, WHOLE)


def test_everything_that_was_written_is_looked_at():
    call = ToolCall("1", "read", f'{{"path": "{HALF}"}}')
    chat = sendable(ChatRequest((Message("user", "x"), Message("assistant", HALF, (call,)))))
    assert chat.messages[1] == Message("assistant", WHOLE, (ToolCall("1", "read", f'{{"path": "{WHOLE}"}}'),))
    code = sendable(CompletionRequest("a", HALF, HALF, (Snippet(HALF, HALF),)))
    assert code == CompletionRequest("a", WHOLE, WHOLE, (Snippet(WHOLE, WHOLE),))


def test_two_halves_that_belong_together_are_one():
    assert sendable(ask("\ud83d\ude00")).messages[0].content == "\U0001f600"


def test_what_can_be_sent_stays_as_it_is():
    request = ask("h\u00e9llo \U0001f600")
    assert scan(request) == (request, len("h\u00e9llo \U0001f600".encode()))
    assert scan(request)[0] is request
