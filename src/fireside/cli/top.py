"""``fireside top``: watch a running server. Asks it once a second; ``top_screen`` draws what it says."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from fireside.cli.door import here, run
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted

if TYPE_CHECKING:
    from rich.console import Console

    from fireside.app.settings import Settings
    from fireside.cli.top_screen import Summary
    from fireside.engines.transport import Timeouts, Transport

PLACE = "/metrics.json"
SECONDS = 1.0
WIDEST = 200
# A name for FIRESIDE_SECRET_SERVER, and for the keyring.
SECRET = "server"
Ask = Callable[[], Awaitable[bytes]]


@click.command("top")
@click.option("--url", help="The server's address.  [that of your settings]")
@click.option("--key", help="A key of the server's, where it asks for one; safer: FIRESIDE_SECRET_SERVER.")
@click.option("--once", is_flag=True, help="Print it once.")
@click.option("--json", "as_json", is_flag=True, help="Print what the server says, once, as JSON.")
def top_command(url: str | None, key: str | None, once: bool, as_json: bool) -> None:
    """Watch a running server: engines, requests, speed, errors. Ctrl-C ends it."""
    from rich.console import Console

    if as_json:
        click.echo(run(_once(url, key)))
        return
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        # A file or a pipe has no width; nothing shall be cut off for one.
        console = Console(highlight=False, width=WIDEST)
    if once or not console.is_terminal:
        run(_show_once(url, key, console))
        return
    with suppress(KeyboardInterrupt):
        run(_show(url, key, console))


async def watch(ask: Ask, console: "Console", *, address: str, pause: float = SECONDS) -> None:
    """Draw until cancelled. Raises what is wrong with the first answer; later ones that fail leave the last on the screen."""
    import asyncio

    from rich.live import Live

    from fireside.cli.top_screen import draw

    summary = read(await ask(), address)
    trouble = ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(draw(summary, console.width, address=address, trouble=trouble), refresh=True)
            await asyncio.sleep(pause)
            try:
                summary, trouble = read(await ask(), address), ""
            except FiresideError as error:
                trouble = f"no answer any more: {error.message}"


def read(body: bytes, address: str) -> "Summary":
    """Raises ``Invalid`` for what no Fireside server says."""
    import msgspec

    from fireside.cli.top_screen import Summary

    try:
        return msgspec.json.decode(body, type=Summary)
    except msgspec.MsgspecError as error:
        raise _not_ours(address) from error


async def _show(url: str | None, key: str | None, console: "Console") -> None:
    async with _server(url, key) as (ask, address):
        await watch(ask, console, address=address)


async def _show_once(url: str | None, key: str | None, console: "Console") -> None:
    from fireside.cli.top_screen import draw

    async with _server(url, key) as (ask, address):
        summary = read(await ask(), address)
    console.print(draw(summary, console.width, address=address))


async def _once(url: str | None, key: str | None) -> str:
    async with _server(url, key) as (ask, address):
        body = await ask()
        read(body, address)
    return body.decode()


@asynccontextmanager
async def _server(url: str | None, key: str | None) -> AsyncIterator[tuple[Ask, str]]:
    """What asks the server, and its address. Goes through the egress, as everything does."""
    from fireside.app.inference import build_egress
    from fireside.app.settings import SECRETS, load_config
    from fireside.config.paths import Paths
    from fireside.config.secrets import Secrets
    from fireside.engines.transport import Timeouts, Transport

    settings = load_config(None, os.environ, here().flags).settings
    address = _normal(url or _address(settings))
    secrets = Secrets(os.environ, SECRETS)
    shown = key or ""
    transport = Transport(build_egress(settings, Paths.from_environment(os.environ)))
    limits = Timeouts(connect=3.0, load=10.0, first_token=10.0, stall=10.0)

    async def ask() -> bytes:
        nonlocal shown
        status, body = await _get(transport, address, shown, limits)
        if status == 401 and not shown:
            # Only now: a keyring may ask its owner for leave.
            shown = secrets.get(SECRET) or ""
            status, body = await _get(transport, address, shown, limits) if shown else (status, body)
        _check(status, address)
        return body

    try:
        yield ask, address
    finally:
        await transport.aclose()


async def _get(transport: "Transport", address: str, key: str, limits: "Timeouts") -> tuple[int, bytes]:
    headers: Mapping[str, str] = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = await transport.request("GET", address + PLACE, headers=headers, timeouts=limits)
    except ConnectionFailed as error:
        raise ConnectionFailed(
            f"no server answers at {address}",
            remedy="fireside serve\nor name another: --url URL",
            cause=error.context.get("cause"),
        ) from error
    return answer.status, answer.body


def _check(status: int, address: str) -> None:
    if status in (401, 403):
        what = "asks for a key" if status == 401 else "does not show this to the owner of this key"
        raise NotPermitted(
            f"{address} {what}", remedy="fireside keys create watcher --role viewer\nand: --key KEY", http_status=status
        )
    if status != 200:
        raise _not_ours(address)


def _address(settings: "Settings") -> str:
    host = settings.server.host
    # Whoever listens everywhere also listens here.
    name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
    return f"http://[{name}]:{settings.server.port}" if ":" in name else f"http://{name}:{settings.server.port}"


def _normal(url: str) -> str:
    """Raises ``Invalid`` for what is no address of a server."""
    address = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    try:
        parts = urlsplit(address)
        known = parts.hostname and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError:
        known = False
    if not known:
        raise Invalid(f"{url} is no address of a server", remedy="write it like http://127.0.0.1:8000")
    return address


def _not_ours(address: str) -> Invalid:
    return Invalid(f"what answers at {address} is no Fireside server", remedy="check the port: --url URL")
