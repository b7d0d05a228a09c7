"""Asynchronous things for callers that are not: an event loop in a thread of its own.

The index is called from threads, and from commands without any event loop. What it needs of the inference wing therefore lives on a loop
that nobody else uses: no caller can block it, and none is blocked by it but the one that waits for its answer.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar

from fireside.core.errors import ConnectionFailed

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Running(Generic[Thing]):
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    thing: Thing


class LoopThread(Generic[Thing]):
    """``opened``: makes the thing, inside the loop, when the first question comes. ``name``: of the thread."""

    def __init__(self, name: str, opened: Callable[[], AbstractAsyncContextManager[Thing]]) -> None:
        self._name = name
        self._opened = opened
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._running: _Running[Thing] | None = None
        self._closed = False
        self._asked: set[asyncio.Task[object]] = set()

    def run(self, question: Callable[[Thing], Awaitable[Answer]]) -> Answer:
        """The answer, from any thread, also one with a loop of its own. Ctrl-C and ``close`` in another thread cancel the question."""
        future: concurrent.futures.Future[Answer] | None = None
        try:
            # Ctrl-C may come as soon as the question is on its way, before anybody waits for the answer.
            with self._guard:
                running = self._started()
                future = asyncio.run_coroutine_threadsafe(self._ask(running.thing, question), running.loop)
            return future.result()
        except concurrent.futures.CancelledError:
            raise _closed(self._name) from None
        except BaseException:
            if future is not None:
                future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is being asked, close the thing, end the thread. Safe to call twice; later questions are refused."""
        with self._guard:
            self._closed = True
            running, thread = self._running, self._thread
            self._running = self._thread = None
        if running is not None and thread is not None:
            running.loop.call_soon_threadsafe(running.stop.set)
            thread.join()

    def _started(self) -> _Running[Thing]:
        if self._closed:
            raise _closed(self._name)
        if self._running is None:
            ready: concurrent.futures.Future[_Running[Thing]] = concurrent.futures.Future()
            # A door that forgets to close must still be able to end.
            thread = threading.Thread(target=self._live, args=(ready,), name=self._name, daemon=True)
            thread.start()
            try:
                self._running, self._thread = ready.result(), thread
            except BaseException:
                # It could not be opened, or Ctrl-C came first: then nobody is waiting for it any more.
                ready.cancel()
                thread.join()
                raise
        return self._running

    def _live(self, ready: "concurrent.futures.Future[_Running[Thing]]") -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: "concurrent.futures.Future[_Running[Thing]]") -> None:
        try:
            async with self._opened() as thing:
                if ready.set_running_or_notify_cancel():
                    stop = asyncio.Event()
                    ready.set_result(_Running(asyncio.get_running_loop(), stop, thing))
                    await stop.wait()
                    for task in self._asked:
                        task.cancel()
                    await asyncio.gather(*self._asked, return_exceptions=True)
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _ask(self, thing: Thing, question: Callable[[Thing], Awaitable[Answer]]) -> Answer:
        task = asyncio.current_task()
        assert task is not None
        self._asked.add(task)
        try:
            return await question(thing)
        finally:
            self._asked.discard(task)


def _closed(name: str) -> ConnectionFailed:
    return ConnectionFailed(f"{name} was closed", remedy="open the project again", retryable=False, cause="closed")
