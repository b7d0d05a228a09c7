"""Anthropic's Messages JSON, as its clients send it, into our requests.

Knows which fields matter to a local model; everything else (betas, cache marks, context management, service tiers, server tools, fields
of tomorrow) is ignored, never refused. Knows nothing of HTTP. Sources: platform.claude.com, "Messages", "Tool use", "Extended thinking",
"Structured outputs".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fireside.core.messages import ToolSpec
from fireside.core.requests import ChatRequest, Reasoning, ResponseFormat, Sampling
from fireside.wire.anthropic import BUDGETS
from fireside.wire.anthropic_blocks import read_turns
from fireside.wire.fields import (
    Fields,
    read_flag,
    read_list,
    read_number,
    read_object,
    read_text,
    read_texts,
    read_whole,
    wrong,
)
from fireside.wire.tool_offers import NO_PARAMETERS, read_schema, read_tool_name

# More than any window; engines count in 32 bits, and an absurd limit must not come back as their error.
MOST_TOKENS = 2**31 - 1
EFFORTS: Mapping[str, Reasoning] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}


@dataclass(frozen=True, slots=True)
class MessagesAsked:
    """``model``: as the client wrote it. ``shows_thinking``: the client knows thinking blocks and wants to see them.

    ``only_warms``: with ``max_tokens`` 0 the prompt is to be computed and kept, and nothing to be said.
    """

    request: ChatRequest
    model: str
    shows_thinking: bool = False
    only_warms: bool = False


def read_messages(body: object) -> MessagesAsked:
    """The body of ``/v1/messages``. Raises ``Invalid`` with the place of what is wrong as ``param``."""
    fields = read_object(body)
    tools, choice = _tools(fields)
    limit = read_whole(fields, "max_tokens", least=0)
    reasoning = _reasoning(fields)
    model = read_text(fields, "model") or "chat"
    request = ChatRequest(
        read_turns(fields),
        model=model,
        tools=tools,
        tool_choice=choice,
        sampling=Sampling(
            temperature=read_number(fields, "temperature", least=0),
            top_p=read_number(fields, "top_p", least=0),
            top_k=read_whole(fields, "top_k"),
            max_tokens=None if limit is None else min(max(limit, 1), MOST_TOKENS),
            stop=read_texts(fields, "stop_sequences"),
        ),
        response_format=_response_format(fields),
        reasoning=reasoning,
        session=_session(fields.get("metadata")),
        stream=read_flag(fields, "stream"),
    )
    return MessagesAsked(request, model, shows_thinking=_shows_thinking(fields, reasoning), only_warms=limit == 0)


def read_count(body: object) -> MessagesAsked:
    """The body of ``/v1/messages/count_tokens``: what counts as prompt, and the model."""
    fields = read_object(body)
    tools, choice = _tools(fields)
    model = read_text(fields, "model") or "chat"
    request = ChatRequest(
        read_turns(fields), model=model, tools=tools, tool_choice=choice, reasoning=_reasoning(fields), stream=False
    )
    return MessagesAsked(request, model)


def _tools(fields: Fields) -> tuple[tuple[ToolSpec, ...], str]:
    """The tools the client runs itself, and which may be called. Tools that run at Anthropic's cannot run here and are passed over."""
    tools: list[ToolSpec] = []
    passed_over: set[str] = set()
    for place, tool in enumerate(read_list(fields.get("tools"), "tools")):
        if not isinstance(tool, dict):
            raise wrong(f"tools[{place}]", "expected a JSON object")
        if tool.get("input_schema") is None and tool.get("type") not in (None, "custom"):
            passed_over.add(str(tool.get("name")))
            continue
        name = read_tool_name(tool, f"tools[{place}]")
        schema = read_schema(tool.get("input_schema"), f"tools[{place}].input_schema") or NO_PARAMETERS
        description = tool.get("description")
        tools.append(ToolSpec(name, description if isinstance(description, str) else "", schema))
    return tuple(tools), _tool_choice(fields.get("tool_choice"), [tool.name for tool in tools], passed_over)


def _tool_choice(choice: object, offered: list[str], passed_over: set[str]) -> str:
    """A client that insists on a tool which was passed over (Claude Code's web search does) gets an answer without it."""
    if choice is None:
        return "auto"
    fields = {"type": choice} if isinstance(choice, str) else read_object(choice, "tool_choice")
    kind = fields.get("type")
    if kind == "tool":
        name = read_text(fields, "name", within="tool_choice")
        if name not in offered and name not in passed_over:
            raise wrong("tool_choice.name", f"{name[:80]!r} is not offered", "name a tool that is offered")
        return name if name in offered else "auto"
    if not isinstance(kind, str) or kind not in CHOICES:
        raise wrong("tool_choice.type", "expected auto, any, tool or none")
    return "auto" if kind == "any" and not offered and passed_over else CHOICES[kind]


def _reasoning(fields: Fields) -> Reasoning:
    """Off unless asked for, as the API has it: simple clients read the first block as the answer's text."""
    thinking, config = fields.get("thinking"), fields.get("output_config")
    asked = thinking if isinstance(thinking, dict) else {}
    effort = config.get("effort") if isinstance(config, dict) else None
    level = EFFORTS.get(effort) if isinstance(effort, str) else None
    kind = asked.get("type")
    if kind == "disabled" or (kind is None and level is None):
        return "off"
    budget = read_whole(asked, "budget_tokens") if kind == "enabled" else None
    if level is None and budget is not None:
        return "low" if budget <= BUDGETS["low"] else "medium" if budget <= BUDGETS["medium"] else "high"
    return level or "medium"


def _shows_thinking(fields: Fields, reasoning: Reasoning) -> bool:
    thinking = fields.get("thinking")
    return reasoning != "off" and isinstance(thinking, dict) and thinking.get("display") != "omitted"


def _response_format(fields: Fields) -> ResponseFormat | None:
    """``output_config.format``, or ``output_format`` as the first beta had it."""
    config = fields.get("output_config")
    form = config.get("format") if isinstance(config, dict) else None
    form, param = (form, "output_config.format") if form is not None else (fields.get("output_format"), "output_format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None
    return ResponseFormat(read_object(form.get("schema"), f"{param}.schema"))


def _session(metadata: object) -> str | None:
    """Claude Code's user id names the conversation, too; other clients' at least the person."""
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    return user if isinstance(user, str) and user else None
