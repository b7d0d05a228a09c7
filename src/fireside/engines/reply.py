"""A whole answer over HTTP, and what it means when it is not the one hoped for.

Knows status codes, headers and web pages; the words inside a JSON error are ``wire.faults``'s. Opens nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import orjson

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted
from fireside.wire.faults import one_line, typed_error

TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)
CHECK_ADDRESS = "check the port and the path of base_url"


@dataclass(frozen=True, slots=True)
class Response:
    """``headers``: names in lower case. ``url``: without user, password and query."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_page(self) -> bool:
        """Whether this is HTML: something answers, but not an API."""
        return self.headers.get("content-type", "").startswith("text/html") or PAGE.match(self.body) is not None

    def json(self) -> object:
        """The body as JSON. Raises ``ConnectionFailed`` (protocol) for a web page, nothing, or half an answer."""
        if self.is_page:
            raise web_page(self)
        try:
            value: object = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            what = "JSON that breaks off or is malformed" if self.body.strip() else "an empty body"
            raise ConnectionFailed(
                f"{self.url} answered with {what}", remedy="look at the server's log", cause="protocol", url=self.url
            ) from error
        return value

    def object(self) -> dict[str, object]:
        """The body as a JSON object. Raises as ``json`` does, and for a successful answer that is only an error."""
        value = self.json()
        if not isinstance(value, dict):
            raise ConnectionFailed(
                f"{self.url} answered with JSON of another shape", remedy=CHECK_ADDRESS, cause="protocol", url=self.url
            )
        if value.get("error") and self.ok:
            raise typed_error(value, source=place(self.url))
        return value


def explain(response: Response, *, model: str = "") -> FiresideError:
    """The error an answer stands for. ``model``: the name that was asked for."""
    status = response.status
    if response.ok:
        return web_page(response) if response.is_page else _not_expected(response)
    if 300 <= status < 400:
        return _moved(response)
    words = response.body[:4096].lower()
    if status == 400 and b"http request" in words and b"https" in words:
        return ConnectionFailed(
            f"{place(response.url)} speaks https", remedy="write https:// in base_url", cause="tls", retryable=False
        )
    if status == 403 and not response.body.strip():
        return NotPermitted(
            f"{place(response.url)} refuses this host name (403 with an empty body)",
            remedy="set engines.<name>.host_header, for Ollama to 'localhost:11434'",
            status=status,
            url=response.url,
        )
    if response.is_page and status in (400, 404, 405, 501):
        page = web_page(response)
        # A request that somebody called wrong is asked nowhere else, whatever words it was refused with.
        return Invalid(page.message, remedy=page.remedy, status=400) if status == 400 else page
    payload = _title(response.body) if response.is_page else response.body
    waits = retry_after(response.headers.get("retry-after", ""))
    return typed_error(payload, status=status, model=model, retry_after=waits, source=place(response.url))


def web_page(response: Response) -> ConnectionFailed:
    title = _title(response.body)
    named = f" ({title})" if title else ""
    return ConnectionFailed(
        f"{response.url} answers with a web page{named}, not with an API",
        remedy=CHECK_ADDRESS,
        retryable=False,
        cause="protocol",
        status=response.status,
        url=response.url,
    )


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """The ``Retry-After`` header in seconds from now, given as seconds or as an HTTP date (RFC 9110, section 10.2.3)."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())


def public_url(url: str) -> str:
    """A URL that may be shown: without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def place(url: str) -> str:
    """Host and port, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the server"


def _moved(response: Response) -> Invalid:
    target = public_url(response.headers.get("location", "")) or "nowhere"
    return Invalid(
        f"{response.url} sends us on to {target}, which is not followed",
        remedy="set base_url to where the API really is",
        status=response.status,
        location=target,
    )


def _not_expected(response: Response) -> ConnectionFailed:
    kind = response.headers.get("content-type", "no content type")
    return ConnectionFailed(
        f"{response.url} answered with {kind} that is not what was asked for",
        remedy=CHECK_ADDRESS,
        cause="protocol",
        status=response.status,
    )


def _title(body: bytes) -> str:
    match = TITLE.search(body[:65536])
    return one_line(match.group(1).decode("utf-8", "replace")) if match else ""
