"""``fireside demo``: everything at work on the project at hand, in a minute, and what to do next.

Writes nothing into the project: the edit is made on a copy of one of its files.
"""

import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from fireside.agent.session import Session
from fireside.cli.door import here, opened, read_project, run
from fireside.core.errors import FiresideError
from fireside.core.streams import closing

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside
    from fireside.index.chunks import Symbol
    from fireside.models.card import ModelCard
    from fireside.workspace.checkpoints import Checkpoints

ASKED = re.compile(r'fireside ask "([^"]+)"')
SEARCHED = re.compile(r'fireside search "([^"]+)"')
MAP_TOKENS = 200
SEARCH_HITS = 3
NEAREST = 3
COLOURS = {"+": "green", "-": "red"}
NEXT = """\
fireside                            chat about the project you stand in; @ names files
fireside search "where is ...?"     the lines that answer; fireside map: all in a page
fireside edit apply < answer.md     a model's edit, all of it or nothing; fireside undo
fireside models pull URL            add a GGUF model, or start Ollama: it is found by itself
fireside doctor                     what could be better here, and how"""


@click.command("demo")
def demo_command() -> int:
    """See everything work on this machine: index, map, search, answer, completion, an edit and its undo, the embedded engine."""
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
        explained = _explained(fireside)
        _map(fireside)
        _search(fireside, explained)
        await _ask(fireside, explained)
        await _complete(fireside)
        _edit(fireside)
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


def _map(fireside: "Fireside") -> None:
    from fireside.cli.found import draw_map
    from fireside.context import repomap

    drawn = repomap.build(fireside.project, tokens=MAP_TOKENS)
    if drawn.files:
        _title("The project in a page: what most of it hangs on")
        draw_map(fireside.project, drawn)


def _search(fireside: "Fireside", explained: "Symbol | None") -> None:
    """By words and by meaning. Each hit says why it is there."""
    query = _readme(fireside, SEARCHED) or (explained.doc if explained else "")
    if not query:
        return
    _title(f'Searching "{query}"')
    begun = time.perf_counter()
    found = fireside.project.search(query, limit=SEARCH_HITS)
    seconds = time.perf_counter() - begun
    for hit in found.hits:
        chunk = hit.chunk
        place = click.style(f"{chunk.path}:{chunk.start_line}-{chunk.end_line}", fg="cyan", bold=True)
        click.echo(place + (f"  {click.style(chunk.symbol, fg='green')}" if chunk.symbol else ""))
        click.echo(click.style(f"  {', '.join(hit.reasons)}", dim=True))
    click.echo(click.style(f"{seconds * 1000:.0f} ms; no model was asked, nothing was sent", dim=True))


async def _ask(fireside: "Fireside", explained: "Symbol | None") -> None:
    from fireside.cli import render

    named = f"What does {explained.qualified} do?" if explained else "What is this project about?"
    question = _readme(fireside, ASKED) or named
    _title(question)
    with render.page() as onto:
        drawn = await render.draw(fireside.agent.turn(Session(model=here().model), question), onto)
    if drawn.error is not None:
        raise drawn.error
    if notes := render.sources(drawn):
        click.echo("\n" + notes)


def _readme(fireside: "Fireside", example: "re.Pattern[str]") -> str:
    """What the project's own README gives as an example, or ""."""
    readme = fireside.project.workspace.read("README.md")
    found = example.search(readme.text) if readme is not None else None
    return found[1] if found else ""


def _explained(fireside: "Fireside") -> "Symbol | None":
    """The definition its authors explained most."""
    return max(_definitions(fireside), key=lambda symbol: len(symbol.doc), default=None)


def _definitions(fireside: "Fireside") -> "Iterator[Symbol]":
    from fireside.index.paths import is_test

    index = fireside.project.index
    for path in [path for path in index.paths() if not is_test(path)][:200]:
        yield from (symbol for symbol in index.symbols_in(path) if symbol.kind != "section")


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


def _edit(fireside: "Fireside") -> None:
    """An answer that has lost its indentation, as models lose it, applied to a copy; the same once more is refused; then undo."""
    from fireside.workspace.checkpoints import Checkpoints
    from fireside.workspace.workspace import Workspace

    chosen = _line_to_edit(fireside)
    if chosen is None:
        return
    path, name, line = chosen
    _title(f"An edit as a model writes it, on a copy of {path}")
    answer = f"{path}\n<<<<<<< SEARCH\n{line}\n=======\n{line.replace(name, f'{name}_again')}\n>>>>>>> REPLACE\n"
    with TemporaryDirectory() as folder:
        copy, state = Path(folder, "copy"), Path(folder, "state")
        (copy / path).parent.mkdir(parents=True)
        shutil.copyfile(fireside.project.root / path, copy / path)
        before = (copy / path).read_bytes()
        with Checkpoints(Workspace(copy), state) as checkpoints:
            _apply(checkpoints, answer)
            click.echo(click.style("the same answer once more:", dim=True))
            _apply(checkpoints, answer)
            checkpoints.undo()
        same = (copy / path).read_bytes() == before
    click.echo(f"undone: {'every byte as it was' if same else 'but the file differs; please report this'}")


def _apply(checkpoints: "Checkpoints", answer: str) -> None:
    from fireside.workspace.edits.landing import carry_out, plan_answer
    from fireside.workspace.edits.refusals import EditRefused

    try:
        plan = plan_answer(checkpoints.workspace, answer)
        carry_out(plan, checkpoints)
    except EditRefused as error:
        click.echo(f"refused, nothing was written: {error.refusals[0].message}")
        for near in error.refusals[0].nearest[:NEAREST]:
            click.echo(f"    {near}")
        return
    for line in plan.diff():
        if line[:1] in COLOURS and line[:3] not in ("---", "+++"):
            click.echo(click.style(line, fg=COLOURS[line[:1]]))
    click.echo(f"{plan.changes[0].action} {plan.changes[0].path}")


def _line_to_edit(fireside: "Fireside") -> tuple[str, str, str] | None:
    """Where a method's or function's name stands in a line that is once in its file: path, name, and the line without its indentation."""
    callables = [one for one in _definitions(fireside) if one.kind in ("method", "function")]
    for symbol in sorted(callables, key=lambda one: one.kind != "method"):
        source = fireside.project.workspace.read(symbol.path)
        lines = [line.strip() for line in source.text.splitlines()] if source else []
        line = lines[symbol.start_line - 1] if symbol.start_line <= len(lines) else ""
        if re.search(rf"\b{re.escape(symbol.name)}\b", line) and lines.count(line) == 1:
            return symbol.path, symbol.name, line
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
