"""Fetch one file over HTTP so that it can be broken off at any byte and gone on with, by this process or a later one.

Beside the unfinished ``.part`` stands a small state: which address, how long the file is, and the server's validator (a strong ETag, else
Last-Modified). The rest is asked for with ``Range`` and ``If-Range``, so a server whose file has changed sends the whole new one, and
nothing is ever glued together from two files. Knows HTTP's rules for ranges (RFC 9110, sections 13 and 14); opens no connection itself.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from fireside.core.errors import (
    ConnectionFailed,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
)
from fireside.core.retry import Backoff
from fireside.core.streams import closing
from fireside.models.disk import check_space, disk_errors, in_words, write_atomically
from fireside.models.header import printable
from fireside.models.magic import looks_like

PIECE = 1 << 20
REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 5
NOBODY_THERE = ("refused", "dns", "unreachable", "tls")
OTHER = "try another address"
AGAIN = "run the same command again: it goes on where it was"
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Progress:
    """``status``: what is being done, in words; "success" at the end. ``completed``, ``total``: bytes; ``total`` is 0 while unknown."""

    status: str
    completed: int = 0
    total: int = 0


class FetchStream(Protocol):
    """An answer whose body is still coming. ``headers``: names in lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises ``FiresideError`` when it breaks off."""
        ...


class Fetch(Protocol):
    """A GET. Raises ``FiresideError`` when nothing answers. Redirects may be followed or handed back."""

    def __call__(self, url: str, *, headers: Mapping[str, str]) -> AbstractAsyncContextManager[FetchStream]: ...


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an unfinished download. ``total``: bytes, 0 = unknown. ``validator``: for If-Range, "" = none."""

    url: str
    total: int = 0
    validator: str = ""


class _Changed(Exception):
    """What we have does not continue into what the server has: begin again."""


