"""Text comes out as it went in, however the network and the tokenizer cut its bytes."""

import pytest

from fireside.core.messages import Message
from support.answers import read
from support.subject import Says, Subject

TEXTS = {
    "emoji of four bytes": "ok 👍 done 🎉🎉",
    "a family of joined emoji": "👩‍👩‍👧‍👦 and 🏳️‍🌈",
    "flags": "🇩🇪🇯🇵🇧🇷",
    "combining marks": "e\u0301 a\u0308 n\u0303",
    "Chinese and Japanese": "你好，世界。こんにちは",
    "right to left": "שלום مرحبا",
    "outside the first plane": "𝔘𝔫𝔦 𐍈 𝟘",
    "line ends of Windows": "one\r\ntwo\r\n",
    "tabs": "\tif x:\n\t\treturn",
    "quotes and backslashes": "say \"a\\b\" \\n 'c'",
    "separators JSON forgets": "a\u2028b\u2029c\u0085d",
    "what looks like the protocol": "data: [DONE]\n\ndata: {}\n\nevent: error\n",
    "JSON in words": '{"error": {"message": "no"}}',
    "markup": "<b>&amp;</b> <!-- --> <p>",
    "invisible": "a\u200bb\ufeffc\u00add",
}


@pytest.mark.parametrize("case", TEXTS)
async def test_text_arrives_unchanged(subject: Subject, case):
    says = Says(text=TEXTS[case])
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


@pytest.mark.parametrize("split", [1, 2, 3, 7])
async def test_text_arrives_unchanged_however_its_bytes_are_cut(subject: Subject, split):
    says = Says(text="né 👍 你好\r\n𝔘 end", split=split)
    subject.check_said(await read(subject.engine.chat(subject.ask(says), subject.card)), says)


async def test_every_piece_is_text_by_itself(subject: Subject):
    """No half of a surrogate pair: each delta can be encoded alone."""
    answer = await read(subject.engine.chat(subject.ask(Says(text="👍🎉👩‍👩‍👧‍👦" * 20)), subject.card))
    for delta in answer.deltas:
        delta.text.encode("utf-8")


async def test_a_question_may_hold_any_character(subject: Subject):
    content = '\t👍 你好 \r\n \u2028 \x01 "quoted" \\ </s> <|im_end|>'
    answer = await read(subject.engine.chat(subject.ask(messages=(Message("user", content),)), subject.card))
    assert answer.finish is not None
