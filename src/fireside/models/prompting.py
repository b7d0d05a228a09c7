"""Requests as the text a model was trained on: fill-in-the-middle prompts, and chats for engines that only complete.

Most engines are handed messages and apply the model's own template; this room is for the raw ones.

**Nobody breaks out.** An engine reads control tokens wherever they stand, so ``<|fim_suffix|>`` inside the user's code would end the
prefix, and ``<|im_end|>`` inside a quoted log would end the turn. A blank is put after the first character of every control token of
the family that occurs in text we were given (``< |im_end|>``): it is then ordinary text, still legible, and a model that repeats it
repeats something visible. Everything else stays byte for byte: nothing is escaped, stripped or re-encoded.

No beginning-of-text token is written: every engine adds the model's own.
"""

import json
import re
from collections.abc import Iterable, Sequence

from fireside.core.messages import Message
from fireside.core.requests import CompletionRequest
from fireside.core.values import replace
from fireside.models.card import FimTokens
from fireside.models.families import Family
from fireside.models.templates import TEMPLATES, Turns

PROJECT = "project"


# Fill in the middle


def fim_prompt(request: CompletionRequest, fim: FimTokens) -> str:
    """The prompt that asks for what stands between ``request.prefix`` and ``request.suffix``.

    Neighbours come first, each under its path, as repository-level models were trained (the layout llama.cpp's ``/infill`` uses too);
    a family without file tokens is given none, for it would take them as part of the prefix.
    """
    prefix, suffix = disarm(request.prefix, fim_stops(fim)), disarm(request.suffix, fim_stops(fim))
    if fim.order == "joined":  # what was typed stands last and grows, so all before it stays computed
        return f"{_files(request, fim)}{fim.prefix}{fim.suffix}{suffix}{fim.middle}{prefix}"
    if fim.order == "spm":
        return f"{_files(request, fim)}{fim.suffix}{suffix}{fim.prefix}{prefix}{fim.middle}"
    return f"{_files(request, fim)}{fim.prefix}{prefix}{fim.suffix}{suffix}{fim.middle}"


def drawn_as_code(request: CompletionRequest, fim: FimTokens | None) -> CompletionRequest:
    """The same request, ending where the family's code ends, and at temperature 0 unless another was asked: defaults are for talk."""
    asked = request.sampling
    stop = tuple(dict.fromkeys((*asked.stop, *(fim_stops(fim) if fim else ()))))
    temperature = 0.0 if asked.temperature is None else asked.temperature
    return replace(request, sampling=replace(asked, stop=stop, temperature=temperature))


def fim_stops(fim: FimTokens) -> tuple[str, ...]:
    """Texts that end a completion: the family's end tokens, and its control tokens, which have no place in code."""
    control = (fim.prefix, fim.suffix, fim.middle, fim.pad, fim.repo, fim.file)
    return tuple(dict.fromkeys(token.strip() for token in (*fim.stop, *control) if token.strip()))


def _files(request: CompletionRequest, fim: FimTokens) -> str:
    if not fim.file or not (request.neighbours or request.path):
        return ""
    stops = fim_stops(fim)
    repository = f"{fim.repo}{PROJECT}\n" if fim.repo else ""
    others = "".join(
        f"{fim.file}{_path(near.path, stops)}\n{disarm(near.text, stops)}\n" for near in request.neighbours
    )
    return f"{repository}{others}{fim.file}{_path(request.path, stops)}\n"


def _path(path: str, tokens: Iterable[str]) -> str:
    """A path on one line: a line break in a file's name would end the header it stands in."""
    return disarm(re.sub(r"[\r\n]+", " ", path), tokens)


def disarm(text: str, tokens: Iterable[str]) -> str:
    """``text`` with a blank after the first character of each of ``tokens`` in it; unchanged when there are none."""
    longest_first = sorted((token for token in tokens if len(token) > 1), key=len, reverse=True)
    if not longest_first:
        return text
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: f"{found[0][0]} {found[0][1:]}", text)


# Chat


def chat_prompt(messages: Sequence[Message], family: Family) -> str:
    """A conversation as one text, ending where the answer begins. For engines that complete text and know no messages.

    A tool call is written as ``<tool_call>`` with its JSON. Images are left out: text cannot hold them.
    """
    turns = TEMPLATES[family.template]
    guarded = (*turns.control, *family.stop, *(fim_stops(family.fim) if family.fim else ()))
    safe = [replace(message, content=disarm(_content(message), guarded)) for message in messages]
    if turns.system is None:
        safe = _system_into_user(safe, turns)
    return turns.opening + "".join(_turn(message, turns) for message in safe) + turns.reply


def _turn(message: Message, turns: Turns) -> str:
    around = {"system": turns.system, "assistant": turns.assistant, "tool": turns.tool}.get(message.role, turns.user)
    if around is None:  # a format without tool turns
        return f"{turns.user[0]}<tool_response>\n{message.content}\n</tool_response>{turns.user[1]}"
    return f"{around[0]}{message.content}{around[1]}"


def _content(message: Message) -> str:
    """The text of a message with its tool calls, each as one JSON object."""
    calls = (
        f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n</tool_call>'
        for call in message.tool_calls
    )
    return "\n".join(filter(None, (message.content, *calls)))


def _system_into_user(messages: Sequence[Message], turns: Turns) -> list[Message]:
    """Put the system texts in front of the first user turn, for formats that have no system turn."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    others = [message for message in messages if message.role != "system"]
    if not system:
        return others
    preface = f"{turns.preface[0]}{system}{turns.preface[1]}"
    first = next((index for index, message in enumerate(others) if message.role == "user"), None)
    if first is None:
        return [Message("user", preface), *others]
    others[first] = replace(others[first], content=preface + others[first].content)
    return others
