"""Anthropic's turns, made of blocks, into our messages.

What cannot run here (server tools and their results, thoughts of an earlier answer) is passed over; what would silently be lost though
the user meant it (a picture behind an address, a PDF) is refused with a remedy.
"""

import binascii
from collections.abc import Sequence
from itertools import groupby, pairwise

import orjson

from fireside.core.errors import Invalid
from fireside.core.messages import Message, ToolCall
from fireside.wire.contents import read_data_url
from fireside.wire.fields import Fields, read_list, read_object, read_text, wrong
from fireside.wire.openai import media_type

# Claude Code puts this line before its prompt; a hash in it changes with each request, and no prefix would ever be found in a cache.
BILLING = "x-anthropic-billing-header:"
BREAK = "\n\n"
REMEDIES = {
    "url": 'send the picture itself: "source": {"type": "base64", "media_type": "image/png", "data": "..."}',
    "file": "files are not kept here: send the content itself",
}


def read_turns(fields: Fields) -> tuple[Message, ...]:
    """``system`` and ``messages`` of a body. All system texts, wherever they stand, lead the conversation as one message, in order."""
    turns = fields.get("messages")
    if not isinstance(turns, list):
        raise wrong("messages", "expected a list of messages")
    system = _system_texts(fields.get("system"), "system")
    messages: list[Message] = []
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise wrong(f"messages[{place}]", "expected a JSON object")
        role, content = turn.get("role"), turn.get("content")
        if role == "user":
            messages += _user(content, place)
        elif role == "assistant":
            messages += _assistant(content, place)
        elif role in ("system", "developer"):
            system += _system_texts(content, f"messages[{place}].content")
        else:
            raise wrong(f"messages[{place}].role", "expected user, assistant or system")
    if not messages:
        raise wrong("messages", "at least one message is needed", "ask something")
    leading = (Message("system", BREAK.join(system)),) if system else ()
    return (*leading, *_merged(messages))


def _merged(messages: list[Message]) -> list[Message]:
    """Turns of one role in a row are one turn: the API says so, and strict chat templates refuse them otherwise."""
    if all(one.role != next_one.role or one.role == "tool" for one, next_one in pairwise(messages)):
        return messages
    merged: list[Message] = []
    for role, run in groupby(messages, key=lambda message: message.role):
        turns = list(run)
        if role == "tool" or len(turns) == 1:
            merged += turns
            continue
        merged.append(
            Message(
                role,
                BREAK.join(turn.content for turn in turns if turn.content),
                tool_calls=tuple(call for turn in turns for call in turn.tool_calls),
                images=tuple(image for turn in turns for image in turn.images),
            )
        )
    return merged


def _system_texts(content: object, param: str) -> list[str]:
    if content is None:
        return []
    texts = [content] if isinstance(content, str) else _parts(read_list(content, param), param)[0]
    return [text for text in map(_without_billing, texts) if text]


def _without_billing(text: str) -> str:
    return text.partition("\n")[2] if text.startswith(BILLING) else text


def _user(content: object, place: int) -> Sequence[Message]:
    """Results of tools come first, for they answer the calls before them; their pictures go along with what the user says."""
    if isinstance(content, str):
        return (Message("user", content),)
    messages, pictures, others = [], [], []
    for number, block in enumerate(read_list(content, f"messages[{place}].content")):
        if isinstance(block, dict) and block.get("type") == "tool_result":
            result, seen = _result(block, f"messages[{place}].content[{number}]")
            messages.append(result)
            pictures += seen
        else:
            others.append(block)
    texts, images = _parts(others, f"messages[{place}].content")
    if texts or images or pictures or not messages:
        messages.append(Message("user", BREAK.join(texts), images=(*pictures, *images)))
    return messages


