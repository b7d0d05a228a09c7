"""Which of several places is meant: by the lines it stands below, by a line number, by the end of the file; or none of them."""

from collections.abc import Sequence

from fireside.workspace.edits.ladder import Match
from fireside.workspace.edits.operations import Replace
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.spelling import bare, indent_of

OFF_BY = 2
CLEAR_OF = 20
CLOSERS = (")", "]", "}", "end", "else", "elif", "except", "finally", "catch", "fi", "done", "esac")


def scopes(anchors: Sequence[str], lines: Sequence[str]) -> list[range] | None:
    """The rows below all ``anchors``, outermost first: the block each opens, or all that follows. None: no line reads like one of them."""
    found = [range(len(lines))]
    for anchor in anchors:
        wanted = bare(anchor)
        within = sorted({row for rows in found for row in rows})
        rows = [row for row in within if bare(lines[row]) == wanted]
        # What stands after @@ may be cut, or begin only with the name.
        rows = rows or [row for row in within if len(wanted) > 2 and bare(lines[row]).startswith(wanted)]
        if not rows:
            return None
        found = [range(row, block_end(row, lines)) for row in rows]
    return found


def below_anchors(anchors: Sequence[str], lines: Sequence[str]) -> int:
    """The row right below the one line that the anchors name. Raises ``EditRefused`` where that is no place to put lines in."""
    found = scopes(anchors, lines) or []
    if not found:
        raise refuse("not_found", f"no line reads {anchors[-1]!r}")
    row = found[0].start
    if len(found) > 1 or found[0].stop < len(lines) or lines[row].rstrip().endswith((":", "{", "(", "[", ",")):
        shown = [f"{rows.start + 1}: {lines[rows.start]}" for rows in found]
        raise refuse("ambiguous", "it is not said where the new lines belong; give the lines around them", shown)
    return row + 1


def block_end(row: int, lines: Sequence[str]) -> int:
    """Where the block that begins at ``row`` ends; the end of the file where nothing deeper follows."""
    depth = len(indent_of(lines[row]))
    opened = False
    for below in range(row + 1, len(lines)):
        text = lines[below]
        if not text.strip():
            continue
        if len(indent_of(text)) > depth:
            opened = True
        elif not opened:
            # A brace, or the rest of a signature, on a line of its own opens the block as well.
            if text.strip()[0] not in "{)]":
                return len(lines)
        elif not text.strip().startswith(CLOSERS):
            return below
    return len(lines)


def choose(matches: Sequence[Match], edit: Replace, lines: Sequence[str]) -> Match | None:
    """The one place that is meant, None where nothing fits. Raises ``EditRefused`` (ambiguous, or not_found below the anchors)."""
    fitting = list(matches)
    if fitting and edit.anchors and (edit.binding or len(fitting) > 1):
        ranges = scopes(edit.anchors, lines)
        if ranges is not None:
            inside = [match for match in fitting if any(match.start in rows for rows in ranges)]
            if not inside and edit.binding:
                return None
            fitting = inside or fitting
    if len(fitting) > 1 and edit.at_end:
        fitting = [match for match in fitting if not any(text.strip() for text in lines[match.stop :])] or fitting
    if len(fitting) > 1 and edit.line is not None:
        fitting = _near_line(fitting, edit.line - 1)
    if len(fitting) > 1 or (fitting and _is_elsewhere(fitting[0], edit)):
        raise ambiguous(fitting, lines)
    return fitting[0] if fitting else None


def _is_elsewhere(match: Match, edit: Replace) -> bool:
    """Whether nothing but brackets was looked for, and they are not where the answer says: at another depth they may be."""
    told = any(sign.isalnum() for text in edit.search for sign in text)
    return edit.line is not None and not told and abs(match.start + 1 - edit.line) > OFF_BY


def ambiguous(matches: Sequence[Match], lines: Sequence[str]) -> Exception:
    numbers = ", ".join(str(match.start + 1) for match in matches[:20])
    more = f" and {len(matches) - 20} more" if len(matches) > 20 else ""
    return refuse(
        "ambiguous",
        f"the text stands at lines {numbers}{more}; give more of the lines around it",
        (f"{match.start + 1}: {lines[match.start]}" for match in matches[:20]),
    )


def _near_line(matches: list[Match], row: int) -> list[Match]:
    """The one at ``row``; or the one a line or two away from it, when no other is near. Models count badly."""
    ordered = sorted(matches, key=lambda match: abs(match.start - row))
    nearest, next_ = (abs(match.start - row) for match in ordered[:2])
    return ordered[:1] if nearest == 0 or (nearest <= OFF_BY and next_ >= CLEAR_OF) else matches
