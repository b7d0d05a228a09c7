"""The command ``fireside``: which words it knows, and how an error is drawn. Loads a command's code only when that command is called.

Exit codes: 0 done, 1 it did not work (one line says why, another what to do), 2 the command line was wrong, 130 stopped with Ctrl-C.
"""

import contextlib
import sys
from collections.abc import Sequence

from fireside import __version__


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        # Where it cannot be written, the long way below says so.
        with contextlib.suppress(OSError):
            print(f"fireside {__version__}", flush=True)
            return
    try:
        from fireside.cli.commands import run_command
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    sys.exit(run_command(words))


if __name__ == "__main__":
    main()
