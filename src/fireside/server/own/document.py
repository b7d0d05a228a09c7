"""The OpenAPI document: our own API, and the names of the others' routes beside it.

Those have their owners' documents, and readers here that take more than they tell: a client that sends something new is never refused. So
they are named in words; as operations they would promise refusals that do not come.
"""

from collections.abc import Collection, Mapping

OTHERS: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/chat/completions"): "OpenAI's chat completions",
    ("POST", "/v1/completions"): "OpenAI's completions",
    ("POST", "/v1/responses"): "OpenAI's responses",
    ("POST", "/v1/embeddings"): "OpenAI's embeddings",
    ("GET", "/v1/models"): "the models, as OpenAI and Anthropic list them",
    ("POST", "/v1/messages"): "Anthropic's messages",
    ("POST", "/v1/messages/count_tokens"): "how many tokens they would be",
    ("POST", "/api/chat"): "Ollama's chat",
    ("POST", "/api/generate"): "Ollama's generate",
    ("POST", "/api/embed"): "Ollama's embeddings",
    ("GET", "/api/tags"): "the models, as Ollama lists them",
    ("POST", "/api/show"): "one of them",
    ("POST", "/infill"): "llama.cpp's fill-in-the-middle",
}


def complete_document(document: Mapping[str, object], known: Collection[tuple[str, str]]) -> dict[str, object]:
    """FastAPI's document, with the others' routes that are served here told in words, and what keys look like."""
    components, about = document["components"], document["info"]
    assert isinstance(components, dict)
    assert isinstance(about, dict)
    beside = [f"- `{method} {path}`: {said}" for (method, path), said in OTHERS.items() if (method, path) in known]
    schemes = {
        "key": {"type": "http", "scheme": "bearer", "description": "Not needed on this machine unless it is asked for."}
    }
    schemas = {name: each for name, each in components["schemas"].items() if "ValidationError" not in name}
    told = "\n\n".join(
        filter(
            None, (about.get("description"), "At the same address, as their owners describe them:", "\n".join(beside))
        )
    )
    return {
        **document,
        "info": {**about, "description": told},
        "components": {**components, "schemas": schemas, "securitySchemes": schemes},
        "security": [{}, {"key": []}],
    }
