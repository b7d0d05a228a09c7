"""One answer piece by piece, while its tool calls are put right. Knows what may pass and when; ``hold`` and ``calls`` know why."""

from collections.abc import Callable

from fireside.core.requests import Delta, Logprob
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.gateway.batches import Batches
from fireside.gateway.calls import Mended, Offered
from fireside.gateway.hold import Hold


async def mended(batches: Batches, offered: Offered, *, bare: bool, heard: Callable[[str], None]) -> Batches:
    """The batches with their calls put right. ``bare``: text without an envelope may be a call. ``heard``: gets each fault."""
    mending = Mending(offered, bare=bare, heard=heard)
    async with closing(batches):
        async for batch in batches:
            pieces = mending.batch(batch)
            if pieces:
                yield pieces


class Mending:
    """One answer on its way through."""

    def __init__(self, offered: Offered, *, bare: bool, heard: Callable[[str], None]) -> None:
        self._offered = offered
        self._heard = heard
        self._hold = Hold(offered, bare=bare)
        self._logprobs: tuple[Logprob, ...] = ()
        self._waiting: list[tuple[Delta, Mended]] = []
        self._called = False

    def batch(self, batch: list[Delta]) -> list[Delta]:
        """The same pieces, or what became of them; the list itself when nothing did."""
        mended: list[Delta] = []
        for delta in batch:
            if delta.tool_call is None and delta.finish_reason is None:
                self._text(delta, mended)
            else:
                self._rest(delta, mended)
        return mended

    def _text(self, delta: Delta, mended: list[Delta]) -> None:
        passed = self._hold.feed(delta.text) if delta.text else ""
        if passed is delta.text and not self._logprobs:
            mended.append(delta)
            return
        self._logprobs += delta.logprobs
        if passed or delta.reasoning or delta.usage is not None:
            likely, self._logprobs = (self._logprobs, ()) if passed else ((), self._logprobs)
            mended.append(replace(delta, text=passed, logprobs=likely))

    def _rest(self, delta: Delta, mended: list[Delta]) -> None:
        """A call, or the end, or both, and any text that comes with them."""
        if delta.text or delta.reasoning:
            self._text(replace(delta, tool_call=None, finish_reason=None, usage=None), mended)
            delta = replace(delta, text="", reasoning="", logprobs=())
        if delta.tool_call is not None:
            self._give(self._hold.give_up(), mended)
            self._native(delta, mended)
        elif delta.finish_reason is not None:
            self._end(delta, mended)

    def _native(self, delta: Delta, mended: list[Delta]) -> None:
        assert delta.tool_call is not None
        call = self._offered.mend(delta.tool_call)
        self._called = True
        last = delta.finish_reason is not None
        self._waiting.append((replace(delta, finish_reason=None, usage=None) if last else delta, call))
        if "arguments_closed" not in call.faults and len(self._waiting) == 1:
            self._settle(mended, whole=True)
        if last:
            self._end(replace(delta, tool_call=None), mended)

    def _settle(self, mended: list[Delta], *, whole: bool) -> None:
        """Give out the calls that waited. Only an answer that was finished (``whole``) may have brackets closed in it."""
        for delta, call in self._waiting:
            if "arguments_closed" in call.faults and not whole:
                mended.append(delta)
                continue
            self._tell(call)
            mended.append(delta if call.call is delta.tool_call else replace(delta, tool_call=call.call))
        self._waiting = []

    def _end(self, delta: Delta, mended: list[Delta]) -> None:
        assert delta.finish_reason is not None
        text, calls = self._hold.end(delta.finish_reason)
        self._give(text, mended)
        self._settle(mended, whole=delta.finish_reason in ("stop", "tool_calls"))
        for call in calls:
            self._tell(call)
            mended.append(Delta(tool_call=call.call))
        called = (self._called or calls) and delta.finish_reason == "stop"
        mended.append(replace(delta, finish_reason="tool_calls") if called else delta)

    def _give(self, text: str, mended: list[Delta]) -> None:
        if text:
            mended.append(Delta(text=text, logprobs=self._logprobs))
            self._logprobs = ()

    def _tell(self, call: Mended) -> None:
        for fault in call.faults:
            self._heard(fault)
