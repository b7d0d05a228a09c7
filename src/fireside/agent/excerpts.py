"""An answer without a model: the lines that matter, what they define, and what their authors wrote about them.

It never pretends to have understood the question: it shows what search found, and says so.
"""

from collections.abc import Iterator, Sequence

from fireside.index.chunks import Chunk, Hit

NO_MODEL = (
    "No model wrote this: these are the lines that match your question best.\n"
    "For a written answer, add a chat model: `fireside models pull URL-OF-A-GGUF`, or start Ollama and `ollama pull qwen2.5-coder:7b`."
)
MOST_SPANS = 5
MOST_LINES = 12


def answer(hits: Sequence[Hit]) -> Iterator[str]:
    """Markdown, piece by piece: a heading per span with its place, then its signature and documentation, or its first lines."""
    if not hits:
        yield "Nothing in this project matches that. Try the name of a function, a file, or other words.\n\n"
    for hit in hits[:MOST_SPANS]:
        yield _span(hit.chunk)
    yield NO_MODEL + "\n"


def _span(chunk: Chunk) -> str:
    place = f"{chunk.path}:{chunk.start_line}-{chunk.end_line}"
    title = f"**{place}**" + (f" · `{chunk.symbol}`" if chunk.symbol else "")
    if chunk.language == "markdown":
        return f"{title}\n\n{_quoted(_head(chunk.text))}\n\n"
    return f"{title}\n\n```{chunk.language}\n{_head(chunk.text)}\n```\n\n"


def _head(text: str) -> str:
    lines = text.strip("\n").splitlines()
    shown = lines[:MOST_LINES]
    while shown and not shown[-1].strip():
        shown.pop()
    more = len(lines) - len(shown)
    return "\n".join(shown) + (f"\n… {more} more lines" if more > 0 else "")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
