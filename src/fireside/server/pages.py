"""The two pages for people: what is served here, and the OpenAPI document as plain tables. They load nothing from anywhere."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape

from fireside import __version__
from fireside.server.exchange import Exchange

HTML = b"text/html; charset=utf-8"
OLLAMA = b"Ollama is running"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;"
    "vertical-align:top}code{background:#f3f3f3;padding:0 .2rem}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}td,th{border-color:#333}code{background:#262626}a{color:#8bf}}"
)
DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    (b"content-security-policy", f"default-src 'none'; style-src 'sha256-{DIGEST}'; base-uri 'none'; form-action 'none'; "
     "frame-ancestors 'none'".encode()),
    (b"referrer-policy", b"no-referrer"),
)  # fmt: skip
CLIENTS = (
    ("OpenAI", "/v1", "OPENAI_BASE_URL", "Codex, OpenCode, Continue, aider, Qwen Code, llm"),
    ("Anthropic", "", "ANTHROPIC_BASE_URL", "Claude Code"),
    ("Ollama", "", "OLLAMA_HOST", "Open WebUI, CodeCompanion, LangChain"),
    ("llama.cpp", "", "the plug-in's endpoint: /infill", "llama.vscode, llama.vim"),
    ("Fireside", "/api/v1", "", "what the others have no words for; see the documentation"),
)


async def home(exchange: Exchange) -> None:
    """A page for browsers. Ollama's clients look for exactly its words here."""
    if b"text/html" not in exchange.headers.get(b"accept", b""):
        await exchange.reply(OLLAMA, media_type=b"text/plain; charset=utf-8")
        return
    address = f"{exchange.scope['scheme']}://{exchange.header(b'host') or 'localhost'}"
    rows = [
        (
            name,
            f"<code>{escape(address + path)}</code>",
            f"<code>{escape(variable)}</code>" if variable else "",
            clients,
        )
        for name, path, variable, clients in CLIENTS
    ]
    body = (
        f"<p>Fireside {escape(__version__)} answers here. Point your client at it:</p>"
        + table(("API", "Address", "Set", "Used by"), rows)
        + '<p><a href="/docs">Documentation</a> · <a href="/openapi.json">OpenAPI</a></p>'
    )
    await reply_html(exchange, page("Fireside", body))


async def reply_html(exchange: Exchange, text: str) -> None:
    await exchange.reply(text.encode(), media_type=HTML, headers=POLICY)


def page(title: str, body: str) -> str:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    return (
        f'<!doctype html><html lang="en"><head>{head}<title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """``rows``: cells as HTML."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def docs(document: Mapping[str, object]) -> str:
    """The OpenAPI document, an operation a row."""
    paths = _mapping(document.get("paths"))
    rows = [
        (
            f"<code>{escape(method.upper())} {escape(path)}</code>",
            escape(str(_mapping(operation).get("description") or _mapping(operation).get("summary", ""))),
            ", ".join(f"<code>{escape(field)}</code>" for field in _fields(document, _mapping(operation))),
        )
        for path, operations in paths.items()
        for method, operation in _mapping(operations).items()
    ]
    body = '<p>As data: <a href="/openapi.json">openapi.json</a></p>' + table(("", "What it does", "Takes"), rows)
    return page("Fireside's API", body)


def _fields(document: Mapping[str, object], operation: Mapping[str, object]) -> list[str]:
    """The names of what an operation takes, in its address and in its body."""
    parameters = operation.get("parameters")
    named = [str(_mapping(each).get("name")) for each in parameters] if isinstance(parameters, list) else []
    content = _mapping(_mapping(operation.get("requestBody")).get("content"))
    schema = _mapping(_mapping(content.get("application/json")).get("schema"))
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = _mapping(
            _mapping(_mapping(document.get("components")).get("schemas")).get(reference.rpartition("/")[2])
        )
    return [*named, *_mapping(schema.get("properties"))]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
