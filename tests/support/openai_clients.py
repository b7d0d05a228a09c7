"""OpenAI's own Python SDK, sync and async, behind one way to call it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import attrgetter

import openai


class OpenAIClient:
    """``sync``: the client that blocks; it then runs in a thread, for the server is in this process."""

    def __init__(self, base_url: str, *, sync: bool = False, key: str = "none") -> None:
        kind = openai.OpenAI if sync else openai.AsyncOpenAI
        self.sdk = kind(base_url=base_url, api_key=key, max_retries=0)
        self._blocks = sync

    async def call(self, method: str, *arguments: object, **fields: object):
        """The answer of a method such as ``chat.completions.create``; of a stream or a page all parts."""
        function = attrgetter(method)(self.sdk)
        if self._blocks:
            return await asyncio.to_thread(self._call_sync, function, arguments, fields)
        answer = await function(*arguments, **fields)
        return [part async for part in answer] if _is_stream(answer) else answer

    async def close(self) -> None:
        if self._blocks:
            self.sdk.close()
        else:
            await self.sdk.close()

    def _call_sync(self, function, arguments, fields):
        answer = function(*arguments, **fields)
        return list(answer) if _is_stream(answer) else answer


def _is_stream(answer: object) -> bool:
    return isinstance(answer, openai.Stream | openai.AsyncStream)


@asynccontextmanager
async def client_of(base_url: str, *, sync: bool = False, key: str = "none") -> AsyncIterator[OpenAIClient]:
    client = OpenAIClient(base_url, sync=sync, key=key)
    try:
        yield client
    finally:
        await client.close()