class Download:
    """One address being fetched into ``folder``. ``digest`` and ``size`` are known when ``run`` has ended."""

    def __init__(self, folder: Path, url: str, *, sha256: str | None, fetch: Fetch, retry: Backoff) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise Invalid(
                f"{printable(url)} is not an address of a file", remedy="give one like https://host/path/model.gguf"
            )
        key = hashlib.sha256(url.encode()).hexdigest()[:24]
        self.url = url
        self.part = folder / f"{key}.part"
        self.digest = ""
        self.size = 0
        self._state_file = folder / f"{key}.json"
        self._lock = folder / f"{key}.lock"
        self._wanted = sha256
        self._fetch = fetch
        self._retry = retry
        self._hash = hashlib.sha256()
        self._total = 0
        self._whole = False

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold this download for this process. Raises ``OutOfResources`` when another has it."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OutOfResources(
                f"{_shown(self.url)} is already being pulled", remedy="wait for the other pull to end", retryable=True
            ) from error
        try:
            yield
        finally:
            lock.release()

    async def run(self) -> AsyncIterator[Progress]:
        """Fetch until the file is whole and has the wanted digest. Leaves ``part`` behind, whatever happens, except when it is wrong."""
        yield Progress("pulling", self._kept(), self._read_state().total)
        self.size = await self._resume()
        furthest, waits = self.size, self._retry.waits()
        while not self._whole:
            try:
                async with closing(self._attempt()) as steps:
                    async for step in steps:
                        yield step
            except _Changed:
                if not self.size:
                    raise Invalid(f"{_shown(self.url)} sends a part when asked for all", remedy=OTHER) from None
                self._start_over()
            except FiresideError as error:
                if not error.retryable or (not self.size and error.context.get("cause") in NOBODY_THERE):
                    raise
                if self.size > furthest:
                    furthest, waits = self.size, self._retry.waits()
                wait = next(waits, None)
                if wait is None and not self.size:
                    raise
                if wait is None:
                    raise self._gave_up(error) from error
                yield Progress("waiting to go on", self.size, self._total)
                await asyncio.sleep(wait)
        self._compare()

    def judge(self, check: Callable[[Path], object]) -> None:
        """Run ``check`` on the whole file; one that fails is deleted, for going on with it would not mend it."""
        try:
            check(self.part)
        except Invalid as error:
            self._discard()
            about = error.message.replace(self.part.name, _shown(self.url))
            raise Invalid(about, remedy="try another address; nothing was kept") from error

    def forget(self) -> None:
        self._state_file.unlink(missing_ok=True)

    def _compare(self) -> None:
        self.digest = self._hash.hexdigest()
        if self._wanted and self.digest != self._wanted:
            self._discard()
            raise Invalid(
                f"{_shown(self.url)} has the digest {self.digest[:12]}..., not {self._wanted[:12]}...",
                remedy="check the address and the digest; nothing was kept",
                expected=self._wanted,
                actual=self.digest,
            )

    # One attempt

    async def _attempt(self) -> AsyncIterator[Progress]:
        headers = {"accept-encoding": "identity"}
        if self.size:
            headers["range"] = f"bytes={self.size}-"
            if validator := self._read_state().validator:
                headers["if-range"] = validator
        url = self.url
        for _ in range(HOPS):
            async with self._fetch(url, headers=headers) as stream:
                if stream.status in REDIRECTS and "location" in stream.headers:
                    url = urljoin(url, stream.headers["location"])
                    continue
                async with closing(self._take(stream)) as steps:
                    async for step in steps:
                        yield step
                return
        raise Invalid(f"{_shown(self.url)} redirects in circles", remedy="use the address of the file itself")

    async def _take(self, stream: FetchStream) -> AsyncIterator[Progress]:
        """Append what one answer holds to the part."""
        if stream.status == 416 and self.size and _length_after_slash(stream.headers) == self.size:
            self._whole = True
            return
        self._accept(stream.status, stream.headers)
        with disk_errors("the download"):
            check_space(self.part.parent, max(0, self._total - self.size))
            write_atomically(self._state_file, msgspec.json.encode(self._new_state(stream.headers)))
        with disk_errors("the download"), self.part.open("ab", buffering=0) as file:
            async with closing(self._append(stream, file)) as steps:
                async for step in steps:
                    yield step
            os.fsync(file.fileno())
        if self._total and self.size < self._total:
            raise ConnectionFailed(
                f"{_shown(self.url)} broke off after {in_words(self.size)}", remedy=AGAIN, cause="cut"
            )
        if not self.size:
            raise Invalid(f"{_shown(self.url)} is empty", remedy=OTHER)
        self._whole = True

    async def _append(self, stream: FetchStream, file: BinaryIO) -> AsyncIterator[Progress]:
        held = bytearray()
        try:
            async for chunk in stream.chunks():
                held += chunk
                if (
                    len(held) >= PIECE or not self.size
                ):  # the first bytes at once: they tell whether it is a GGUF at all
                    data, held = bytes(held), bytearray()
                    await self._keep(data, file)
                    yield Progress("pulling", self.size, self._total)
        finally:
            # Also when the connection broke or the user stopped: what was read is kept.
            if held:
                await self._keep(bytes(held), file)
        yield Progress("pulling", self.size, self._total)

    async def _keep(self, data: bytes, file: BinaryIO) -> None:
        if self._total and self.size + len(data) > self._total:
            self._discard()
            raise Invalid(
                f"{_shown(self.url)} sends more than the {self._total:,} bytes it announced", remedy="try again"
            )
        if not self.size and data[:4] != b"GGUF"[: len(data)]:
            kind, remedy = looks_like(data[:4096], "")
            self._discard()
            raise Invalid(f"{_shown(self.url)} is not a GGUF file: {kind}", remedy=remedy)
        await _finished(asyncio.to_thread(self._write, data, file))
        self.size += len(data)

    def _write(self, data: bytes, file: BinaryIO) -> None:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        self._hash.update(data)

    # What the server says

    def _accept(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of what is coming, or raise."""
        if status == 416 or (status == 206 and not self._continues(headers)):
            raise _Changed
        if status not in (200, 206):
            raise _refusal(status, headers, self.url)
        if headers.get("content-type", "").startswith("text/html"):
            raise Invalid(
                f"{_shown(self.url)} is a web page, not a file",
                remedy="use the address of the file itself (on Hugging Face: /resolve/ in place of /blob/)",
            )
        if headers.get("content-encoding", "identity") != "identity":
            raise Invalid(
                f"{_shown(self.url)} is sent compressed, though that was not asked for", remedy="try another address"
            )
        if status == 200:
            if self.size:
                self._start_over()  # the server does not know ranges, or its file has changed
            self._total = _number(headers.get("content-length", ""))
        else:
            self._total = _length_after_slash(headers) or self.size + _number(headers.get("content-length", ""))

    def _continues(self, headers: Mapping[str, str]) -> bool:
        """Whether a partial answer begins where we end, in a file as long as before."""
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", ""))
        before = self._read_state().total
        return found is not None and int(found[1]) == self.size and (found[2] == "*" or before in (0, int(found[2])))

    def _new_state(self, headers: Mapping[str, str]) -> State:
        etag = headers.get("etag", "")
        strong = etag if etag and not etag.startswith("W/") else ""
        return State(url=self.url, total=self._total, validator=strong or headers.get("last-modified", ""))

    # What is on disk

    def _kept(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _read_state(self) -> State:
        try:
            state = msgspec.json.decode(self._state_file.read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            return State(url="")
        return state if state.url == self.url else State(url="")

    async def _resume(self) -> int:
        """Bytes to go on from, hashed. Nothing when the server gave no validator and no digest would show a mixed file."""
        state, size = self._read_state(), self._kept()
        self._total = state.total
        if not size or not (state.validator or (state.url and self._wanted)) or 0 < state.total < size:
            self._start_over()
            return 0
        with disk_errors("reading the unfinished download"), self.part.open("rb") as file:
            while piece := await _finished(asyncio.to_thread(file.read, 8 * PIECE)):
                self._hash.update(piece)
        self._whole = size == self._total
        return size

    def _start_over(self) -> None:
        with disk_errors("the download"):
            self.part.unlink(missing_ok=True)
        self._hash = hashlib.sha256()
        self.size = self._total = 0

    def _discard(self) -> None:
        self._start_over()
        self._state_file.unlink(missing_ok=True)

    def _gave_up(self, error: FiresideError) -> FiresideError:
        held = f" after {in_words(self.size)} of {in_words(self._total)}" if self._total else ""
        cause = error.context.get("cause", "cut")
        return ConnectionFailed(f"{error.message}; the download stopped{held}", remedy=AGAIN, cause=cause)


def default_name(place: str) -> str:
    """A model's name from its address or path: the file's name without its ending."""
    name = unquote(urlsplit(place).path if "://" in place else place).rstrip("/").rpartition("/")[2]
    name = re.sub(r"\.gguf$", "", name, flags=re.IGNORECASE)
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._:+-]+", "-", name).strip("-") or "model"


async def _finished(work: Awaitable[Result]) -> Result:
    """Await work in a thread to its end even when cancelled: the file it uses must not be closed under it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _refusal(status: int, headers: Mapping[str, str], url: str) -> FiresideError:
    shown = _shown(url)
    if status in (404, 410):
        return ModelNotFound(f"there is no {shown} (status {status})", remedy="check the address", status=status)
    if status in (401, 403):
        by_hand = "fetch it with a browser, then: fireside models add FILE.gguf"
        return NotPermitted(f"{shown} may not be fetched (status {status})", remedy=by_hand, status=status)
    if status == 429:
        seconds = _number(headers.get("retry-after", ""))
        return RateLimited(f"{shown} is asked too often", remedy="wait a little", retry_after=seconds)
    if status >= 500:
        return ConnectionFailed(
            f"{shown} cannot be served now (status {status})", remedy=AGAIN, cause="protocol", status=status
        )
    return Invalid(f"{shown} answers with status {status}", remedy="check the address", status=status)


def _length_after_slash(headers: Mapping[str, str]) -> int:
    """The whole length in ``Content-Range: bytes 0-9/100`` or ``bytes */100``; 0 when it is not told."""
    return _number(headers.get("content-range", "").rpartition("/")[2])


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _shown(url: str) -> str:
    """An address without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    return printable(f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}")
