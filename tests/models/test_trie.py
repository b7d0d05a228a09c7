"""The model writes again what a longer token of its vocabulary could reach over, and no more."""

from pathlib import Path

import pytest

from fireside.models.gguf import read_header
from fireside.models.trie import LONGEST, TokenTrie, last_piece, trie_of
from support.tiny import tiny_gguf

WORDS = [
    "Ġ",
    "ĠĠ",
    "ĠĠĠ",
    "Ġreturn",
    "re",
    "ret",
    "self",
    ".",
    ".w",
    ".width",
    "wid",
    "id",
    "idth",
    "(",
    "()",
    "Ċ",
    "x",
    "=",
]


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("x = ret", " ret"),
        ("x=re", "re"),
        ("    ret", " ret"),
        ("self.wid", ".wid"),
        ("f(", "("),
        ("if x:\n  ", "  "),
        ("x", ""),
        ("self.width", ""),
        ("x =", ""),
        ("x\n", ""),
        ("", ""),
    ],
)
def test_as_much_is_taken_back_as_some_token_reaches_over(text: str, taken: str):
    trie = TokenTrie([*WORDS, "Ġreturned"])
    assert text[len(text) - trie.taken(text) :] == taken


def test_a_line_break_goes_with_the_blanks_only_where_tokens_join_them():
    joined = TokenTrie([*WORDS, "ĊĠĠ", "ĊĠĠĠ"])
    assert joined.taken("x:\n  ") == 3
    assert TokenTrie(WORDS).taken("x:\n  ") == 2


def test_sentencepiece_writes_a_blank_in_its_own_way():
    trie = TokenTrie(["▁return", "▁", "x"], spelling="sentencepiece")
    assert trie.taken("x = ret") == 0 or trie.spelled(" ret") == "▁ret".encode()
    assert trie.taken("x ret") == 4


def test_allowed_are_the_beginnings_of_the_rest_and_what_reaches_over_it():
    tokens = ["a", "ab", "abc", "abd", "b", "ac", ""]
    trie = TokenTrie(tokens)
    assert {tokens[number] for number in trie.allowed(b"ab")} == {"a", "ab", "abc", "abd"}
    assert {tokens[number] for number in trie.allowed(b"b")} == {"b"}
    assert not list(trie.allowed(b"z"))


def test_letters_beyond_ascii_are_spelled_byte_by_byte():
    trie = TokenTrie(["Ã¼ber"])
    assert trie.spelled("ü") == "Ã¼".encode()
    assert trie.taken("x = ü") == 1


def test_what_is_taken_back_has_an_end():
    assert len(last_piece("a" * 500)) <= LONGEST
    assert len(last_piece(" " * 500)) <= LONGEST


def test_the_tokens_of_a_file_are_without_its_control_tokens():
    trie = trie_of(read_header(tiny_gguf()))
    assert trie is not None
    assert b"th" in trie
    assert b"<|fim_prefix|>" not in trie
    assert trie.taken("x = th") > 0


def test_a_vocabulary_in_a_spelling_nobody_knows_is_left_alone(tmp_path: Path):
    from fireside.models.gguf_writer import write

    path = write(tmp_path / "a.gguf", {"general.architecture": "bert", "tokenizer.ggml.model": "bert"}, [])
    assert trie_of(read_header(path)) is None
