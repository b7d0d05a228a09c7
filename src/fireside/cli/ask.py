"""``fireside ask``: one question, one answer. What is piped in is handed over with the question."""

import contextlib
import sys

import click
import orjson

from fireside.agent.session import Session
from fireside.cli import render
from fireside.cli.door import here, opened, read_project, run
from fireside.cli.piped import read_piped, shown
from fireside.context.builder import Attachment
from fireside.core.errors import FiresideError


@click.command("ask")
@click.argument("question", nargs=-1)
@click.option("--model", "-m", help="Who is to answer: an alias, a name, or NAME@ENGINE.")
@click.option("--json", "as_json", is_flag=True, help="The answer, its places and who wrote it, as JSON.")
@click.option("--no-sources", is_flag=True, help="Only the answer.")
def ask_command(question: tuple[str, ...], model: str | None, as_json: bool, no_sources: bool) -> int:
    """Answer QUESTION about this project, with the places it stands on.

    Pipes are welcome:  git diff | fireside ask "what changed?"
    """
    words, piped = shown(" ".join(question)).strip(), read_piped(sys.stdin)
    if not words and not piped.strip():
        raise click.UsageError(
            'ask what? For example: fireside ask "where are settings validated?"', click.get_current_context()
        )
    attachments = (Attachment("standard input", piped),) if words and piped.strip() else ()
    session = Session(model=model or here().model)
    return run(_ask(session, words or piped.strip(), attachments, as_json, no_sources))


async def _ask(
    session: Session, question: str, attachments: tuple[Attachment, ...], as_json: bool, no_sources: bool
) -> int:
    async with opened() as fireside:
        # The turn reads the project too, and tells what is wrong with it; but not so that Ctrl-C can break it off.
        with contextlib.suppress(FiresideError):
            rebuilt = read_project(fireside.project).rebuilt
            if rebuilt:
                click.echo(f"the index was made again: {rebuilt}", err=True)
        turn = fireside.agent.turn(session, question, attachments=attachments)
        if as_json:
            drawn = await render.draw(turn, None)
            click.echo(orjson.dumps(_as_dict(question, drawn), option=orjson.OPT_INDENT_2))
        else:
            with render.page() as onto:
                drawn = await render.draw(turn, onto)
                notes = render.sources(drawn)
            if notes and not no_sources:
                click.echo("\n" + click.style(notes, dim=True), err=not sys.stdout.isatty())
    if drawn.error is not None:
        raise drawn.error
    return 0


def _as_dict(question: str, drawn: render.Drawn) -> dict[str, object]:
    finished = drawn.finished
    return {
        "question": question,
        "answer": drawn.text,
        "generated": finished.generated if finished else False,
        "engine": finished.engine if finished else "",
        "model": finished.model if finished else "",
        "finish_reason": finished.finish_reason if finished else None,
        "sources": [
            {"path": place.path, "start_line": place.start_line, "end_line": place.end_line, "symbol": place.symbol}
            for place in drawn.citations
        ],
        "left_out": list(drawn.left_out),
        "usage": {
            "prompt_tokens": finished.usage.prompt_tokens if finished else 0,
            "completion_tokens": finished.usage.completion_tokens if finished else 0,
        },
        "error": drawn.error.as_dict() if drawn.error else None,
    }
