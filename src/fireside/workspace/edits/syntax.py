"""Whether a text is Python, or JSON, as its name says. Knows these two languages through their own parsers."""

from collections.abc import Sequence
from pathlib import PurePosixPath

PYTHON = (".py", ".pyi")


def fault(path: str, texts: Sequence[str]) -> str | None:
    """What keeps the lines from being what the name says; "" for nothing, None for a language that is not known here."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in PYTHON:
        return _of_python("\n".join(texts))
    return _of_json("\n".join(texts)) if suffix == ".json" else None


def _of_python(text: str) -> str | None:
    import ast
    import warnings

    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(text)
    except SyntaxError as error:
        return f"the new file is no Python: {error.msg} (line {error.lineno})"
    except (ValueError, RecursionError):
        return None
    return ""


def _of_json(text: str) -> str | None:
    import json

    try:
        json.loads(text)
    except ValueError as error:
        return f"the new file is no JSON: {error}"
    except RecursionError:
        return None
    return ""
