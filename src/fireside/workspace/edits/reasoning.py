"""An answer without what the model only thought. Knows the marks around thoughts, and where such a mark is part of an edit instead."""

import re

TAGS = "think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad|seed:think"
OPENED = re.compile(
    rf"\s*(?:<(?P<tag>{TAGS})(?:\s[^>]*)?>|\[THINK\]|<\|begin_of_(?P<pipe>thought)\|>|◁(?P<arrow>think)▷)",
    re.IGNORECASE,
)
LONE_END = re.compile(rf"\s*(?:</(?:{TAGS})>|\[/THINK\]|<\|end_of_thought\|>|◁/think▷)\s*$", re.IGNORECASE)
# The marks of OpenAI's harmony format around its channels.
FINAL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>")
CONTROL = re.compile(r"<\|(?:end|return|start)\|>\s*$")
FENCE = re.compile(r"\s*(`{3,}|~{3,})(.*)$")
BLOCK_BEGINS = re.compile(r"\s*(<{5,9}\s*(SEARCH|ORIGINAL)\b|\*\*\* Begin Patch)")
BLOCK_ENDS = re.compile(r"\s*(>{5,9}\s*(REPLACE|UPDATED)\b|\*\*\* End Patch)")


def answer_lines(answer: str) -> list[str]:
    """The lines of what was answered, without line ends and without thoughts. A thought without an end is all that follows."""
    answer = FINAL.split(answer)[-1] if "<|channel|>" in answer else answer
    answer = CONTROL.sub("", answer) if answer.endswith("|>") else answer
    lines = answer.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    kept: list[str] = []
    fence = ""
    in_block = False
    row = 0
    while row < len(lines):
        line = lines[row]
        opened = OPENED.match(line)
        if opened and not fence and not in_block:
            row, rest = _after_thought(lines, row, opened)
            if rest.strip():
                kept.append(rest)
            continue
        if LONE_END.match(line) and not fence and not in_block:
            kept.clear()
        else:
            kept.append(line)
            in_block = bool(BLOCK_BEGINS.match(line)) or (in_block and not BLOCK_ENDS.match(line))
            fence = fence if in_block else _fence(line, fence)
        row += 1
    return kept


def _after_thought(lines: list[str], row: int, opened: re.Match[str]) -> tuple[int, str]:
    """The row after the one where the thought ends, and what else stands in that one."""
    closed = _closing(opened)
    first = opened.end()
    for at in range(row, len(lines)):
        text = lines[at][first:] if at == row else lines[at]
        found = text.lower().find(closed)
        if found >= 0:
            return at + 1, text[found + len(closed) :]
    return len(lines), ""


def _closing(opened: re.Match[str]) -> str:
    if opened["tag"]:
        return f"</{opened['tag'].lower()}>"
    if opened["pipe"]:
        return "<|end_of_thought|>"
    return "◁/think▷" if opened["arrow"] else "[/think]"


def _fence(line: str, fence: str) -> str:
    """The fence that is open after this line, "" for none."""
    found = FENCE.match(line)
    if not found:
        return fence
    if not fence:
        return found[1] if "`" not in found[2] else ""
    return "" if found[1][0] == fence[0] and len(found[1]) >= len(fence) and not found[2].strip() else fence
