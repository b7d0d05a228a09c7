"""The prompt: what stands first, what is left out, and that it says so."""

import pytest

from fireside.context.budget import Budget, estimate
from fireside.context.builder import SYSTEM, Attachment, build
from fireside.core.errors import ContextTooLong
from fireside.core.messages import Message
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


def test_excerpts_that_do_not_fit_are_left_out_by_count():
    hits = [hit(f"{number}.py", "value = 1\n" * 200) for number in range(10)]
    built = build("q", hits, budget=Budget.for_window(3000, answer=500))
    assert 0 < len(built.citations) < 10
    assert built.left_out == (f"{10 - len(built.citations)} of 10 excerpts found",)


def test_the_prompt_never_exceeds_what_the_window_leaves():
    hits = [hit(f"{number}.py", "value = compute(argument)\n" * 40) for number in range(30)]
    history = [Message("user" if turn % 2 == 0 else "assistant", f"turn {turn} " * 100) for turn in range(20)]
    budget = Budget.for_window(4096, answer=1024)
    built = build("why?", hits, budget=budget, history=history, attachments=[Attachment("stdin", "line\n" * 500)])
    assert sum(estimate(message.content) for message in built.messages) <= 4096 - 1024
    assert budget.left >= 0


def test_old_turns_leave_in_blocks_so_that_the_prefix_stays_the_same_for_a_while():
    history = [Message("user" if turn % 2 == 0 else "assistant", f"turn {turn} " + "word " * 150) for turn in range(40)]
    first = build("a?", [], budget=Budget.for_window(6000, answer=500), history=history)
    later = [*history, Message("user", "a?"), Message("assistant", "yes")]
    second = build("b?", [], budget=Budget.for_window(6000, answer=500), history=later)
    assert first.left_out
    assert "earlier messages" in first.left_out[0]
    assert first.messages[1].role == second.messages[1].role == "user"


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
