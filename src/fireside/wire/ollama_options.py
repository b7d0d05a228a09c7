"""How a client of Ollama's wants an answer made: ``options``, ``think``, ``format`` and ``keep_alive``.

What Ollama refuses is refused in its words; options it does not know, and those a local engine decides by itself (``num_ctx``,
``num_gpu``, ``mirostat`` ...), are passed over. Source: the ``api`` package of Ollama's 0.33 line, and Go's ``time.ParseDuration``.
"""

import re
from collections.abc import Mapping
from math import isfinite

from fireside.core.requests import Reasoning, ResponseFormat, Sampling
from fireside.wire.fields import Fields, read_flag, read_object, read_whole, wrong
from fireside.wire.ollama_words import exactly, quoted

# More than any window; engines count in 32 bits.
MOST_TOKENS = 2**31 - 1
MOST_SEED = 2**63 - 1
MOST_LOGPROBS = 20
FOREVER = -1.0
# Go counts nanoseconds in 63 bits.
LONGEST = 2.0**63 / 1e9
NOTHING = Sampling()
LEVELS: Mapping[str, Reasoning] = {"low": "low", "medium": "medium", "high": "high", "max": "high"}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"([0-9]*)(\.[0-9]*)?([^0-9.]*)")


def read_sampling(fields: Fields) -> Sampling:
    """``options`` with ``logprobs`` and ``top_logprobs``, which stand beside them."""
    given = fields.get("options")
    logprobs = read_logprobs(fields)
    if not given and logprobs is None:
        return NOTHING
    options = read_object(given, "options") if given is not None else {}
    seed = _whole(options, "seed", MOST_SEED)
    return Sampling(
        temperature=_number(options, "temperature"),
        top_p=_number(options, "top_p"),
        top_k=_whole(options, "top_k", MOST_TOKENS),
        min_p=_number(options, "min_p"),
        repeat_penalty=_number(options, "repeat_penalty"),
        frequency_penalty=_number(options, "frequency_penalty"),
        presence_penalty=_number(options, "presence_penalty"),
        seed=None if seed is None or seed < 0 else seed,
        max_tokens=_limit(options),
        stop=_stop(options),
        logprobs=logprobs,
    )


def read_logprobs(fields: Fields) -> int | None:
    if not read_flag(fields, "logprobs"):
        return None
    wanted = read_whole(fields, "top_logprobs") or 0
    if not 0 <= wanted <= MOST_LOGPROBS:
        raise exactly(f"top_logprobs must be between 0 and {MOST_LOGPROBS}")
    return wanted


def read_think(value: object) -> Reasoning | None:
    """``None`` when nothing was said: then a model that thinks, thinks."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "medium" if value else "off"
    if not isinstance(value, str):
        raise exactly('think must be a boolean or string ("high", "medium", "low", "max", true, or false)')
    level = LEVELS.get(value)
    if level is None:
        raise exactly(f'invalid think value: {quoted(value)} (must be "high", "medium", "low", "max", true, or false)')
    return level


def read_format(value: object) -> ResponseFormat | None:
    if value is None or value == "":
        return None
    if value == "json":
        return ResponseFormat()
    if isinstance(value, dict):
        return ResponseFormat(value)
    shown = quoted(value) if isinstance(value, str) else "it"
    raise exactly(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def read_keep_alive(value: object) -> float | None:
    """Seconds; negative for ever. ``None`` when nothing was said."""
    if value is None:
        return None
    if isinstance(value, str):
        seconds = read_duration(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if -LONGEST < value < LONGEST else LONGEST if value > 0 else FOREVER
    else:
        raise wrong("keep_alive", "expected a number of seconds, or a duration", 'for example 300, "5m" or -1')
    return FOREVER if seconds < 0 else seconds


def read_duration(text: str) -> float:
    """A Go duration (``1h30m``, ``-1m``, ``1.5s``) in seconds. Raises ``Invalid`` in Go's words."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    seconds = 0.0
    invalid = exactly(f"time: invalid duration {quoted(text)}")
    if not rest:
        raise invalid
    for found in PART.finditer(rest):
        whole, fraction, unit = found[1], found[2] or "", found[3]
        if not found[0]:
            continue
        if not whole and fraction in ("", "."):
            raise invalid
        if not unit:
            raise exactly(f"time: missing unit in duration {quoted(text)}")
        if unit not in UNITS:
            raise exactly(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
        seconds += float(f"{whole or 0}{fraction}") * UNITS[unit]
    if seconds >= LONGEST:
        raise invalid
    return -seconds if text[0] == "-" else seconds


def _number(options: Fields, name: str) -> float | None:
    value = options.get(name)
    if value is None or ((type(value) is float or type(value) is int) and isfinite(value)):
        return value
    raise exactly(f"option {quoted(name)} must be of type float32")


def _whole(options: Fields, name: str, most: int) -> int | None:
    """Go cuts what stands behind the point; what no engine could count to is clamped."""
    value = options.get(name)
    if value is None:
        return None
    if (type(value) is float and isfinite(value)) or type(value) is int:
        return min(max(int(value), -most), most)
    raise exactly(f"option {quoted(name)} must be of type integer")


def _limit(options: Fields) -> int | None:
    """-1 and -2 mean none; 0 is as little as can be."""
    limit = _whole(options, "num_predict", MOST_TOKENS)
    return None if limit is None or limit < 0 else max(limit, 1)


def _stop(options: Fields) -> tuple[str, ...]:
    value = options.get("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, list):
        raise exactly('option "stop" must be of type array')
    if not all(isinstance(text, str) for text in value):
        raise exactly('option "stop" must be of an array of strings')
    return tuple(text for text in value if text)
