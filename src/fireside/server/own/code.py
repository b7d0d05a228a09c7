"""What our own API tells about the project's code: completions, search, definitions, and the index."""

import asyncio
import threading
from dataclasses import asdict
from functools import partial

from fireside.app.fireside import Fireside
from fireside.context.roots import RootHit, Roots
from fireside.core.requests import Usage
from fireside.core.turns import TurnFinished
from fireside.index.chunks import Progress
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.own.chat import Chat, event_of
from fireside.server.own.schemas import CompleteAsked, IndexAsked, SearchAsked
from fireside.server.own.streams import Event, Events

SYMBOLS = 200


class Code:
    def __init__(self, fireside: Fireside, chat: Chat, asking: Asking) -> None:
        self._fireside = fireside
        self._chat = chat
        self._asking = asking

    def completion(self, asked: CompleteAsked, exchange: Exchange) -> Events:
        """Of a text by a model alone; at a place in a file by a model or by copying, as an editor shows it."""
        if asked.placed:
            return self._placed(asked)
        return self._chat.plain(self._asking.dressed(exchange, asked.request()), exchange)

    async def _placed(self, asked: CompleteAsked) -> Events:
        found = await self._fireside.assist.complete(
            asked.path, asked.line, asked.column, text=asked.text, max_lines=asked.max_lines
        )
        if found.text:
            yield Event("text", {"text": found.text})
        model, _, engine = found.model.rpartition("@")
        yield event_of(TurnFinished(Usage(), "stop", engine, model, generated=found.source == "model"))

    async def search(self, asked: SearchAsked) -> dict[str, object]:
        return await asyncio.to_thread(self._search, asked)

    def _search(self, asked: SearchAsked) -> dict[str, object]:
        """In the files as they are now."""
        project = self._fireside.project
        project.update()
        result = Roots([project]).search(
            asked.query, limit=asked.limit, language=asked.lang, path=asked.path, tests=asked.tests
        )
        state = result.roots[0]
        return {
            "query": result.query,
            "results": [_hit(one) for one in result.hits],
            "generation": state.generation,
            "pending": state.pending,
            "note": state.note,
        }

    async def symbols(self, name: str) -> dict[str, object]:
        """Definitions, and names that may have been meant where there is none."""

        def look() -> dict[str, object]:
            project = self._fireside.project
            project.update()
            found = project.symbols(name)[:SYMBOLS]
            return {"symbols": [asdict(one) for one in found], "nearest": [] if found else project.nearest(name)}

        return await asyncio.to_thread(look)

    async def index(self) -> dict[str, object]:
        project = self._fireside.project
        return {"root": str(project.root), **asdict(await asyncio.to_thread(project.status))}

    async def update(self, asked: IndexAsked) -> Events:
        """Progress, and the report as the last event. When nobody listens any more, reading ends at the next file."""
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[Progress | None] = asyncio.Queue()
        left = threading.Event()

        def tell(step: Progress) -> None:
            if left.is_set():
                raise InterruptedError("nobody waits for it")
            loop.call_soon_threadsafe(steps.put_nowait, step)

        project = self._fireside.project
        update = partial(project.update, tell, rebuild=asked.rebuild, most_vectors=None)
        reading = asyncio.ensure_future(asyncio.to_thread(update))
        reading.add_done_callback(lambda _: steps.put_nowait(None))
        try:
            while (step := await steps.get()) is not None:
                yield Event("progress", asdict(step))
            report = await reading
            yield Event("finished", {"root": str(project.root), **asdict(report)})
        finally:
            left.set()
            reading.cancel()


def _hit(one: RootHit) -> dict[str, object]:
    chunk = one.hit.chunk
    return {
        "path": chunk.path,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "score": one.score,
        "symbol": chunk.symbol,
        "text": chunk.text,
        "reasons": list(one.hit.reasons),
    }
