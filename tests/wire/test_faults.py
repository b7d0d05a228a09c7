"""What the errors of other programs mean. Bodies as seen on, or read in the source of, the servers named."""

import json

import pytest

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
    TimedOut,
    Unknown,
)
from fireside.wire.faults import read_fault, typed_error

LLAMA_CPP = {
    "code": 400,
    "message": "the request exceeds the available context size, try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 6010,
    "n_ctx": 1024,
}
OPENAI_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9012 tokens."
BODIES = {
    "OpenAI, too long": (400, {"error": {"message": OPENAI_LONG, "code": "context_length_exceeded"}}, ContextTooLong),
    "llama.cpp, too long": (400, {"error": LLAMA_CPP}, ContextTooLong),
    "Ollama, JSON in JSON": (400, {"error": json.dumps({"error": LLAMA_CPP})}, ContextTooLong),
    "Anthropic, too long": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        },
        ContextTooLong,
    ),
    "nginx, too large": (413, "", ContextTooLong),
    "vLLM, no such model": (
        404,
        {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404},
        ModelNotFound,
    ),
    "Ollama, no such model": (404, {"error": "model 'm' not found"}, ModelNotFound),
    "Anthropic, no such model": (
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}},
        ModelNotFound,
    ),
    "OpenRouter, no such model": (400, {"error": {"message": "m is not a valid model ID", "code": 400}}, ModelNotFound),
    "FastAPI, no such route": (404, {"detail": "Not Found"}, Invalid),
    "FastAPI, wrong field": (
        422,
        {"detail": [{"loc": ["body", "x"], "msg": "field required", "type": "missing"}]},
        Invalid,
    ),
    "wrong key": (401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, NotPermitted),
    "no access": (403, {"error": {"message": "not for you"}}, NotPermitted),
    "rate limit": (429, {"error": {"message": "slow down", "type": "rate_limit_error"}}, RateLimited),
    "Anthropic, overloaded": (
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        RateLimited,
    ),
    "Ollama, queue full": (
        503,
        {"error": "server busy, please try again.  maximum pending requests exceeded"},
        OutOfResources,
    ),
    "llama.cpp, loading": (
        503,
        {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}},
        OutOfResources,
    ),
    "out of memory": (500, {"error": "CUDA error: out of memory"}, OutOfResources),
    "no embeddings": (501, {"error": {"message": "This server does not support embeddings", "code": 501}}, Invalid),
    "proxy, nobody behind": (502, "Bad Gateway", ConnectionFailed),
    "proxy, too slow": (504, "", TimedOut),
    "request timed out": (408, "", TimedOut),
    "client gone": (499, "", ConnectionFailed),
    "anything else": (500, {"error": {"message": "internal"}}, Unknown),
    "plain text": (500, "Traceback (most recent call last):\n  File", Unknown),
    "nothing": (500, "", Unknown),
    "another 4xx": (418, {"error": "teapot"}, Invalid),
}


@pytest.mark.parametrize("case", BODIES)
def test_an_error_body_becomes_its_kind(case):
    status, body, kind = BODIES[case]
    error = typed_error(body if isinstance(body, str) else json.dumps(body), status=status, model="m")
    assert type(error) is kind
    assert error.remedy
    assert "\n" not in error.message
    assert error.context["status"] == status


IN_STREAM = {
    "OpenAI": ({"error": {"message": "The server had an error", "type": "server_error", "code": None}}, Unknown),
    "OpenRouter": ({"error": {"code": 429, "message": "Rate limited upstream"}}, RateLimited),
    "Anthropic": ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, RateLimited),
    "llama.cpp": ({"error": LLAMA_CPP}, ContextTooLong),
    "a timeout": ({"error": {"type": "timeout_error", "message": "too slow"}}, TimedOut),
    "of an unknown shape": ({"error": 42}, Unknown),
}


@pytest.mark.parametrize("case", IN_STREAM)
def test_an_error_inside_a_stream_is_judged_by_its_own_words(case):
    body, kind = IN_STREAM[case]
    assert type(typed_error(body)) is kind


@pytest.mark.parametrize("body", [{"error": json.dumps({"error": LLAMA_CPP})}, {"error": LLAMA_CPP}])
def test_the_numbers_of_a_context_that_was_too_long_are_kept(body):
    error = typed_error(body, status=400)
    assert (error.context["prompt_tokens"], error.context["context_window"]) == (6010, 1024)


def test_numbers_are_found_in_words():
    error = typed_error({"error": {"message": OPENAI_LONG}}, status=400)
    assert (error.context["prompt_tokens"], error.context["context_window"]) == (9012, 8192)


def test_the_time_to_wait_is_kept():
    assert typed_error("", status=429, retry_after=7.0).context["retry_after"] == 7.0


def test_an_account_without_credit_is_not_worth_waiting_for():
    error = typed_error({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, status=429)
    assert isinstance(error, RateLimited)
    assert not error.retryable


def test_a_missing_model_is_named_even_when_the_server_does_not():
    assert "qwen" in typed_error({"error": {"message": "model not found"}}, status=404, model="qwen").message


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'""', "text", 7, None, {"error": {}}, {"error": None}])
def test_any_payload_is_read(payload):
    assert isinstance(read_fault(payload).message, str)


def test_errors_wrapped_without_end_are_read_to_a_depth():
    body = "deep"
    for _ in range(9):
        body = json.dumps({"error": body})
    assert typed_error(body, status=500).message
