"""How our own API says an error."""

from collections.abc import Mapping, Sequence

import orjson

from fireside.core.errors import FiresideError, Invalid


def describe(error: FiresideError) -> dict[str, object]:
    """``param``: which part of the request it is about, where one is."""
    param = error.context.get("param")
    return {
        "kind": str(error.kind),
        "message": error.message,
        "remedy": error.remedy,
        "retryable": error.retryable,
        "param": param if isinstance(param, str) and param else None,
    }


def write_error(error: FiresideError, status: int) -> bytes:
    """``status``: the one it goes out with; the body does not repeat it."""
    return orjson.dumps({"error": describe(error)})


def misfit(problems: Sequence[Mapping[str, object]], *, within: int = 0) -> Invalid:
    """What pydantic found wrong, in one line: the first problem, and how many more there are. Status 400.

    ``within``: parts at the start of a problem's place that are not the client's own (``body``, ``query``).
    """
    first = problems[0]
    place = first.get("loc")
    parts = place[within:] if isinstance(place, tuple) else ()
    param = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    what = str(first.get("msg", "")).removeprefix("Value error, ")
    if first.get("type") == "json_invalid":
        what, param = "the body is not JSON", ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    said = " ".join(f"{param}: {what}{more}".lstrip(": ").split())
    return Invalid(said, remedy="see /docs for what it takes", http_status=400, param=param)
