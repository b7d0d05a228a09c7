"""The fourteen ways in which small models get a tool call wrong (eight more in front of them: the call is printed, not made)."""

import json
from collections.abc import Mapping

from fireside.core.messages import ToolCall

CONTENT = 'print("it\'s done")\n\tif True:\n'


def as_text(name: str, arguments: Mapping[str, str]) -> dict[str, str]:
    """Fault class -> the answer's text."""
    call = json.dumps({"name": name, "arguments": arguments})
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    python = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return {
        "bare JSON": call,
        "prose plus a fenced JSON": f"I'll create the file now.\n\n```json\n{json.dumps(json.loads(call), indent=2)}\n```",
        "Hermes": f"<tool_call>\n{call}\n</tool_call>",
        "Qwen3-Coder XML": f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>",
        "pythonic": f"[{name}({python})]",
        "Mistral": f"[TOOL_CALLS][{call}]",
    }


def as_call(name: str, arguments: Mapping[str, str]) -> dict[str, ToolCall]:
    """Fault class -> the call the engine reports."""
    written = json.dumps(arguments)
    raw = ", ".join(f'"{key}": "{value}"' for key, value in arguments.items()).replace('print("', "print('")
    raw = "{" + raw.replace('done")', "done')") + "}"
    return {
        "closing brace missing": ToolCall("1", name, written[:-1]),
        "trailing comma": ToolCall("1", name, written[:-1] + ",}"),
        "single quotes": ToolCall("1", name, repr(dict(arguments))),
        "raw newline": ToolCall("1", name, raw),
        "double-encoded": ToolCall("1", name, json.dumps(written)),
        "code fence": ToolCall("1", name, f"```json\n{written}\n```"),
        "wrong case": ToolCall("1", name.swapcase(), written),
        "prefix": ToolCall("1", f"functions.{name}", written),
    }
