"""What a conversation does beside answering."""

import asyncio
import threading

import pytest

from fireside.cli.conversation import _in_thread


async def test_reading_the_project_ends_when_the_chat_is_left():
    reading, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def update(go_on):
        loop.call_soon_threadsafe(reading.set)
        try:
            while True:
                go_on(None)
        finally:
            ended.set()

    waiting = asyncio.create_task(_in_thread(update))
    await reading.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(ended.wait, 10)
