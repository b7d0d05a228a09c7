"""What can be set about the API server. It stands here and not beside it, because ``app`` gathers all settings and knows no door."""

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``host``, ``port``: where to listen; any host but loopback needs keys (``fireside keys create``). ``workers``: processes.

    ``require_keys``: ask for a key on loopback, too. ``allowed_hosts``: names a request may address besides addresses,
    ``localhost`` and this machine's name, for example ``box.tail1234.ts.net`` or ``*.ts.net``. ``allowed_origins``: web pages that may
    call, besides those on this machine; ``*`` for all. ``body_limit``: bytes one request may have. ``wait_seconds``: how long a stream is
    silent before its reader is told that it waits. ``drain_seconds``: how long running answers may take when the server ends.
    ``trusted_proxies``: addresses or networks of proxies whose ``X-Forwarded-For`` says who asks; with one, keys are needed everywhere.
    ``redis``: the address of a Redis or Valkey where several processes or machines share the limits of keys.
    ``log_requests``: one line each on the standard error. ``log_format``: plain lines, or one JSON object a line.
    ``traces_endpoint``: where an OpenTelemetry collector takes OTLP over HTTP, for example ``http://127.0.0.1:4318``; empty: no traces.
    ``traces_ratio``: the share of requests that are traced, where their client does not say.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    require_keys: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    body_limit: Count = 64 * 1024 * 1024
    wait_seconds: Seconds = 5.0
    drain_seconds: Seconds = 30.0
    trusted_proxies: tuple[str, ...] = ()
    redis: str = ""
    log_requests: bool = False
    log_format: Literal["plain", "json"] = "plain"
    traces_endpoint: str = ""
    traces_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
