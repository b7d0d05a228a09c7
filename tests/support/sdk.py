"""OpenAI's own SDK against one prepared reply, over loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from openai import AsyncOpenAI


@asynccontextmanager
async def served(body: bytes, media_type: str) -> AsyncIterator["AsyncOpenAI"]:
    """A client whose every request is answered with ``body``."""
    from openai import AsyncOpenAI

    async def reply(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type=media_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", reply)
    async with TestServer(app) as server:
        client = AsyncOpenAI(base_url=str(server.make_url("/v1")), api_key="none", max_retries=0)
        async with client:
            yield client
