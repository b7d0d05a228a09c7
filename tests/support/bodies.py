"""JSON that no client sends, yet could: any values under names the dialects know, and good bodies with one thing changed."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

GONE = object()
ODD = (None, True, -1, 1.5, 1e300, "", "odd", [], {}, [[]], [{}], [None], {"odd": []}, {"type": []}, {"type": "odd"})

NAMES = (
    *("model", "messages", "role", "content", "type", "text", "image_url", "url", "tools", "tool_choice", "function"),
    *("name", "parameters", "arguments", "tool_calls", "id", "call_id", "stop", "n", "max_tokens", "temperature"),
    *("seed", "top_k", "stream", "stream_options", "include_usage", "response_format", "json_schema", "schema"),
    *("reasoning", "reasoning_effort", "think", "logprobs", "top_logprobs", "prompt", "suffix", "input", "output"),
    *("instructions", "namespace", "summary", "format", "definition", "functions", "function_call", "allowed_tools"),
)
WORDS = (
    *("user", "assistant", "system", "developer", "tool", "function", "message", "text", "input_text", "image_url"),
    *("input_image", "json_schema", "json_object", "auto", "required", "none", "allowed_tools", "custom", "namespace"),
    *("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "local_shell_call"),
    *("reasoning", "item_reference", "data:image/png;base64,iVBORw0KGgo=", "data:,x", "look"),
)


def values() -> st.SearchStrategy[Any]:
    """Any JSON value, with names and words that mean something more often than not."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(WORDS),
        st.text(max_size=8),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), inner, max_size=5),
        ),
        max_leaves=12,
    )


def oddities(body: Any) -> Iterator[Any]:
    """``body`` with the value at one place left out or replaced by one of another type: every place, every type."""
    for path in _paths(body, ()):
        *before, last = path
        for odd in (GONE, *ODD):
            changed = copy.deepcopy(body)
            place = changed
            for step in before:
                place = place[step]
            if odd is GONE:
                del place[last]
            else:
                place[last] = copy.deepcopy(odd)
            yield changed


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield from _paths(inner, (*path, step))
