"""Our own API over HTTP, as a FastAPI application. Thin: what is asked is read by the schemas, done by ``Api``, sent by ``streams``.

400 is a request that does not fit the document; 422 is one that fits and still cannot be done (a line the file does not have).
"""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from fireside import __version__
from fireside.core.errors import Invalid
from fireside.core.streams import closing
from fireside.server.exchange import Exchange, Message, Receive, Send
from fireside.server.mount import Visit
from fireside.server.own import replies
from fireside.server.own.api import Api
from fireside.server.own.chat import whole
from fireside.server.own.schemas import (
    ChatAsked,
    CompleteAsked,
    ConfigAsked,
    EmbedAsked,
    IndexAsked,
    PullAsked,
    Refusal,
    SearchAddressed,
    SearchAsked,
)
from fireside.server.own.streams import NAMES, Events, send_events
from fireside.server.own.words import misfit

REFUSED = {
    400: "The request does not fit this document.",
    401: "Nobody we know asks.",
    403: "This key may not, or the place is outside the project.",
    404: "There is no such thing.",
    409: "The request was ended, or a newer one took its place.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "The request fits this document and still cannot be done.",
    429: "Too much at once; Retry-After says when.",
    500: "The server failed.",
    502: "The engine could not be reached, or broke off.",
    503: "Nobody can answer now.",
    504: "The engine took too long.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": said} for status, said in REFUSED.items()
}
EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "required": ["event", "id", "data"],
            "properties": {
                "event": {"enum": list(NAMES)},
                "id": {"type": "string", "description": "Counted from 1."},
                "data": {"type": "string", "contentMediaType": "application/json"},
            },
        }
    }
}
STREAMS: dict[int | str, dict[str, Any]] = {200: {"content": EVENTS, "description": "As a stream of events, or whole."}}
router = APIRouter(prefix="/api/v1", responses=RESPONSES)


class Unsent(Response):
    """Nothing is sent: the client has gone, or the server draws the error."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        return None


class Streamed(Response):
    def __init__(self, events: Events, exchange: Exchange, api: Api) -> None:
        super().__init__()
        self._events = events
        self._exchange = exchange
        self._api = api

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        with self._exchange.watched():
            await send_events(self._exchange, self._events, self._api.running)


def build(api: Api) -> FastAPI:
    application = FastAPI(
        title="Fireside",
        version=__version__,
        description="A private, local-first coding assistant. Streams are server-sent events; the last is `finished` or `failed`.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        separate_input_output_schemas=False,
        redirect_slashes=False,
    )
    application.include_router(router)
    application.state.api = api
    application.add_exception_handler(RequestValidationError, _misfit)
    application.add_exception_handler(HTTPException, _nowhere)
    application.add_exception_handler(Exception, _failed)
    application.add_exception_handler(Invalid, _unprocessable)
    return application


async def _exchange(request: Request) -> Exchange:
    visit: Visit = request.scope["fireside"]
    return visit.exchange


async def _api(request: Request) -> Api:
    api: Api = request.app.state.api
    return api


Here = Annotated[Exchange, Depends(_exchange)]
Ours = Annotated[Api, Depends(_api)]


async def _failed(request: Request, error: Exception) -> Response:
    """Handed to the server, which draws every error."""
    visit: Visit = request.scope["fireside"]
    visit.error = error
    return Unsent()


async def _misfit(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _failed(request, misfit(error.errors(), within=1))


async def _nowhere(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    place = request.url.path[:200]
    return await _failed(
        request, Invalid(f"there is nothing at {place}", remedy="see /docs", http_status=error.status_code)
    )


async def _unprocessable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)
    if "http_status" not in error.context:
        context = {name: value for name, value in error.context.items() if name not in ("retryable", "remedy")}
        error = Invalid(error.message, remedy=error.remedy, retryable=error.retryable, **context, http_status=422)
    return await _failed(request, error)


def written(data: Mapping[str, object], exchange: Exchange) -> Response:
    headers = {name.decode(): value.decode("latin-1") for name, value in exchange.story.headers()}
    return Response(orjson.dumps(data), media_type="application/json", headers=headers)


async def _whole(exchange: Exchange, api: Api, work: Awaitable[Mapping[str, object]]) -> Response:
    """The result as JSON; work that nobody waits for any more is ended."""
    with exchange.watched(), api.running.entered(exchange):
        return written(await work, exchange)
    return Unsent()


async def _last(events: Events) -> Mapping[str, object]:
    """What a stream's last event tells."""
    data: Mapping[str, object] = {}
    async with closing(events) as each:
        async for event in each:
            data = event.data
    return data


