"""How a client of OpenAI's API wants tokens drawn: the fields that chat, completions and responses share.

Limits and counts that no engine could take are clamped, never refused; what is not a number is refused with its name.
"""

from collections.abc import Mapping
from math import isfinite

from fireside.core.requests import Reasoning, ResponseFormat, Sampling
from fireside.wire.fields import Fields, read_flag, read_number, read_object, read_text, read_texts, read_whole, wrong
from fireside.wire.tool_offers import read_schema

# More than any window; engines count in 32 bits, and an absurd limit must not come back as their error.
MOST_TOKENS = 2**31 - 1
MOST_LOGPROBS = 20
SAMPLED = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "repetition_penalty"),
        *("frequency_penalty", "presence_penalty", "seed", "stop"),
    )
)
NOTHING = Sampling()
EFFORTS: Mapping[str, Reasoning] = {
    "none": "off",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def read_sampling(fields: Fields, *, limit: int | None, logprobs: int | None = None) -> Sampling:
    """``limit``, ``logprobs``: each API has names of its own for them."""
    if SAMPLED.isdisjoint(fields):
        return NOTHING if limit is None and logprobs is None else Sampling(max_tokens=limit, logprobs=logprobs)
    top_k = read_whole(fields, "top_k")
    repeat = "repeat_penalty" if "repeat_penalty" in fields else "repetition_penalty"
    return Sampling(
        temperature=read_number(fields, "temperature"),
        top_p=read_number(fields, "top_p"),
        top_k=None if top_k is None else min(max(top_k, -1), MOST_TOKENS),
        min_p=read_number(fields, "min_p"),
        repeat_penalty=read_number(fields, repeat),
        frequency_penalty=read_number(fields, "frequency_penalty"),
        presence_penalty=read_number(fields, "presence_penalty"),
        seed=read_whole(fields, "seed"),
        max_tokens=limit,
        stop=read_texts(fields, "stop") if "stop" in fields else (),
        logprobs=logprobs,
    )


def read_limit(fields: Fields, *names: str) -> int | None:
    """The first of these limits that is there. Negative means none, as llama.cpp has it; 0 is as little as can be."""
    for name in names:
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(name, "expected a whole number")
        if value < 0:
            return None
        return min(max(int(value), 1), MOST_TOKENS) if isfinite(value) else MOST_TOKENS
    return None


def read_alternatives(fields: Fields, name: str) -> int:
    """How many alternatives to each token are asked for."""
    return min(max(read_whole(fields, name) or 0, 0), MOST_LOGPROBS)


def read_reasoning(fields: Fields) -> Reasoning | None:
    """How long to think: OpenAI's effort, Ollama's ``think``, or what vLLM and llama.cpp hand to the chat template."""
    effort = fields.get("reasoning_effort")
    nested = fields.get("reasoning")
    if effort is None and isinstance(nested, dict):
        effort = nested.get("effort")
    if effort is None:
        effort = fields.get("think")
    template = fields.get("chat_template_kwargs")
    if effort is None and isinstance(template, dict):
        effort = template.get("enable_thinking", template.get("thinking"))
    if isinstance(effort, bool):
        return "medium" if effort else "off"
    return EFFORTS.get(effort) if isinstance(effort, str) else None


def read_format(given: object, param: str, *, within: str = "json_schema") -> ResponseFormat | None:
    """``within``: the field that holds name and schema; empty when they stand beside the type. Other kinds of answers are text."""
    if given is None:
        return None
    wanted = read_object(given, param)
    kind = wanted.get("type")
    if kind == "json_object":
        return ResponseFormat(read_schema(wanted.get("schema"), f"{param}.schema"))
    if kind != "json_schema":
        return None
    place = f"{param}.{within}" if within else param
    described = read_object(wanted.get(within), place) if within else wanted
    return ResponseFormat(
        read_schema(described.get("schema"), f"{place}.schema"), read_text(described, "name", within=place) or "answer"
    )


def read_session(fields: Fields) -> str | None:
    """The key of a prompt cache names a conversation."""
    key = fields.get("prompt_cache_key")
    return key if isinstance(key, str) and key else None


def read_include_usage(fields: Fields) -> bool:
    options = fields.get("stream_options")
    return options is not None and read_flag(read_object(options, "stream_options"), "include_usage")
