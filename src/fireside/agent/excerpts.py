"""An answer without a model: the lines that matter, what they define, and what their authors wrote about them.

It never pretends to have understood the question: it shows what search found, and says so.
"""

from collections.abc import Callable, Iterator, Sequence

from fireside.context.builder import Attachment, fence
from fireside.index.chunks import Chunk, Hit, Symbol

NO_MODEL = "No model wrote this: these are the lines that match your question best.\n"
REMEDY = "For a written answer, add a chat model: `fireside models pull URL-OF-A-GGUF`, or start Ollama and `ollama pull qwen2.5-coder:7b`."
NOTHING = "Nothing in this project matches that. Try the name of a function, a file, or other words.\n\n"
MOST_SPANS = 5
MOST_LINES = 12
MOST_TEXT_LINES = 60
Defined = Callable[[Chunk], Sequence[Symbol]]


def answer(hits: Sequence[Hit], defined: Defined, texts: Sequence[Attachment] = ()) -> Iterator[str]:
    """Markdown, a piece for each span: its place, what its authors wrote about it, and its code from the signature on.

    ``defined``: the definitions that begin in a chunk. ``texts``: what was asked for and is no span (the map, changes).
    """
    if not hits and not texts:
        yield NOTHING
    for text in texts:
        yield f"**{text.name}**\n\n{fence(_head(text.text, MOST_TEXT_LINES), text.language)}\n\n"
    for hit in hits[:MOST_SPANS]:
        yield _span(hit.chunk, defined(hit.chunk))
    yield (NO_MODEL if hits else "") + REMEDY + "\n"


def _span(chunk: Chunk, symbols: Sequence[Symbol]) -> str:
    title = f"**{chunk.path}:{chunk.start_line}-{chunk.end_line}**" + (f" · `{chunk.symbol}`" if chunk.symbol else "")
    if chunk.language == "markdown":
        return f"{title}\n\n{_quoted(_head(chunk.text))}\n\n"
    about = next((symbol for symbol in symbols if symbol.qualified == chunk.symbol), None)
    code = _head(_from_line(chunk, about.start_line) if about else chunk.text)
    doc = about.doc if about and about.doc.split("\n")[0] not in code else ""
    return f"{title}\n\n" + (f"{_quoted(doc)}\n\n" if doc else "") + f"```{chunk.language}\n{code}\n```\n\n"


def _from_line(chunk: Chunk, line: int) -> str:
    return "\n".join(chunk.text.split("\n")[max(0, line - chunk.start_line) :])


def _head(text: str, most: int = MOST_LINES) -> str:
    lines = text.strip("\n").splitlines()
    shown = lines[:most]
    while shown and not shown[-1].strip():
        shown.pop()
    more = len(lines) - len(shown)
    return "\n".join(shown) + (f"\n… {more} more lines" if more > 0 else "")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
