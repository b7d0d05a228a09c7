"""A conversation as the ``context`` of ``/api/generate``: a list of whole numbers that a client keeps and sends back, as it does tokens.

Ours are not tokens, for the next answer may come from another model with other tokens. The turns are written as JSON, and each two bytes
of it are one number, with a mark before them. A list that does not begin with the mark is another server's and cannot be read.
"""

import struct
from collections.abc import Sequence

import msgspec

from fireside.core.messages import Message

MARK = 0x4653
MOST = 0xFFFF
BLANK = b" "


class Turn(msgspec.Struct, array_like=True):
    """``said``: u for the user, a for the assistant, s for the system."""

    said: str
    text: str


ROLES = {"u": "user", "a": "assistant", "s": "system"}
_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(list[Turn]).decode


def write_context(messages: Sequence[Message], answer: str) -> list[int]:
    """The conversation with its newest answer. Pictures and tool calls are left out."""
    turns = [Turn(message.role[0], message.content) for message in messages if message.role[0] in ROLES]
    data = _write([*turns, Turn("a", answer)])
    if len(data) % 2:
        data += BLANK
    return [MARK, *struct.unpack(f"<{len(data) // 2}H", data)]


def read_context(numbers: Sequence[object]) -> tuple[Message, ...]:
    """The turns; none for a list that is not ours."""
    if len(numbers) < 2 or numbers[0] != MARK:
        return ()
    try:
        turns = _read(struct.pack(f"<{len(numbers) - 1}H", *numbers[1:]))
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError):
        return ()
    if any(turn.said not in ROLES for turn in turns):
        return ()
    return tuple(Message(ROLES[turn.said], turn.text) for turn in turns)  # type: ignore[arg-type]
