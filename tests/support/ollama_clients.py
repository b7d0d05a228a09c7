"""Ollama's own Python client, sync and async, behind one way to call it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import ollama


class OllamaClient:
    """``sync``: the client that blocks; it then runs in a thread, for the server is in this process."""

    def __init__(self, address: str, *, sync: bool = False) -> None:
        self._sync = ollama.Client(address) if sync else None
        self._async = None if sync else ollama.AsyncClient(address)

    async def call(self, method: str, *arguments: object, **fields: object):
        """The method's answer; of a stream all parts."""
        if self._sync is not None:
            return await asyncio.to_thread(self._call_sync, method, arguments, fields)
        assert self._async is not None
        answer = await getattr(self._async, method)(*arguments, **fields)
        return [part async for part in answer] if fields.get("stream") else answer

    async def refused(self, method: str, *arguments: object, **fields: object) -> tuple[int, str]:
        """The status and the words of a refusal."""
        try:
            answer = await self.call(method, *arguments, **fields)
        except ollama.ResponseError as error:
            return error.status_code, error.error
        raise AssertionError(f"{method} was answered: {answer!r}")

    async def close(self) -> None:
        if self._sync is not None:
            self._sync.close()
        if self._async is not None:
            await self._async.close()

    def _call_sync(self, method: str, arguments: tuple[object, ...], fields: dict[str, object]):
        answer = getattr(self._sync, method)(*arguments, **fields)
        return list(answer) if fields.get("stream") else answer


@asynccontextmanager
async def client_of(address: str, *, sync: bool = False) -> AsyncIterator[OllamaClient]:
    client = OllamaClient(address, sync=sync)
    try:
        yield client
    finally:
        await client.close()
