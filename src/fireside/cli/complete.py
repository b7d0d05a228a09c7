"""``fireside complete FILE:LINE[:COLUMN]``: what would be typed next there."""

import re
import sys
from pathlib import Path

import click
import orjson

from fireside.cli.door import here, opened, run
from fireside.cli.piped import read_piped
from fireside.core.errors import Invalid
from fireside.workspace.workspace import find_root

PLACE = re.compile(r"^(?P<path>.+?):(?P<line>\d+)(?::(?P<column>\d+))?$", re.DOTALL)


@click.command("complete")
@click.argument("place", metavar="FILE:LINE[:COLUMN]")
@click.option("--json", "as_json", is_flag=True, help="The text and where it comes from, as JSON.")
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="Read the file's text from standard input (it may not be saved yet)."
)
def complete_command(place: str, as_json: bool, from_stdin: bool) -> int:
    """Complete code at FILE:LINE[:COLUMN], lines and columns counted from 1; without a column at the line's end.

    Works without a model, by copying from this file and its neighbours; with one that fills in the middle, by asking it.
    """
    found = PLACE.match(place)
    if found is None:
        raise click.UsageError(f"{place!r} is not FILE:LINE or FILE:LINE:COLUMN", click.get_current_context())
    column = int(found["column"]) if found["column"] else None
    text = read_piped(sys.stdin) if from_stdin else None
    path = Path(found["path"]).resolve()
    if text is None and not path.is_file():
        raise Invalid(f"there is no file {found['path']}", remedy="name a file of this project, as FILE:LINE")
    return run(_complete(path, int(found["line"]), column, text, as_json))


async def _complete(path: Path, line: int, column: int | None, text: str | None, as_json: bool) -> int:
    async with opened(here().root or find_root(path.parent)) as fireside:
        completion = await fireside.assist.complete(str(path), line, column, text=text)
    if as_json:
        answer = {
            "text": completion.text,
            "source": completion.source,
            "model": completion.model,
            "seconds": completion.seconds,
        }
        click.echo(orjson.dumps(answer))
    elif completion.text:
        click.echo(completion.text)
    else:
        click.echo("nothing to suggest here", err=True)
    return 0
