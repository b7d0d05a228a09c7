"""What a case is, how one edit is written in every format, and how an outcome is judged."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from fireside.workspace.edits import EditRefused, apply_edits

Files = Mapping[str, str | bytes]
LINE_FORMATS = ("search_replace", "udiff", "apply_patch", "edit_tool")


@dataclass(frozen=True)
class Case:
    """``accept``: the mappings any of which is right. ``refused``: the reasons for which it may be refused; () means it must not be."""

    kind: str
    name: str
    format: str
    files: Files
    answer: str
    accept: tuple[Files, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.name} [{self.format}]"


def verdict(case: Case, *, format: str | None = None) -> str:
    """ "right", "refused" (where it should not have been), "wrong reason" or "corrupted"."""
    before = dict(case.files)
    try:
        after = apply_edits(case.answer, case.files, format=format or case.format)
    except EditRefused as error:
        assert dict(case.files) == before
        if not case.refused:
            return f"refused: {error}"
        reasons = {refusal.reason for refusal in error.refusals}
        return "right" if reasons & set(case.refused) or "any" in case.refused else f"wrong reason: {error.refusals}"
    return "right" if any(after == dict(one) for one in case.accept) else f"corrupted: {_changed(before, after)}"


def _changed(before: Files, after: Files) -> str:
    names = sorted(set(before) | set(after))
    return (
        "; ".join(f"{name}: {after.get(name)!r}" for name in names if before.get(name) != after.get(name)) or "nothing"
    )


def write_edit(format: str, path: str, old: str, new: str) -> str:
    """One replacement of whole lines, as a careful model would write it."""
    if format == "search_replace":
        return f"{path}\n```\n{block(old, new)}```\n"
    if format == "udiff":
        return f"```diff\n--- a/{path}\n+++ b/{path}\n@@ @@\n{hunk(old, new)}```\n"
    if format == "apply_patch":
        return f"*** Begin Patch\n*** Update File: {path}\n@@\n{hunk(old, new)}*** End Patch\n"
    assert format == "edit_tool"
    return json.dumps({"path": path, "old_string": old, "new_string": new}, ensure_ascii=False)


def block(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{_ended(old)}=======\n{_ended(new)}>>>>>>> REPLACE\n"


def hunk(old: str, new: str) -> str:
    before, after = old.split("\n") if old else [], new.split("\n") if new else []
    rows: list[str] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            rows += [f" {text}" for text in before[i1:i2]]
        else:
            rows += [f"-{text}" for text in before[i1:i2]] + [f"+{text}" for text in after[j1:j2]]
    return "".join(f"{row}\n" for row in rows)


def listing(path: str, content: str, info: str = "python") -> str:
    return f"{path}\n```{info}\n{_ended(content)}```\n"


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def every(
    kind: str,
    name: str,
    before: str | bytes,
    old: str,
    new: str,
    after: str | bytes | Sequence[str | bytes] = (),
    *,
    refused: Sequence[str] = (),
    formats: Sequence[str] = LINE_FORMATS,
    path: str = "app.py",
    beside: Files | None = None,
) -> Iterator[Case]:
    """One edit in each format. ``after``: what the file may be then; none: it must be refused."""
    results = [after] if isinstance(after, str | bytes) else list(after)
    files = {path: before, **(beside or {})}
    for format in formats:
        answer = write_edit(format, path, old, new)
        yield Case(kind, name, format, files, answer, tuple({**files, path: one} for one in results), tuple(refused))


def one(
    kind: str,
    name: str,
    format: str,
    files: Files,
    answer: str,
    changed: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    *,
    refused: Sequence[str] = (),
) -> Case:
    """A single answer. ``changed``: the files that become another, None for one that is gone."""
    results = [changed] if isinstance(changed, Mapping) else list(changed)
    accept = [{name: data for name, data in {**files, **result}.items() if data is not None} for result in results]
    return Case(kind, name, format, files, answer, tuple(accept), tuple(refused))
