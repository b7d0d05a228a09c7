"""Errors as Ollama's server says them. Its clients decide by these very words, so they are not ours to improve.

Where Ollama has words, they are the whole text and what helps stands beside it; elsewhere our own words say both. Source: the ``server``
and ``api`` packages of Ollama's 0.33 line.
"""

import json

import orjson

from fireside.core.errors import ContextTooLong, FiresideError, Invalid, ModelNotFound, RateLimited

MISSING_BODY = "missing request body"
MISSING_MODEL = "model is required"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
TOO_LONG = "the prompt is longer than the context length"
INPUT_TOO_LONG = "the input length exceeds the context length"


def exactly(words: str, *, remedy: str = "", status: int = 400) -> Invalid:
    """An error in Ollama's own words, to which nothing is added."""
    return Invalid(words, remedy=remedy, http_status=status, exact=True)


def unsupported(model: str, what: str) -> Invalid:
    """``what``: chat, generate, tools, insert, thinking, vision or embeddings. Embeddings are 501, as if the server could not."""
    return exactly(
        f"{quoted(model)} does not support {what}",
        remedy="choose a model that does: see its capabilities at /api/show",
        status=501 if what == "embeddings" else 400,
    )


def missing(model: str, remedy: str = "") -> ModelNotFound:
    """``model``: as the client wrote it."""
    return ModelNotFound(f"model '{model}' not found", remedy=remedy, model=model, exact=True)


def quoted(text: str) -> str:
    """As Go's ``%q`` writes it."""
    return json.dumps(text, ensure_ascii=False)


def busy(error: RateLimited) -> RateLimited:
    """A full queue is 503 here, and no limit of a key."""
    wait = error.context.get("retry_after")
    return RateLimited(BUSY, remedy=error.remedy, http_status=503, exact=True, cause="queue", retry_after=wait)


def write_error(error: FiresideError, status: int) -> bytes:
    """``{"error": text}``; with ``remedy`` beside it where the text is Ollama's own."""
    if error.context.get("exact") or error.message in (MISSING_BODY, MISSING_MODEL):
        return _written(error.message, error.remedy)
    text = f"{error.message}; {error.remedy}" if error.remedy else error.message
    if isinstance(error, ContextTooLong):
        return _written(f"{TOO_LONG}: {text}")
    if isinstance(error, ModelNotFound):
        # Clients tell a missing model from a missing route by the first word.
        model = error.context.get("model")
        return _written(f"model '{model}' not found", error.remedy) if model else _written(f"model not found: {text}")
    return _written(text)


def _written(text: str, remedy: str = "") -> bytes:
    return orjson.dumps({"error": text, "remedy": remedy} if remedy else {"error": text})
