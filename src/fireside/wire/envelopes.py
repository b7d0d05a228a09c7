"""The marks models put around a tool call when they print it, family by family.

``<tool_call>`` is Hermes', Qwen's and GLM's; ``[TOOL_CALLS]`` Mistral's; ``<|python_tag|>`` Llama's; ``<|tool_call|>`` Granite's and Phi's;
``[TOOL_REQUEST]`` LM Studio's; ``<function=`` Qwen-Coder's and Llama's; ``<invoke`` MiniMax'; ``<|channel|>`` that of gpt-oss;
``<|START_ACTION|>`` Command-R's; the rest is DeepSeek's, Kimi's, InternLM's, Nemotron's and Seed's. Knows no tool and no stream.
"""

import re
from collections.abc import Mapping

# Mark -> how the form is called in reports. Tags, which prose may name: they count at the beginning of a line only.
TAGS: Mapping[str, str] = {
    "<tool_call>": "tagged",
    "<tool_calls>": "tagged",
    "<TOOLCALL>": "tagged",
    "<function_call>": "tagged",
    "<function_calls>": "xml",
    "<function=": "xml",
    "<invoke name=": "xml",
    "<minimax:tool_call>": "xml",
    "<seed:tool_call>": "xml",
    "[TOOL_REQUEST]": "tagged",
}
# Tokens of a template, which stand behind a sentence, too.
TOKENS: Mapping[str, str] = {
    "[TOOL_CALLS]": "mistral",
    "<|python_tag|>": "llama",
    "<|tool_call|>": "granite",
    "<|tool_calls|>": "granite",
    "<|tool_calls_section_begin|>": "kimi",
    "<|tool_call_begin|>": "kimi",
    "<|channel|>": "harmony",
    "<|START_ACTION|>": "command",
    "<|action_start|>": "internlm",
    "<｜tool▁calls▁begin｜>": "deepseek",
    "<｜tool▁call▁begin｜>": "deepseek",
}
FORMS: Mapping[str, str] = {**TAGS, **TOKENS}
OPENER = re.compile("|".join(re.escape(mark) for mark in sorted(FORMS, key=len, reverse=True)))
LONGEST = max(map(len, FORMS))
# What stands around and between calls and says nothing: the marks above that hold no name, end tags, ends of a turn.
AROUND = (
    *(mark for mark in FORMS if not mark.endswith("=") and mark not in ("<|channel|>", "<|tool_call_begin|>")
      and mark != "<｜tool▁call▁begin｜>"),
    *("</tool_call>", "</tool_calls>", "</TOOLCALL>", "</function_call>", "</function_calls>", "</function>", "</invoke>"),
    *("</minimax:tool_call>", "</seed:tool_call>", "[END_TOOL_REQUEST]", "[/TOOL_CALLS]", "<|/tool_call|>", "<|plugin|>"),
    *("<|tool_calls_section_end|>", "<|tool_call_end|>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "<|END_ACTION|>"),
    *("<|action_end|>", "<|call|>", "<|end|>", "<|eom_id|>", "<|eot_id|>", "<|im_end|>", "<|endoftext|>", "</s>"),
    *("<end_of_turn>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>"),
)  # fmt: skip
_MARKS = "|".join(re.escape(mark) for mark in sorted(AROUND, key=len, reverse=True))
BETWEEN = re.compile(rf"(?:[\s,;]++|{_MARKS})*+")
# The same behind a value, where brackets too many and the end of a fence may stand.
BEHIND = re.compile(rf"(?:[\s,;`}}\])]++|{_MARKS})*+")
LONGEST_AROUND = max(map(len, AROUND))

NAME = r"[A-Za-z_][\w.:/-]*+"
# Forms in which the name stands in front of a JSON object: Mistral's newer one, DeepSeek's two, Kimi's, that of gpt-oss.
NAMED_OBJECT = re.compile(
    rf"""(?:
        (?:<\|channel\|>\w*)?\s*to=(?P<harmony>{NAME})\s*(?:<\|channel\|>\w*\s*)?(?:<\|constrain\|>)?\s*(?:json\s*)?<\|message\|>
      | (?:<｜tool▁call▁begin｜>|<\|tool_call_begin\|>)\s*(?:function\s*<｜tool▁sep｜>)?\s*(?P<begun>{NAME})\s*
        (?:<｜tool▁sep｜>|<\|tool_call_argument_begin\|>)?\s*(?:```(?:json)?)?
      | <function=(?P<tagged>{NAME})>
      | (?P<bare>{NAME})\s*(?:\[CALL_ID\][\w-]*+)?(?:\[ARGS\])?
    )\s*(?=\{{)""",
    re.VERBOSE,
)
# Forms in which each argument has a tag of its own: (the call, an argument, where arguments end).
QWEN = re.compile(rf"<function=(?P<name>{NAME})>")
INVOKE = re.compile(rf"""<invoke name=["']?(?P<name>{NAME})["']?\s*>""")
GLM = re.compile(rf"(?P<name>{NAME})\s*(?=<arg_key>|</tool_call>)")
QWEN_ARGUMENT = re.compile(
    r"\s*<parameter=([^>\n]{1,200})>(.*?)</parameter>(?=\s*(?:<parameter=|</function>|</tool_call>|\Z))", re.DOTALL
)
INVOKE_ARGUMENT = re.compile(
    r"""\s*<parameter name=["']?([^"'>\n]{1,200})["']?\s*>(.*?)</parameter>(?=\s*(?:<parameter name=|</invoke>|\Z))""",
    re.DOTALL,
)
GLM_ARGUMENT = re.compile(
    r"\s*<arg_key>([^<\n]{1,200})</arg_key>\s*<arg_value>(.*?)</arg_value>(?=\s*(?:<arg_key>|</tool_call>|\Z))",
    re.DOTALL,
)
TAGGED_FORMS = ((QWEN, QWEN_ARGUMENT), (INVOKE, INVOKE_ARGUMENT), (GLM, GLM_ARGUMENT))
# Qwen puts each value on lines of its own.
FRAMED = QWEN
END_OF_TAGS = re.compile(r"</function>|</invoke>|</tool_call>")
