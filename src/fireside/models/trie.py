"""The tokens a model knows, ordered so that all that begin alike stand together; and which end of a text it should write again.

A text that is cut at the cursor is cut into other tokens than the whole text would be: after ``self.wid`` no model trained on whole files
expects ``th``, because it has only ever seen ``.width``. So the end of the prompt is taken back and the answer held to begin with it
(token healing; Lundberg, "The art of prompt design: prompt boundaries and token healing", 2023). Knows spellings; runs no model.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Literal

from fireside.models.header import STRING, Header

LONGEST = 48
CONTROL_TOKEN = 3
SPELLINGS: dict[str, "Spelling"] = {"gpt2": "bytes", "llama": "sentencepiece"}
# The last piece of a text that tokenizers cut before they look for tokens: a word with the sign before it, digits, signs, or blanks, with
# the line break before them, which some tokenizers join to the indentation.
LAST_PIECE = re.compile(r"(?:(?:[^\w\r\n]|_)?[^\W\d_]{1,47}|\d{1,3}| ?(?:[^\w\s]|_){1,47}|\n?[ \t]{1,47})\Z")

Spelling = Literal["bytes", "sentencepiece", "plain"]


class TokenTrie:
    """``tokens``: as the vocabulary writes them, by number; "" for those that are no text. ``spelling``: bytes as GPT-2's alphabet writes
    them, or blanks as SentencePiece does.
    """

    def __init__(self, tokens: Sequence[bytes | str], *, spelling: Spelling = "bytes") -> None:
        spelled = (token.encode() if isinstance(token, str) else token for token in tokens)
        ordered = sorted((token, number) for number, token in enumerate(spelled) if token)
        self._tokens = [token for token, _ in ordered]
        self._numbers = [number for _, number in ordered]
        self._spelling: Spelling = spelling

    def taken(self, text: str) -> int:
        """How many characters of the end of ``text`` the model should write again; 0 where no token reaches over the end."""
        piece = last_piece(text)
        spelled = [self.spelled(character) for character in piece]
        reached: dict[int, bool] = {}
        return next((len(piece) - start for start in range(len(piece)) if self._reaches(spelled, start, reached)), 0)

    def _reaches(self, spelled: list[bytes], start: int, reached: dict[int, bool]) -> bool:
        """Whether tokens from ``start`` on lead over the end, the first of them being more than what one character would be."""
        if start not in reached:
            rest = b"".join(spelled[start:])
            reached[start] = self._longer(rest) or any(
                b"".join(spelled[start:end]) in self and self._reaches(spelled, end, reached)
                for end in range(start + 2, len(spelled))
            )
        return reached[start]

    def allowed(self, rest: bytes) -> Iterator[int]:
        """Numbers of the tokens that may come next in an answer held to begin with ``rest``: its beginnings, and what reaches over it.

        ``rest``: as ``spelled`` gives it. All tokens are allowed when it is empty.
        """
        for end in range(1, len(rest)):
            yield from self._numbers[bisect_left(self._tokens, rest[:end]) : bisect_right(self._tokens, rest[:end])]
        begin = bisect_left(self._tokens, rest)
        yield from self._numbers[begin : bisect_left(self._tokens, _behind(rest), lo=begin)]

    def spelled(self, text: str) -> bytes:
        """A text as the vocabulary would write it."""
        if self._spelling == "sentencepiece":
            text = text.replace(" ", "▁")
        elif self._spelling == "bytes":
            alphabet = byte_alphabet()
            text = "".join(alphabet[byte] for byte in text.encode("utf-8", "replace"))
        return text.encode("utf-8", "replace")

    def _longer(self, beginning: bytes) -> bool:
        """Whether a token begins so and goes on."""
        place = bisect_right(self._tokens, beginning)
        return place < len(self._tokens) and self._tokens[place].startswith(beginning)

    def __contains__(self, token: bytes) -> bool:
        place = bisect_left(self._tokens, token)
        return place < len(self._tokens) and self._tokens[place] == token


def trie_of(header: Header) -> TokenTrie | None:
    """The tokens of a GGUF, without its control tokens; ``None`` for a spelling that is not known here. Takes about 0.1 s for 150,000."""
    spelling = SPELLINGS.get(header.text("tokenizer.ggml.model"))
    tokens, types = header.array("tokenizer.ggml.tokens"), header.array("tokenizer.ggml.token_type")
    if spelling is None or tokens is None or tokens.kind != STRING:
        return None
    kinds: Iterable[object] = (
        types if types is not None and len(types) == len(tokens) else (0 for _ in range(len(tokens)))
    )
    texts = [b"" if kind == CONTROL_TOKEN else text for text, kind in zip(tokens.texts(), kinds, strict=True)]
    return TokenTrie(texts, spelling=spelling)


def last_piece(text: str) -> str:
    """The end of ``text`` that a tokenizer would look at as one piece; never more than ``LONGEST`` characters. "" after a line break."""
    found = LAST_PIECE.search(text[-LONGEST:])
    return found[0] if found else ""


@cache
def byte_alphabet() -> tuple[str, ...]:
    """One printable character per byte (Radford et al., GPT-2, ``bytes_to_unicode``)."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(hidden)) for byte in range(256))


def _behind(beginning: bytes) -> bytes:
    """Sorts behind everything that begins so: UTF-8 has no byte 0xFF."""
    return beginning + b"\xff"
