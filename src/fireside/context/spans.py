"""Lines of files: which of them were shown already, and which pieces belong together. Knows places and texts; reads nothing."""

from collections.abc import Iterable, Sequence

from fireside.core.turns import Citation
from fireside.core.values import replace
from fireside.index.chunks import Chunk, Hit


def beyond(chunk: Chunk, shown: Iterable[Citation]) -> list[Chunk]:
    """The parts of ``chunk`` outside the places that were ``shown``, in line order; blank parts are left out."""
    covers = [place for place in shown if place.path == chunk.path]
    if not covers:
        return [chunk]
    lines = chunk.text.split("\n")
    parts: list[Chunk] = []
    begun: int | None = None
    for offset in range(len(lines) + 1):
        number = chunk.start_line + offset
        free = offset < len(lines) and not any(place.start_line <= number <= place.end_line for place in covers)
        if free and begun is None:
            begun = offset
        elif not free and begun is not None:
            parts.append(_part(chunk, lines, begun, offset))
            begun = None
    return [part for part in parts if part.text.strip()]


def _part(chunk: Chunk, lines: Sequence[str], first: int, end: int) -> Chunk:
    start = chunk.start_line + first
    return replace(chunk, start_line=start, end_line=start + end - first - 1, text="\n".join(lines[first:end]))


def merged(hits: Iterable[Hit]) -> list[Hit]:
    """The same lines with overlapping and touching hits of a file made one, in the place of the best of them."""
    result: list[Hit] = []
    for hit in hits:
        near = [other for other in result if _touch(other.chunk, hit.chunk)]
        if not near:
            result.append(hit)
            continue
        joined = _join(near[0], hit)
        for other in near[1:]:
            joined = _join(joined, other)
        result[result.index(near[0])] = joined
        result = [one for one in result if one not in near[1:]]
    return result


def _touch(one: Chunk, other: Chunk) -> bool:
    return one.path == other.path and one.start_line <= other.end_line + 1 and other.start_line <= one.end_line + 1


def _join(better: Hit, worse: Hit) -> Hit:
    first, second = sorted((better.chunk, worse.chunk), key=lambda chunk: (chunk.start_line, -chunk.end_line))
    missing = second.end_line - first.end_line
    text = first.text if missing <= 0 else "\n".join((first.text, *second.text.split("\n")[-missing:]))
    chunk = replace(better.chunk, start_line=first.start_line, end_line=max(first.end_line, second.end_line), text=text)
    reasons = tuple(dict.fromkeys((*better.reasons, *worse.reasons)))
    return Hit(chunk, better.score, reasons)
