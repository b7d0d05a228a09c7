"""``fireside demo``: everything at work on the project at hand, in a minute, and what to do next."""

import re
import sys
import time
from typing import TYPE_CHECKING

import click

from fireside.agent.session import Session
from fireside.cli.door import here, opened, read_project, run
from fireside.core.errors import FiresideError
from fireside.core.streams import closing

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside
    from fireside.models.card import ModelCard

ASKED = re.compile(r'fireside ask "([^"]+)"')
TESTS = re.compile(r"(^|/)tests?(/|_)|_test\.|\.test\.")
NEXT = """\
fireside                            chat about the project you stand in
fireside ask "where is ...?"        one answer; pipes are welcome
fireside models pull URL            add a GGUF model, or start Ollama: it is found by itself
fireside doctor                     what could be better here, and how"""


@click.command("demo")
def demo_command() -> int:
    """See everything work on this machine: index, answer, completion, embedded engine."""
    chat = run(_demo())
    if (
        chat
        and sys.stdin.isatty()
        and sys.stdout.isatty()
        and click.confirm("\nGo on chatting about this project?", default=True)
    ):
        from fireside.cli.chat import chat_command

        click.get_current_context().invoke(chat_command)
    return 0


async def _demo() -> bool:
    async with opened() as fireside:
        _index(fireside)
        await _ask(fireside)
        await _complete(fireside)
        await _engine(fireside)
    _title("Next")
    click.echo(NEXT)
    return True


def _title(text: str) -> None:
    click.echo("\n" + click.style(f"▸ {text}", bold=True, fg="yellow"))


def _index(fireside: "Fireside") -> None:
    _title(f"Reading {fireside.project.root}")
    report = read_project(fireside.project)
    seconds = f"{report.seconds:.1f} s" if report.seconds >= 0.1 else f"{report.seconds * 1000:.0f} ms"
    click.echo(f"{report.files} files, {report.chunks} chunks, {report.changed + report.added} read anew, in {seconds}")


async def _ask(fireside: "Fireside") -> None:
    from fireside.cli import render

    question = _question(fireside)
    _title(question)
    with render.page() as onto:
        drawn = await render.draw(fireside.agent.turn(Session(model=here().model), question), onto)
    if drawn.error is not None:
        raise drawn.error
    if notes := render.sources(drawn):
        click.echo("\n" + notes)


def _question(fireside: "Fireside") -> str:
    """What the project's own README asks as an example; else about the definition its authors explained most."""
    readme = fireside.project.workspace.read("README.md")
    if readme is not None and (found := ASKED.search(readme.text)):
        return found[1]
    paths = [path for path in fireside.project.index.paths() if not TESTS.search(path)][:200]
    symbols = [
        symbol for path in paths for symbol in fireside.project.index.symbols_in(path) if symbol.kind != "section"
    ]
    explained = max(symbols, key=lambda symbol: len(symbol.doc), default=None)
    return f"What does {explained.qualified} do?" if explained else "What is this project about?"


async def _complete(fireside: "Fireside") -> None:
    place = _place_to_complete(fireside)
    if place is None:
        return
    path, line, column, text = place
    _title(f"Completing {path}:{line}:{column}")
    completion = await fireside.assist.complete(path, line, column, text=text)
    shown = text.splitlines()[max(0, line - 3) : line]
    click.echo(
        "\n".join(f"  {each}" for each in shown) + click.style(completion.text or " (nothing to suggest)", fg="green")
    )
    how = {"model": f"written by {completion.model}", "copying": "no model: copied from code like it in this project"}
    click.echo(click.style(how.get(completion.source, ""), dim=True))


def _place_to_complete(fireside: "Fireside") -> tuple[str, int, int, str] | None:
    """A line of this project cut in the middle, whose rest can be suggested: path, line, column, and the text as if just typed."""
    for entry in sorted(
        fireside.project.workspace.files(), key=lambda entry: (-entry.path.endswith(".py"), entry.path)
    ):
        source = fireside.project.workspace.read(entry.path) if 2_000 < entry.size < 40_000 else None
        lines = source.text.splitlines() if source else []
        seen: dict[str, int] = {}
        for number, line in enumerate(lines, 1):
            code = line.strip()
            if len(code) > 30 and code in seen and code[0].isalpha():
                column = len(line) - len(code) + len(code) // 2
                text = "\n".join((*lines[: number - 1], line[:column], *lines[number:])) + "\n"
                return entry.path, number, column + 1, text
            seen[code] = number
    return None


async def _engine(fireside: "Fireside") -> None:
    """How fast the model at hand is; without one, proof that the embedded engine works here."""
    card = await fireside.gateway.card_for("chat", needs=["chat"])
    await (_self_test(fireside) if card is None else _measure(fireside, card))


async def _measure(fireside: "Fireside", card: "ModelCard") -> None:
    from fireside.core.messages import Message
    from fireside.core.requests import ChatRequest, Sampling, Usage

    _title(f"{card.name} on {card.engine}")
    request = ChatRequest((Message("user", "Count from one to forty in words."),), sampling=Sampling(max_tokens=64))
    begun, usage = time.perf_counter(), Usage()
    async with closing(fireside.gateway.chat(request)) as deltas:
        async for delta in deltas:
            usage = delta.usage or usage
    seconds = usage.completion_seconds or time.perf_counter() - begun
    click.echo(f"{usage.completion_tokens} tokens at {usage.completion_tokens / seconds:,.0f} tokens/s")


async def _self_test(fireside: "Fireside") -> None:
    from fireside.app.selftest import self_test

    _title("Self-test of the embedded engine")
    try:
        result = await self_test(fireside.engine_context)
    except FiresideError as error:
        click.echo(f"it does not run here: {error.message}")
        click.echo(f"  try: {error.remedy or 'fireside doctor'}")
        raise
    click.echo(
        f"wrote a random {result.parameters / 1e6:.1f}M-parameter GGUF in {result.write_seconds:.1f} s; "
        f"first token {result.first_seconds:.2f} s after asking (start of llama.cpp included); "
        f"{result.tokens} tokens at {result.tokens_per_second:,.0f} tokens/s"
    )
    click.echo(
        click.style(
            "a self-test: random weights say nothing, they only show that the engine works and how fast", dim=True
        )
    )
