"""``fireside demo``: everything at work on the project at hand, in a minute, and what to do next."""

import sys
from typing import TYPE_CHECKING

import click

from fireside.agent.session import Session
from fireside.cli.door import here, opened, run
from fireside.core.errors import FiresideError

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside

OWN_QUESTION = "How does the gateway decide which engine is tried next when one fails?"
ANY_QUESTION = "Where does this program start, and what does it do first?"
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
    click.echo("\n" + click.style(text, bold=True, fg="yellow"))


def _index(fireside: "Fireside") -> None:
    _title(f"1 · Reading {fireside.project.root}")
    report = fireside.project.update()
    seconds = f"{report.seconds:.1f} s" if report.seconds >= 0.1 else f"{report.seconds * 1000:.0f} ms"
    click.echo(f"{report.files} files, {report.chunks} chunks, {report.changed + report.added} read anew, in {seconds}")


async def _ask(fireside: "Fireside") -> None:
    from fireside.cli import render

    own = (fireside.project.root / "src/fireside/gateway/gateway.py").is_file()
    question = OWN_QUESTION if own else ANY_QUESTION
    _title(f"2 · {question}")
    with render.page() as onto:
        drawn = await render.draw(fireside.agent.turn(Session(model=here().model), question), onto)
    if drawn.error is not None:
        raise drawn.error
    if notes := render.sources(drawn):
        click.echo("\n" + notes)


async def _complete(fireside: "Fireside") -> None:
    place = _place_to_complete(fireside)
    if place is None:
        return
    path, line, column, text = place
    _title(f"3 · Completing {path}:{line}:{column}")
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
    from fireside.app.selftest import self_test

    _title("4 · Self-test of the embedded engine")
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