def _result(block: Fields, param: str) -> tuple[Message, list[bytes]]:
    content = block.get("content")
    images: list[bytes] = []
    texts = [content] if isinstance(content, str) else []
    if not texts:
        texts, images = _parts(read_list(content, f"{param}.content"), f"{param}.content")
    text = BREAK.join(texts) or ("(see the picture below)" if images else "")
    if block.get("is_error") is True and text[:5].lower() != "error":
        text = f"Error: {text}"
    return Message("tool", text, tool_call_id=read_text(block, "tool_use_id", within=param)), images


def _assistant(content: object, place: int) -> Sequence[Message]:
    """Its texts stand together as they were written. A turn of nothing but thoughts is none."""
    if isinstance(content, str):
        return (Message("assistant", content),)
    param = f"messages[{place}].content"
    blocks = read_list(content, param)
    calls = tuple(
        _call(block, f"{param}[{number}]")
        for number, block in enumerate(blocks)
        if isinstance(block, dict) and block.get("type") == "tool_use"
    )
    text = "".join(_parts(blocks, param)[0])
    return (Message("assistant", text, tool_calls=calls),) if text or calls else ()


def _call(block: Fields, param: str) -> ToolCall:
    given = block.get("input")
    try:
        arguments = orjson.dumps({} if given is None else given).decode()
    except orjson.JSONEncodeError as error:
        raise wrong(f"{param}.input", "nested too deeply") from error
    return ToolCall(read_text(block, "id", within=param), read_text(block, "name", within=param), arguments)


def _parts(blocks: Sequence[object], param: str) -> tuple[list[str], list[bytes]]:
    """What of ``blocks`` a model can read: texts and pictures."""
    texts: list[str] = []
    images: list[bytes] = []
    for number, block in enumerate(blocks):
        if not isinstance(block, dict):
            raise wrong(f"{param}[{number}]", "expected a JSON object")
        kind = block.get("type")
        if kind == "text":
            texts.append(read_text(block, "text", within=f"{param}[{number}]"))
        elif kind == "image":
            images.append(_image(read_object(block.get("source"), f"{param}[{number}].source"), f"{param}[{number}]"))
        elif kind == "document":
            texts.append(_document(block, f"{param}[{number}]", images))
        elif kind == "search_result":
            found = _parts(read_list(block.get("content"), param), f"{param}[{number}].content")[0]
            texts.append("\n".join((_titled(block, "title", "source"), *found)))
    return [text for text in texts if text], images


def _image(source: Fields, param: str) -> bytes:
    kind, url = source.get("type"), source.get("url")
    if kind == "url" and isinstance(url, str) and url[:5].lower() == "data:":
        return read_data_url(url, f"{param}.source.url")
    if kind != "base64":
        remedy = REMEDIES["file"] if kind == "file" else REMEDIES["url"]
        raise wrong(f"{param}.source", f"a picture of type {str(kind)[:40]} cannot be fetched", remedy)
    try:
        image = binascii.a2b_base64(read_text(source, "data", within=f"{param}.source"))
        media_type(image)
    except ValueError as error:
        raise wrong(f"{param}.source.data", "this is not base64") from error
    except Invalid as error:
        raise wrong(f"{param}.source.data", error.message, error.remedy) from error
    return image


def _document(block: Fields, param: str, images: list[bytes]) -> str:
    source = read_object(block.get("source"), f"{param}.source")
    content = source.get("content")
    if source.get("type") == "text":
        texts = [read_text(source, "data", within=f"{param}.source")]
    elif source.get("type") == "content" and isinstance(content, str):
        texts = [content]
    elif source.get("type") == "content":
        texts, seen = _parts(read_list(content, f"{param}.source.content"), f"{param}.source.content")
        images += seen
    else:
        raise wrong(f"{param}.source", "only documents of plain text can be read", "send the text of the document")
    title = _titled(block, "title", "context")
    return "\n".join((title, *texts)) if title else "\n".join(texts)


def _titled(block: Fields, *names: str) -> str:
    return "\n".join(value for name in names if isinstance(value := block.get(name), str) and value)
