"""What went wrong on the way to an engine, as one typed error with a remedy.

Knows phases, causes and the numbers of the operating system; no HTTP library. What an answer that did come means is ``reply``'s.
"""

import errno

from fireside.core.errors import ConnectionFailed, TimedOut
from fireside.engines.reply import place, public_url

SLOW = {
    "connect": (
        "{where} does not answer at all",
        "is the machine on, and does a firewall let the port through? a longer limit: engines.<name>.connect_seconds",
    ),
    "load": (
        "{where} took the request, but has not begun to answer",
        "a big model may still be loading: try again, or a longer limit: engines.<name>.load_seconds",
    ),
    "first_token": (
        "{where} began to answer, but sent nothing yet",
        "a shorter prompt, or a longer limit: engines.<name>.first_token_seconds",
    ),
    "stall": (
        "{where} stopped in the middle of its answer",
        "look at the server's log and load; a longer limit: engines.<name>.stall_seconds",
    ),
}
FAILED = {
    "refused": ("nothing listens at {where}", "start the server there, or check the port"),
    "reset": ("{where} closed the connection without an answer", "look at the server's log: it may have crashed"),
    "dns": ("the name in {where} is not known", "check the spelling and the network"),
    "tls": (
        "{where} has no certificate that this machine trusts",
        "use the name its certificate is for, or http:// in your own network",
    ),
    "plain": ("{where} does not speak https", "write http:// in the address"),
    "secure": ("{where} speaks https", "write https:// in the address"),
    "unreachable": ("there is no way to {where}", "is the machine on, and in the same network or tailnet?"),
    "cut": ("{where} broke off in the middle of its answer", "look at the server's log: it may have crashed"),
    "protocol": ("{where} answers, but not in HTTP", "check the port: another program may listen there"),
}
REFUSED = (errno.ECONNREFUSED,)
RESET = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
UNREACHABLE = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.ETIMEDOUT,
    errno.EACCES,
    errno.EPERM,
)


def late(url: str, phase: str, seconds: float) -> TimedOut:
    """``phase``: what was being waited for, and ``seconds`` how long at most."""
    message, remedy = SLOW[phase]
    where = place(url)
    return TimedOut(message.format(where=where), remedy=remedy, phase=phase, seconds=seconds, url=public_url(url))


def failed(url: str, cause: str) -> ConnectionFailed:
    """``cause``: a key of ``FAILED``."""
    message, remedy = FAILED[cause]
    named = "tls" if cause in ("plain", "secure") else cause
    return ConnectionFailed(
        message.format(where=place(url)), remedy=remedy, retryable=named != "tls", cause=named, url=public_url(url)
    )


def cause_of(number: int | None) -> str | None:
    """What an error number of a socket says, ``None`` when it says nothing."""
    if number in REFUSED:
        return "refused"
    if number in RESET:
        return "reset"
    return "unreachable" if number in UNREACHABLE else None
