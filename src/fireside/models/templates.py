"""How each chat format writes turns, as plain text around plain text. Knows the formats, no message and no model.

Each row follows the ``chat_template`` its authors publish, without tools and without a beginning-of-text token.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Template = Literal[
    "chatml",
    "llama3",
    "llama2",
    "mistral",
    "tekken",
    "gemma",
    "deepseek",
    "deepseek2",
    "deepseek3",
    "alpaca",
    "phi3",
    "phi4",
    "granite",
    "granite-code",
    "harmony",
    "plain",
]
Around = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What stands before and after each role's text, and ``reply``, which opens the answer.

    ``system`` is ``None`` where the format has no such turn: its text then opens the first user turn, within ``preface``.
    ``tool`` is ``None`` where a tool's result is a user turn. ``opening`` stands before everything.
    ``control``: tokens of the format that must not come from a message's own text.
    """

    user: Around
    assistant: Around
    reply: str
    system: Around | None = None
    preface: Around = ("", "\n\n")
    tool: Around | None = None
    opening: str = ""
    control: tuple[str, ...] = ()


def _tagged(start: str, end: str, close: str, *control: str, system: str = "system", tool: str = "") -> Turns:
    """A format in which every turn is ``start`` role ``end`` text ``close``."""
    return Turns(
        system=(f"{start}{system}{end}", close),
        user=(f"{start}user{end}", close),
        assistant=(f"{start}assistant{end}", close),
        tool=(f"{start}{tool}{end}", close) if tool else None,
        reply=f"{start}assistant{end}",
        control=control,
    )


# fmt: off
TEMPLATES: Mapping[Template, Turns] = MappingProxyType({
    "chatml": _tagged("<|im_start|>", "\n", "<|im_end|>\n", "<|im_start|>", "<|im_end|>"),
    "phi4": _tagged("<|im_start|>", "<|im_sep|>", "<|im_end|>", "<|im_start|>", "<|im_sep|>", "<|im_end|>"),
    "phi3": _tagged("<|", "|>\n", "<|end|>\n", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    "llama3": _tagged(
        "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>",
        "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin_of_text|>", tool="ipython",
    ),
    "granite": _tagged(
        "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n",
        "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", tool="tool_response",
    ),
    "llama2": Turns(
        user=("[INST] ", " [/INST]"), assistant=(" ", " </s><s>"), reply="", preface=("<<SYS>>\n", "\n<</SYS>>\n\n"),
        control=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>"),
    ),
    "mistral": Turns(
        user=("[INST] ", "[/INST]"), assistant=(" ", "</s>"), reply="", tool=("[TOOL_RESULTS] ", "[/TOOL_RESULTS]"),
        control=("[INST]", "[/INST]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "<s>", "</s>"),
    ),
    "tekken": Turns(
        system=("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"), user=("[INST]", "[/INST]"), assistant=("", "</s>"), reply="",
        tool=("[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
        control=(
            "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
            "[TOOL_CALLS]", "<s>", "</s>",
        ),
    ),
    "gemma": Turns(
        user=("<start_of_turn>user\n", "<end_of_turn>\n"), assistant=("<start_of_turn>model\n", "<end_of_turn>\n"),
        reply="<start_of_turn>model\n", control=("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>"),
    ),
    "deepseek": Turns(
        system=("", "\n"), user=("### Instruction:\n", "\n"), assistant=("### Response:\n", "\n<|EOT|>\n"),
        reply="### Response:\n", control=("<|EOT|>", "<｜end▁of▁sentence｜>"),
    ),
    "deepseek2": Turns(
        system=("", "\n\n"), user=("User: ", "\n\n"), assistant=("Assistant: ", "<｜end▁of▁sentence｜>"),
        reply="Assistant:", control=("<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"),
    ),
    "deepseek3": Turns(
        system=("", ""), user=("<｜User｜>", ""), assistant=("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        reply="<｜Assistant｜>", control=("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<｜begin▁of▁sentence｜>"),
    ),
    "alpaca": Turns(
        system=("", "\n\n"), user=("### Instruction:\n", "\n\n"), assistant=("### Response:\n", "\n\n"),
        reply="### Response:\n",
    ),
    "granite-code": Turns(
        system=("System:\n", "\n\n"), user=("Question:\n", "\n\n"), assistant=("Answer:\n", "\n\n"), reply="Answer:\n",
        control=("<|endoftext|>",),
    ),
    "harmony": Turns(
        opening=(
            "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n\nReasoning: medium\n\n"
            "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
        ),
        system=("<|start|>developer<|message|># Instructions\n\n", "<|end|>"),
        user=("<|start|>user<|message|>", "<|end|>"),
        assistant=("<|start|>assistant<|channel|>final<|message|>", "<|end|>"),
        reply="<|start|>assistant",
        control=("<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>", "<|constrain|>"),
    ),
    "plain": Turns(
        system=("", "\n\n"), user=("User: ", "\n\n"), assistant=("Assistant: ", "\n\n"), reply="Assistant:"
    ),
})
# fmt: on
