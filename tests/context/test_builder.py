"""The prompt: what stands first, what is left out, and that it says so."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.context.budget import Budget, estimate
from fireside.context.builder import SYSTEM, Attachment, build, cite
from fireside.core.errors import ContextTooLong
from fireside.core.messages import Message
from fireside.core.turns import Citation
from fireside.index.chunks import Chunk, Hit


def hit(path: str, text: str, start: int = 1, symbol: str = "") -> Hit:
    return Hit(Chunk(path, start, start + text.count("\n"), text, "python", symbol), 1.0)


def roomy() -> Budget:
    return Budget.for_window(16_000, answer=512)


def test_the_system_prompt_is_first_and_the_question_last():
    built = build("where is it?", [hit("a.py", "x = 1")], budget=roomy())
    assert [message.role for message in built.messages] == ["system", "user"]
    assert built.messages[0].content == SYSTEM
    assert built.messages[-1].content.endswith("Question: where is it?")


def test_an_excerpt_is_named_by_its_place_and_symbol():
    built = build("q", [hit("src/a.py", "def f():\n    return 1", 10, "f")], budget=roomy())
    assert "### src/a.py:10-11 (f)\n```python\ndef f():" in built.messages[-1].content
    assert [str(citation) for citation in built.citations] == ["src/a.py:10-11"]


def test_earlier_turns_are_sent_again_byte_for_byte():
    first = build("one?", [hit("a.py", "a = 1")], budget=roomy())
    history = [first.question, Message("assistant", "It is 1.")]
    second = build("two?", [hit("b.py", "b = 2")], budget=roomy(), history=history)
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[2].content == "It is 1."


def test_excerpts_that_do_not_fit_are_left_out_by_name():
    hits = [hit(f"{number}.py", "value = 1\n" * 200) for number in range(10)]
    built = build("q", hits, budget=Budget.for_window(3000, answer=500))
    assert 0 < len(built.citations) < 10
    missing = [str(cite(one.chunk)) for one in hits[len(built.citations) :]]
    assert built.left_out == (
        f"{len(missing)} of 10 excerpts found: {', '.join(missing[:6])} and {len(missing) - 6} more",
    )


def test_the_prompt_never_exceeds_what_the_window_leaves():
    hits = [hit(f"{number}.py", "value = compute(argument)\n" * 40) for number in range(30)]
    history = [Message("user" if turn % 2 == 0 else "assistant", f"turn {turn} " * 100) for turn in range(20)]
    budget = Budget.for_window(4096, answer=1024)
    built = build("why?", hits, budget=budget, history=history, attachments=[Attachment("stdin", "line\n" * 500)])
    assert sum(estimate(message.content) for message in built.messages) <= 4096 - 1024
    assert budget.left >= 0


TURN = st.tuples(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60)), max_size=6),
    st.integers(0, 3_000),
    st.one_of(st.none(), st.integers(1, 9_000)),
)


@settings(max_examples=60)
@given(
    st.lists(TURN, min_size=2, max_size=12), st.sampled_from([1_500, 4_096, 9_216]), st.sampled_from([0.7, 1.0, 1.4])
)
def test_every_prompt_begins_with_the_one_before_byte_for_byte_unless_it_was_cut_and_a_cut_halves(turns, window, scale):
    history: list[Message] = []
    before: tuple[Message, ...] = ()
    for question, places, answer, handed in turns:
        hits = [hit(f"{name}.py", f"line of {name}\n" * lines) for name, lines in places]
        attachments = [Attachment("handed.txt", "x\n" * handed)] if handed else []
        budget = Budget.for_window(window, answer=512, scale=scale)
        given_room = Budget.for_window(window, answer=512, scale=scale)
        built = build(question, hits, budget=budget, history=history, attachments=attachments)
        assert sum(ceil(estimate(one.content) * scale) for one in built.messages) <= window - budget.answer
        kept = built.messages[1:-1]
        if built.dropped:
            assert any("earlier messages" in line for line in built.left_out)
            assert kept == tuple(history[built.dropped :])
            costs = sum(budget.cost(one.content) for one in kept)
            assert len(kept) <= 2 or costs <= given_room.left // 2
            assert not kept or kept[0].role == "user"
        else:
            assert built.messages[: len(before)] == before
        said = Message("assistant", "word " * answer)
        history = [*history[built.dropped :], built.question, said]
        before = (*built.messages, said)


def test_after_a_cut_the_prefix_stays_for_several_turns():
    history: list[Message] = []
    cuts = 0
    for turn in range(40):
        built = build(f"question {turn}?", [], budget=Budget.for_window(6000, answer=500), history=history)
        cuts += built.dropped > 0
        history = [*history[built.dropped :], built.question, Message("assistant", "word " * 150)]
    assert 1 <= cuts <= 5


def test_the_last_turn_stays_although_it_leaves_little_room_for_excerpts():
    history = [Message("user", "log line\n" * 900), Message("assistant", "It failed.")]
    hits = [hit("a.py", "value = 1\n" * 600)]
    built = build("and why?", hits, budget=Budget.for_window(4_500, answer=500), history=history)
    assert built.messages[1:3] == tuple(history)
    assert not built.citations


def test_an_excerpt_that_an_earlier_turn_shows_is_only_pointed_at():
    first = build("one?", [hit("a.py", "a = 1\n" * 30, symbol="a")], budget=roomy())
    history = [first.question, Message("assistant", "It is 1.")]
    second = build("two?", [hit("a.py", "a = 1\n" * 30, symbol="a")], budget=roomy(), history=history)
    assert second.question.content == "### a.py:1-31 (a) as shown above\n\nQuestion: two?"
    assert [str(place) for place in second.citations] == ["a.py:1-31"]


def test_lines_that_were_named_are_not_shown_again_as_excerpts():
    named = Attachment("a.py", "one\ntwo\nthree", "python", Citation("a.py", 1, 3))
    inside, across = hit("a.py", "two", 2), hit("a.py", "three\nfour\nfive", 3)
    built = build("q", [inside, across], budget=roomy(), attachments=[named])
    assert [str(place) for place in built.citations] == ["a.py:1-3", "a.py:4-5"]
    assert built.question.content.count("three") == 1


def test_a_file_that_does_not_fit_is_outlined_and_its_lines_may_still_be_excerpts():
    lines = "value = compute(1)\n" * 2_000
    named = Attachment("a.py", lines, "python", Citation("a.py", 1, 2_000), outline="1: value")
    budget = Budget.for_window(4_096, answer=512)
    built = build("q", [hit("a.py", "value = compute(1)", 900)], budget=budget, attachments=[named])
    assert "### a.py (outline)\n```\n1: value\n```" in built.question.content
    assert built.left_out == ("a.py: only its outline fits",)
    assert [str(place) for place in built.citations] == ["a.py:900-900"]


def test_a_file_without_outline_is_cut_at_a_line_and_cited_as_far_as_it_is_shown():
    named = Attachment("a.txt", "a line of text\n" * 2_000, place=Citation("a.txt", 1, 2_000))
    built = build("q", [], budget=Budget.for_window(4_096, answer=512), attachments=[named])
    shown = built.question.content.count("a line of text\n")
    assert 100 < shown < 2_000
    assert [str(place) for place in built.citations] == [f"a.txt:1-{shown}"]
    assert f"### a.txt:1-{shown}\n" in built.question.content


def test_texts_share_the_room_and_a_short_one_leaves_its_share_to_others():
    given = [
        Attachment("long.txt", "x\n" * 20_000),
        Attachment("short.txt", "short"),
        Attachment("other.txt", "y\n" * 20_000),
    ]
    built = build("q", [], budget=Budget.for_window(4_096, answer=512), attachments=given)
    assert [line.split(":")[0] for line in built.left_out] == ["long.txt", "other.txt"]
    content = built.question.content
    assert "short" in content
    assert content.count("x\n") > 1_000
    assert content.count("y\n") > content.count("x\n")


def test_what_nobody_asked_for_goes_in_whole_or_not_at_all():
    extras = [
        Attachment(f"{name}.py", "x = 1\n" * lines, optional=True) for name, lines in (("small", 10), ("big", 3_000))
    ]
    built = build("q", [], budget=Budget.for_window(4_096, answer=512), attachments=extras)
    assert "### small.py" in built.question.content
    assert built.left_out == ("the text of big.py",)


def test_a_tokenizer_that_needs_fewer_tokens_leaves_more_room():
    hits = [hit(f"{number}.py", "value = 1\n" * 100) for number in range(20)]
    few = build("q", hits, budget=Budget.for_window(4_096, answer=512))
    many = build("q", hits, budget=Budget.for_window(4_096, answer=512, scale=0.5))
    assert len(few.citations) < len(many.citations)


def test_an_attachment_too_long_is_cut_at_its_end_and_said():
    built = build(
        "q", [], budget=Budget.for_window(2000, answer=500), attachments=[Attachment("standard input", "é" * 50_000)]
    )
    assert "standard input: only its first" in built.left_out[0]
    assert "\ufffd" not in built.messages[-1].content


@pytest.mark.parametrize(
    "attachments",
    [
        [Attachment("a.py", "`" * 5_000)],
        [Attachment("n" * 9_000, "")],
        [Attachment(f"{number}.py", "x\n" * 40) for number in range(400)],
        [Attachment("a.py", "word " * 9_000), Attachment("b.py", "\n" * 9_000)],
        [Attachment("\ud800.py", "\ud800" * 9_000)],
    ],
)
def test_no_attachment_makes_the_prompt_exceed_the_window(attachments):
    budget = Budget.for_window(2000, answer=500)
    built = build("why \ud800?", [hit("a.py", "x = 1\n" * 50)], budget=budget, attachments=attachments)
    assert sum(estimate(message.content) for message in built.messages) <= 2000 - 500
    assert all(message.content.encode() for message in built.messages)
    assert built.left_out or len(attachments) == 1


def test_a_question_longer_than_the_window_is_refused_with_both_numbers():
    with pytest.raises(ContextTooLong) as caught:
        build("word " * 10_000, [], budget=Budget.for_window(2048, answer=512))
    assert caught.value.context["context_window"] == 2048
    assert caught.value.remedy


def test_no_text_can_end_its_own_fence():
    built = build("q", [hit("a.md", "````\nnot the end\n```")], budget=roomy())
    content = built.messages[-1].content
    assert "`````" in content
    assert content.count("`````") == 2


def test_an_unknown_window_is_taken_to_be_small():
    assert Budget.for_window(0, answer=100).window == 4096
    assert Budget.for_window(600, answer=1024).answer == 300
