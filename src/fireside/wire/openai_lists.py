"""OpenAI's JSON for what is not said piece by piece: embeddings, models and errors."""

import base64
import sys
from array import array
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Protocol

import orjson

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.requests import Vectors
from fireside.wire.fields import wrong
from fireside.wire.openai_requests import EmbedAsked

ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
CODES: Mapping[ErrorKind, str] = {
    ErrorKind.MODEL_NOT_FOUND: "model_not_found",
    ErrorKind.CONTEXT_LENGTH: "context_length_exceeded",
    ErrorKind.RATE_LIMIT: "rate_limit_exceeded",
}
ENDED_BY_OTHERS = ("superseded", "cancelled")


class Card(Protocol):
    """What of a model is listed."""

    @property
    def engine(self) -> str: ...
    @property
    def context_window(self) -> int: ...
    @property
    def capabilities(self) -> Iterable[str]: ...


def write_error(error: FiresideError, status: int) -> bytes:
    """``status``: the HTTP status it goes out with, which decides the type."""
    param = error.context.get("param")
    body = {
        "message": words_of(error),
        "type": type_of(error, status),
        "param": param if isinstance(param, str) and param else None,
        "code": code_of(error, status),
    }
    return orjson.dumps({"error": body})


def words_of(error: FiresideError) -> str:
    return f"{error.message}; {error.remedy}" if error.remedy else error.message


def type_of(error: FiresideError, status: int) -> str:
    if error.context.get("cause") in ENDED_BY_OTHERS:
        return "cancelled"
    return ERROR_TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")


def code_of(error: FiresideError, status: int) -> str | None:
    """The words clients decide by: agents shorten their conversation at ``context_length_exceeded``."""
    return CODES.get(error.kind) or ("invalid_api_key" if status == 401 else None)


def write_embeddings(vectors: Vectors, asked: EmbedAsked, *, tokens: int | None) -> bytes:
    """``tokens``: of all texts, where the engine says so. Raises ``Invalid`` when more dimensions are wanted than there are."""
    data = [
        {"object": "embedding", "index": index, "embedding": _embedding(vector, asked)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens or 0, "total_tokens": tokens or 0}
    return orjson.dumps({"object": "list", "data": data, "model": asked.model, "usage": usage})


def write_models(entries: Iterable[tuple[str, Card]]) -> bytes:
    """The answer to ``GET /v1/models``: each name one may ask for, and the model that answers to it."""
    return orjson.dumps({"object": "list", "data": [_model(name, card) for name, card in entries]})


def write_model(name: str, card: Card) -> bytes:
    """The answer to ``GET /v1/models/{name}``."""
    return orjson.dumps(_model(name, card))


def _model(name: str, card: Card) -> dict[str, object]:
    """Who asks for the window finds it under the names of OpenRouter, and of vLLM."""
    window = card.context_window or None
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": card.engine,
        "context_length": window,
        "max_model_len": window,
        "capabilities": sorted(card.capabilities),
    }


def _embedding(vector: list[float], asked: EmbedAsked) -> object:
    wanted = asked.dimensions
    if wanted is not None and wanted != len(vector):
        vector = _shortened(vector, wanted)
    if asked.encoding_format != "base64":
        return vector
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers).decode("ascii")


def _shortened(vector: list[float], dimensions: int) -> list[float]:
    """The first numbers, of length 1 again (Kusupati et al., Matryoshka Representation Learning, NeurIPS 2022)."""
    if dimensions > len(vector):
        raise wrong("dimensions", f"this model's vectors have {len(vector)}", "ask for fewer, or for none")
    first = vector[:dimensions]
    length = sqrt(sum(number * number for number in first))
    return [number / length for number in first] if length else first
