"""What stands in an answer beside the edits read from it: whole files, and edits in another format. Nothing is dropped in silence."""

from collections.abc import Callable, Sequence

from fireside.workspace.edits.apply_patch import BEGIN as PATCH_BEGINS
from fireside.workspace.edits.apply_patch import END as PATCH_ENDS
from fireside.workspace.edits.apply_patch import has_patch
from fireside.workspace.edits.edit_tool import has_calls
from fireside.workspace.edits.fences import Listing, listings
from fireside.workspace.edits.labels import label
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Operation, Shown, Write
from fireside.workspace.edits.refusals import EditRefused, refuse
from fireside.workspace.edits.search_replace import BEGIN, END, has_blocks
from fireside.workspace.edits.udiff import KnownLines, has_headers

EDIT_MARKS = ("<<<<<", "*** ", "--- ", "@@", "diff --git")
PATCHES = (".patch", ".diff")
HALF = 0.5
OF_A_DIFF = ("+", "-", " ")


def without_files(lines: Sequence[str], names: Names) -> list[str]:
    """Without listings that are a file of their own: a file about patches may hold one. One that breaks off takes the rest with it."""
    kept = list(lines)
    for one in reversed(listings(lines, names)):
        if _is_file(one, names):
            del kept[one.first : one.last + 1 if one.last >= 0 else len(kept)]
    return kept


def holds_calls(lines: Sequence[str], names: Names) -> bool:
    """Whether calls of a tool stand in the answer, by themselves or at the beginning of a listing; code may look like one elsewhere."""
    kept = list(lines)
    for one in reversed(listings(lines, names)):
        if not _is_call(one):
            del kept[one.first : one.last + 1 if one.last >= 0 else len(kept)]
    return has_calls(kept)


def holds_blocks(lines: Sequence[str]) -> bool:
    """Whether blocks stand in the answer, and not only within the lines of a diff."""
    return any(map(_begins_block, lines)) if has_headers(lines) else has_blocks(lines)


def files_beside(lines: Sequence[str], names: Names, known: KnownLines) -> list[Operation]:
    """Whole files in an answer that otherwise edits in parts: new ones are to be written, others are shown.

    ``known``: the lines of the file of that name.
    """
    found: list[Operation] = []
    for one in listings(lines, names):
        if one.last < 0 or not _is_file(one, names) or has_blocks(one.texts) or has_patch(one.texts):
            continue
        if _is_there(one, names, known):
            found.append(Operation(one.name, Shown(one.texts)))
        # "Node.js" above a listing is a heading.
        elif "/" in one.name or one.name[:1].islower():
            found.append(Operation(one.name, Write(one.texts, new=True)))
    return found


def check_one_format(lines: Sequence[str], names: Names) -> None:
    """Raises ``EditRefused`` (malformed) for edits in two formats: of such an answer only half would be applied."""
    plain = without_files(lines, names)
    no_blocks = _without(plain, _begins_block, lambda line: bool(END.match(line)))
    no_patches = _without(plain, PATCH_BEGINS.__eq__, PATCH_ENDS.__eq__)
    neither = _without(no_blocks, PATCH_BEGINS.__eq__, PATCH_ENDS.__eq__)
    calls = [one for one in listings(neither, names) if not _is_file(one, names) and _is_call(one)]
    kinds = (
        any(_begins_block(line) for line in no_patches),
        PATCH_BEGINS in no_blocks,
        has_headers(neither),
        bool(calls),
    )
    if sum(kinds) > 1:
        raise refuse("malformed", "the answer has edits in two formats; give all of them in one")


def _is_file(one: Listing, names: Names) -> bool:
    if not one.name or one.name.lower().endswith(PATCHES):
        return bool(one.name)
    told = [text.strip() for text in one.texts if text.strip()]
    heads = told[: 2 if told and label(told[0], names) else 1]
    is_call = _is_call(one) and not one.name.endswith(".json")
    marked = one.info.lower().startswith(("diff", "patch")) or any(head.startswith(EDIT_MARKS) for head in heads)
    return not is_call and not marked


def _is_call(one: Listing) -> bool:
    told = "\n".join(one.texts).lstrip()
    return told.startswith(("{", "[")) and has_calls(one.texts)


def _is_there(one: Listing, names: Names, known: KnownLines) -> bool:
    """Whether the listing shows a file there is: one of its name, or one of nearly its name and half of its lines."""
    try:
        if names.find(one.name, loosely=False) is not None:
            return True
    except EditRefused:
        # Nobody can say which; that is refused when the file is looked for.
        return True
    lines = known(one.name)
    told = [text for text in one.texts if text.strip()]
    return bool(told) and sum(text in lines for text in told) >= HALF * len(told)


def _begins_block(line: str) -> bool:
    return not line.startswith(OF_A_DIFF) and bool(BEGIN.match(line))


def _without(lines: Sequence[str], begins: Callable[[str], bool], ends: Callable[[str], bool]) -> list[str]:
    kept: list[str] = []
    inside = False
    for line in lines:
        inside = inside or begins(line)
        if not inside:
            kept.append(line)
        inside = inside and not ends(line)
    return kept
