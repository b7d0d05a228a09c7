"""``fireside completion``: the shell's own completion, made by click."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from fireside.core.errors import Invalid

SHELLS = ("bash", "zsh", "fish")
WHERE = {
    "bash": 'add to ~/.bashrc:  eval "$(fireside completion bash)"',
    "zsh": 'add to ~/.zshrc:  eval "$(fireside completion zsh)"',
    "fish": "run once:  fireside completion fish > ~/.config/fish/completions/fireside.fish",
}


@click.command("completion")
@click.argument("shell", required=False, type=click.Choice(SHELLS))
def completion_command(shell: str | None) -> int:
    """Print the completion script for SHELL (else: for the shell you use), or say where it goes."""
    from fireside.cli.commands import cli

    name = shell or Path(os.environ.get("SHELL", "")).name
    script = get_completion_class(name)
    if name not in SHELLS or script is None:
        raise Invalid(
            f"no completion for {name or 'this shell'}",
            remedy=" or ".join(f"fireside completion {each}" for each in SHELLS),
        )
    if shell is None:
        click.echo(WHERE[name])
        return 0
    click.echo(script(cli, {}, "fireside", "_FIRESIDE_COMPLETE").source())
    return 0
