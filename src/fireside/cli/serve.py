"""``fireside serve``: the API server, in one process or several."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fireside.cli.door import here

if TYPE_CHECKING:
    from fireside.server.snapshots import Worker


@click.command("serve")
@click.option("--host", help="Where to listen; anything but loopback needs keys.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [8000]")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that share the address.  [1]")
@click.option("--quiet", "-q", is_flag=True, help="No page at the start; only what is logged.")
@click.option("--json-log", is_flag=True, help="Log JSON lines, for services; as --quiet.")
@click.option("--worker", type=int, hidden=True, help="This process is one of several: its number.")
@click.option("--numbers", type=click.Path(path_type=Path), hidden=True, help="Where workers leave what they counted.")
@click.option("--socket", "descriptor", type=int, hidden=True, help="The listening socket it was handed.")
def serve_command(
    host: str | None,
    port: int | None,
    workers: int | None,
    quiet: bool,
    json_log: bool,
    worker: int | None,
    numbers: Path | None,
    descriptor: int | None,
) -> int:
    """Serve your models to any client: OpenAI, Anthropic, Ollama and llama.cpp APIs at one address.

    Ctrl-C lets running answers finish; a second one ends at once. SIGHUP reads the settings anew, as a changed file does by itself.
    """
    named = {"server.host": host, "server.port": port, "server.workers": workers}
    if json_log:
        named["server.log_format"] = "json"
    flags = {**here().flags, **{name: value for name, value in named.items() if value is not None}}
    if worker is not None and numbers is not None:
        from fireside.server.snapshots import Worker

        return _one(flags, quiet=quiet, worker=Worker(worker, numbers), descriptor=descriptor)
    together = _workers(flags, quiet=quiet)
    return together if together is not None else _one(flags, quiet=quiet)


def _workers(flags: Mapping[str, object], *, quiet: bool) -> int | None:
    """Serve with several processes; ``None`` where settings ask for one."""
    from fireside.app.knowledge import project_root
    from fireside.app.settings import load_config

    root = here().root
    config = load_config(project_root(root), os.environ, flags)
    settings = config.settings.server
    if settings.workers == 1:
        return None
    import asyncio
    from tempfile import TemporaryDirectory

    from fireside.server.workers import Workers

    place = ["--root", str(root)] if root is not None else []
    chosen = [word for key, value in flags.items() for word in ("--set", f"{key}={value}")]
    words = [sys.executable, "-m", "fireside", *place, *chosen, "serve"]
    with TemporaryDirectory(prefix="workers-", dir=config.paths.make_runtime()) as folder:
        words += ["--numbers", folder]
        supervisor = os.environ.get("NOTIFY_SOCKET", "")
        return asyncio.run(Workers(settings, words, quiet=quiet, supervisor=supervisor).run())


def _one(
    flags: Mapping[str, object], *, quiet: bool, worker: "Worker | None" = None, descriptor: int | None = None
) -> int:
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(flags, quiet=quiet, worker=worker, descriptor=descriptor))


async def _serve(flags: Mapping[str, object], *, quiet: bool, worker: "Worker | None", descriptor: int | None) -> int:
    from fireside.app.fireside import Fireside
    from fireside.cli.banner import greet
    from fireside.server.listening import address_of, inherited, notify, open_listener
    from fireside.server.run import log, serve

    async with await Fireside.open(here().root, flags=flags) as fireside:
        settings = fireside.config.settings.server
        shared = worker is not None
        listener = (
            inherited(descriptor)
            if descriptor is not None
            else open_listener(settings.host, settings.port, shared=shared)
        )
        place = address_of(listener)

        def ready() -> None:
            if shared:
                # The process that started this one waits for it.
                click.echo("ready")
            else:
                notify(os.environ.get("NOTIFY_SOCKET", ""), "READY=1")
            if quiet or settings.log_format == "json":
                log.info("Fireside listens at %s%s", place, f" (worker {worker.number})" if worker else "")
            else:
                greet(fireside, place)

        return await serve(fireside, listener, ready=ready, worker=worker)