@router.post("/chat", response_model=replies.ChatTold, responses=STREAMS)
async def chat(asked: ChatAsked, exchange: Here, api: Ours) -> Response:
    """Ask about the project, or go on with a conversation.

    Events: `context`, `text`, `reasoning`, `tool_call`, `tool_started`, `tool_finished`, and last `finished` or `failed`.
    """
    events = api.chat.events(asked, exchange)
    return Streamed(events, exchange, api) if asked.stream else await _whole(exchange, api, whole(events))


@router.post("/complete", response_model=replies.ChatTold, responses=STREAMS)
async def complete(asked: CompleteAsked, exchange: Here, api: Ours) -> Response:
    """What would be typed next, at a place in a file or between a prefix and a suffix. Events: `text`, `finished` or `failed`."""
    events = api.code.completion(asked, exchange)
    return Streamed(events, exchange, api) if asked.stream else await _whole(exchange, api, whole(events))


@router.get("/search", response_model=replies.SearchTold)
async def search(asked: Annotated[SearchAddressed, Query()], exchange: Here, api: Ours) -> Response:
    """The lines that answer a question."""
    return await _whole(exchange, api, api.code.search(asked))


@router.post("/search", response_model=replies.SearchTold)
async def search_long(asked: SearchAsked, exchange: Here, api: Ours) -> Response:
    """The same, for questions that are too long for an address."""
    return await _whole(exchange, api, api.code.search(asked))


@router.get("/symbols/{name:path}", response_model=replies.SymbolsTold)
async def symbols(name: str, exchange: Here, api: Ours) -> Response:
    """Definitions with this name; `Class.method` narrows."""
    return await _whole(exchange, api, api.code.symbols(name))


@router.get("/index", response_model=replies.IndexTold)
async def index(exchange: Here, api: Ours) -> Response:
    """How the index stands."""
    return await _whole(exchange, api, api.code.index())


@router.post("/index", response_model=replies.ReportTold, responses=STREAMS)
async def update_index(asked: IndexAsked, exchange: Here, api: Ours) -> Response:
    """Read what has changed in the project. Events: `progress`, `finished` or `failed`."""
    events = api.code.update(asked)
    return Streamed(events, exchange, api) if asked.stream else await _whole(exchange, api, _last(events))


@router.get("/models", response_model=replies.ModelsTold)
async def models(exchange: Here, api: Ours) -> Response:
    """Every model of every engine."""
    return await _whole(exchange, api, api.models.all())


@router.post("/models/pull", response_model=replies.PulledTold, responses=STREAMS)
async def pull(asked: PullAsked, exchange: Here, api: Ours) -> Response:
    """Bring a model here. Events: `progress`, `finished` or `failed`."""
    events = api.models.pull(asked)
    return Streamed(events, exchange, api) if asked.stream else await _whole(exchange, api, _last(events))


@router.get("/models/{name:path}", response_model=replies.ModelTold)
async def model(name: str, exchange: Here, api: Ours) -> Response:
    """The model that answers to this name."""
    return await _whole(exchange, api, api.models.one(name))


@router.post("/embed", response_model=replies.VectorsTold)
async def embed(asked: EmbedAsked, exchange: Here, api: Ours) -> Response:
    """One vector for each text."""
    return await _whole(exchange, api, api.models.embed(asked, exchange))


@router.get("/config", response_model=dict[str, replies.SettingTold])
async def config(exchange: Here, api: Ours) -> Response:
    """The settings in force and where each comes from."""
    return written(api.configuration.items(), exchange)


@router.patch("/config", response_model=replies.ChangedTold)
async def change_config(asked: ConfigAsked, exchange: Here, api: Ours) -> Response:
    """Change your own settings file."""
    return written(api.configuration.change(asked), exchange)


@router.get("/metrics", response_model=dict[str, Any])
async def metrics(exchange: Here, api: Ours) -> Response:
    """Counts and times since the server started."""
    return written(api.state.metrics(), exchange)


@router.get("/health", response_model=replies.HealthTold)
async def health(exchange: Here, api: Ours) -> Response:
    """How engines, index and disk are."""
    return await _whole(exchange, api, api.state.health())


@router.get("/requests", response_model=replies.RequestsTold)
async def requests(exchange: Here, api: Ours) -> Response:
    """What is being answered now: yours, or everybody's for an administrator."""
    return written({"requests": api.running.told(exchange.principal)}, exchange)


@router.delete("/requests/{request_id}", status_code=204, response_class=Response)
async def end_request(request_id: str, exchange: Here, api: Ours) -> Response:
    """End a running request, by the `X-Request-Id` of its reply."""
    api.running.end(request_id, exchange.principal)
    return Response(status_code=204)
