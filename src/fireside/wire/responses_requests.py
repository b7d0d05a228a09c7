"""OpenAI's Responses JSON, as Codex and the SDKs send it, into our requests.

Nothing is kept between requests: the whole history comes with each. Knows which fields and items matter to a local model; everything else
(thoughts of earlier answers, calls of tools that run at a provider's, references, fields of tomorrow) is ignored, never refused. Sources:
platform.openai.com/docs/api-reference/responses, and what Codex sends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from fireside.core.errors import Invalid
from fireside.core.requests import ChatRequest
from fireside.wire.contents import read_content
from fireside.wire.conversation import Conversation
from fireside.wire.fields import Fields, read_flag, read_list, read_object, read_text, wrong
from fireside.wire.openai_sampling import (
    read_alternatives,
    read_format,
    read_limit,
    read_reasoning,
    read_sampling,
    read_session,
)
from fireside.wire.responses_tools import Given, Toolbox
from fireside.wire.tool_offers import read_arguments

SEND_ALL = "send the whole history as input"
KEPT_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
LOGPROBS = "message.output_text.logprobs"
CALLS = ("function_call", "custom_tool_call", "local_shell_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
# What an answer repeats of its request, and what stands there when it was not sent.
REPEATED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": None,
    "top_p": None,
    "user": None,
}
NOT_KEPT: Mapping[str, object] = {
    "background": False,
    "previous_response_id": None,
    "service_tier": "default",
    "store": False,
    "truncation": "disabled",
}


@dataclass(frozen=True, slots=True)
class ResponsesAsked:
    """``model``: as the client wrote it. ``given``: names the model knows -> how the client knows these tools, where the two differ.

    ``summarizes``: thoughts are wanted as a summary. ``repeated``: a JSON object of what the answer repeats of the request.
    """

    request: ChatRequest
    model: str
    given: Mapping[str, Given] = field(default_factory=dict)
    summarizes: bool = False
    repeated: bytes = b"{}"


def read_responses(body: object) -> ResponsesAsked:
    """The body of ``/v1/responses``. Raises ``Invalid`` with the place of what is wrong as ``param``."""
    fields = read_object(body)
    for name in KEPT_ELSEWHERE:
        if fields.get(name) is not None:
            raise wrong(name, f"{name} is not kept here", SEND_ALL)
    model = read_text(fields, "model") or "chat"
    toolbox = Toolbox()
    toolbox.add(read_list(fields.get("tools"), "tools"), "tools")
    conversation = Conversation()
    conversation.instruct(read_text(fields, "instructions"))
    _read_input(fields.get("input"), conversation, toolbox)
    messages = conversation.messages()
    if not messages:
        raise wrong("input", "at least one message is needed", "ask something")
    tools, choice = toolbox.choice(fields.get("tool_choice"))
    text = fields.get("text")
    request = ChatRequest(
        messages,
        model=model,
        tools=tools,
        tool_choice=choice,
        sampling=read_sampling(fields, limit=read_limit(fields, "max_output_tokens"), logprobs=_logprobs(fields)),
        response_format=read_format(text.get("format"), "text.format", within="") if isinstance(text, dict) else None,
        reasoning=read_reasoning(fields),
        session=read_session(fields),
        stream=read_flag(fields, "stream"),
    )
    return ResponsesAsked(request, model, toolbox.given, _summarizes(fields.get("reasoning")), _repeated(fields))


def _read_input(given: object, conversation: Conversation, toolbox: Toolbox) -> None:
    if given is None:
        return
    if isinstance(given, str):
        conversation.ask(given)
        return
    for place, each in enumerate(read_list(given, "input")):
        param = f"input[{place}]"
        item = read_object(each, param)
        kind = item.get("type")
        if kind == "message" or (kind is None and "role" in item):
            _read_message(item, param, conversation)
        elif kind in CALLS:
            _read_call(item, param, conversation, toolbox)
        elif kind in OUTPUTS:
            text, images = _output(item, param)
            conversation.answer(text, images, id=_call_id(item, param))
        elif kind == "additional_tools":
            toolbox.add(read_list(item.get("tools"), f"{param}.tools"), f"{param}.tools")


def _read_message(item: Fields, param: str, conversation: Conversation) -> None:
    role = item.get("role")
    text, images = read_content(item.get("content"), f"{param}.content")
    if role == "user":
        conversation.ask(text, images)
    elif role == "assistant":
        conversation.reply(text)
    elif role in ("system", "developer"):
        conversation.instruct(text)
    else:
        raise wrong(f"{param}.role", "expected user, assistant, system or developer")


def _read_call(item: Fields, param: str, conversation: Conversation, toolbox: Toolbox) -> None:
    kind = item.get("type")
    if kind == "local_shell_call":
        name, arguments = "local_shell", read_arguments(item.get("action"), f"{param}.action")
    else:
        name = read_text(item, "name", within=param)
        if not name:
            raise wrong(f"{param}.name", "expected the name of a tool")
        name = toolbox.known_as(name, item.get("namespace"))
        if kind == "custom_tool_call":
            arguments = orjson.dumps({"input": read_text(item, "input", within=param)}).decode()
        else:
            arguments = read_arguments(item.get("arguments"), f"{param}.arguments")
    conversation.call(name, arguments, id=_call_id(item, param))


def _call_id(item: Fields, param: str) -> str:
    """The id that joins a call and its output; an output of the older shell tool has it as its own."""
    own = item.get("type") == "local_shell_call_output"
    return read_text(item, "call_id", within=param) or (read_text(item, "id", within=param) if own else "")


def _output(item: Fields, param: str) -> tuple[str, tuple[bytes, ...]]:
    output = item.get("output")
    if isinstance(output, str | list):
        return read_content(output, f"{param}.output")
    return read_arguments(output, f"{param}.output") if output is not None else "", ()


def _summarizes(reasoning: object) -> bool:
    if not isinstance(reasoning, dict):
        return False
    return (reasoning.get("summary") or reasoning.get("generate_summary")) not in (None, "none")


def _logprobs(fields: Fields) -> int | None:
    include = fields.get("include")
    alternatives = read_alternatives(fields, "top_logprobs")
    return alternatives if alternatives or (isinstance(include, list) and LOGPROBS in include) else None


def _repeated(fields: Fields) -> bytes:
    values = {name: default if fields.get(name) is None else fields[name] for name, default in REPEATED.items()}
    try:
        return orjson.dumps({**values, **NOT_KEPT})
    except orjson.JSONEncodeError as error:
        raise Invalid("the request is nested too deeply", remedy="send flatter tools and formats") from error
