"""When two lines say the same although their bytes differ: blanks, look-alike characters, composed accents. Only ever used to compare."""

import re
import unicodedata
from functools import lru_cache

LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\uff07", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\uff02", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys(
            "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff"),
        "\u2026": "...",
        "\uff08": "(",
        "\uff09": ")",
        "\uff1a": ":",
        "\uff1b": ";",
        "\uff0c": ",",
    }
)
BLANKS = re.compile(r"\s+")
LEADING = re.compile(r"[ \t]*")
TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


def indent_of(text: str) -> str:
    """The blanks and tabs a line begins with."""
    found = LEADING.match(text)
    return found[0] if found else ""


def same(text: str) -> str:
    return text


def trimmed(text: str) -> str:
    return text.rstrip()


@lru_cache(maxsize=65_536)
def folded(text: str) -> str:
    """Look-alikes made alike, runs of blanks within the line made one; its indentation as it is."""
    plain = plain_characters(text)
    indent = indent_of(plain)
    return indent + BLANKS.sub(" ", plain[len(indent) :].strip())


@lru_cache(maxsize=65_536)
def bare(text: str) -> str:
    """``folded`` without indentation."""
    return BLANKS.sub(" ", plain_characters(text).strip())


def squeezed(text: str) -> str:
    """Without any blank at all."""
    return BLANKS.sub("", plain_characters(text))


def plain_characters(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(LOOK_ALIKES))


def tokens(text: str) -> list[str]:
    """Words, runs of blanks and single signs; together they are the text."""
    return TOKEN.findall(text)
