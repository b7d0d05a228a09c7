"""Tokens to text, on a tokenizer that cuts every character apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.engines.hf_checkpoint import LONGEST_CHARACTER, Speech


class ByteTokenizer:
    """One token a byte, as a byte-level tokenizer falls back to for anything rare."""

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        return bytes(tokens).decode("utf-8", "replace")


class WordTokenizer:
    """Drops the blank before the first token, as SentencePiece tokenizers do."""

    WORDS = ("▁one", "▁two", "teen", "▁three")

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        return "".join(self.WORDS[token] for token in tokens).replace("▁", " ").removeprefix(" ")


def said(text: str, *stops: str) -> list[str]:
    speech = Speech(ByteTokenizer(), stops)
    pieces = []
    for byte in text.encode():
        pieces.append(speech.add(byte))
        if speech.stopped:
            return pieces
    return [*pieces, speech.end()]


@given(st.text())
def test_any_text_comes_out_whole(text):
    assert "".join(said(text)) == text


@given(
    st.text(alphabet="ab\n👍é", max_size=30), st.lists(st.text(alphabet="ab\n👍", min_size=1, max_size=3), max_size=3)
)
def test_a_stop_sequence_ends_the_text_wherever_its_bytes_were_cut(text, stops):
    ends = [text.index(stop) for stop in stops if stop in text]
    heard = "".join(said(text, *stops))
    if not ends:
        assert heard == text
    else:
        # Text comes byte by byte, so the stop that is complete first wins, not the one that begins first.
        assert all(stop not in heard for stop in stops)
        assert text.startswith(heard)


def test_no_piece_holds_half_a_character():
    assert [piece for piece in said("a👍b") if piece] == ["a", "👍", "b"]


def test_what_may_become_a_stop_sequence_is_held_back():
    assert [piece for piece in said("x\n\ny\n\n\n", "\n\n\n") if piece] == ["x", "\n\ny"]


def test_bytes_that_are_no_text_do_not_hold_the_rest_up():
    speech = Speech(ByteTokenizer(), ())
    heard = "".join(speech.add(0x80) for _ in range(LONGEST_CHARACTER * 3))
    assert len(heard) >= LONGEST_CHARACTER * 2


def test_blanks_between_words_are_kept_where_a_tokenizer_drops_the_first_one():
    speech = Speech(WordTokenizer(), ())
    assert "".join([*(speech.add(token) for token in (0, 1, 2, 3)), speech.end()]) == "one twoteen three"


@pytest.mark.hf
def test_limits_leave_what_they_name():
    import torch

    from fireside.core.requests import Sampling
    from fireside.engines.hf_checkpoint import draw

    logits = torch.tensor([2.0, 1.9, 1.0, -5.0])

    def drawn(**sampling: object) -> set[int]:
        generator = torch.Generator().manual_seed(1)
        return {draw(logits, {0}, Sampling(temperature=1.0, **sampling), generator) for _ in range(300)}

    assert drawn() >= {0, 1, 2}
    assert drawn(top_k=1) == {0}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.1) == {0}
    assert drawn(min_p=0.8) == {0, 1}
    assert draw(logits, {0}, Sampling(), None) == 0
    assert draw(logits, {0}, Sampling(repeat_penalty=1.5), None) == 1, "what was said before is less likely"
