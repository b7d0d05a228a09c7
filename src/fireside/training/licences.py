"""Which files of a Debian source package may be learnt from: its machine-readable copyright file, read stanza by stanza.

Knows the format (Debian's machine-readable copyright files, 1.0) and the licences accepted. Where the file says nothing of a path, what
the list of sources declares for the package holds.
"""

import re
from dataclasses import dataclass
from fnmatch import translate

# As Debian spells them -> SPDX.
ACCEPTED = {
    "expat": "MIT",
    "mit": "MIT",
    "mit/x11": "MIT",
    "mit-x11": "MIT",
    "mit-cmu": "MIT-CMU",
    "hpnd": "HPND",
    "x11": "X11",
    "isc": "ISC",
    "bsd": "BSD-3-Clause",
    "bsd-c3": "BSD-3-Clause",
    "go": "BSD-3-Clause",
    "google": "BSD-3-Clause",
    "freebsd": "BSD-2-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-clause": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "asl-2": "Apache-2.0",
    "asl-2.0": "Apache-2.0",
    "psf": "PSF-2.0",
    "psf-2": "PSF-2.0",
    "psf-2.0": "PSF-2.0",
    "python": "PSF-2.0",
    "python-2.0": "PSF-2.0",
    "0bsd": "0BSD",
    "zlib": "Zlib",
    "zlib/libpng": "Zlib",
    "public-domain": "LicenseRef-public-domain",
    "curl": "curl",
    "bsl-1": "BSL-1.0",
    "bsl-1.0": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "unlicense": "Unlicense",
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "postgresql": "PostgreSQL",
    "libpng": "Libpng",
}
FIELD = re.compile(r"^(Files|License|Files-Excluded):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE | re.IGNORECASE)
JOINED = re.compile(r"\s*,?\s+(or|and(?:/or)?)\s+|\s*(,|\|)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stanza:
    """``licence``: an SPDX expression when accepted, else "". ``whole``: about everything that no other stanza names."""

    pattern: re.Pattern[str]
    licence: str
    whole: bool


def read(text: str) -> list[Stanza]:
    """The stanzas that name files, in order. The last that matches a path counts."""
    stanzas: list[Stanza] = []
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields = {name.lower(): value for name, value in FIELD.findall(paragraph)}
        if "files" in fields and "license" in fields:
            globs = fields["files"].replace(",", " ").split()
            pattern = re.compile("|".join(translate(glob.removeprefix("./")) for glob in globs))
            stanzas.append(Stanza(pattern, accepted(fields["license"].partition("\n")[0]), "*" in globs))
    return stanzas


def accepted(short_name: str) -> str:
    """SPDX for a licence line of which everything (or, with "or", one part) is accepted; else ""."""
    pieces = [piece for piece in JOINED.split(short_name.strip()) if piece]
    words = [piece.lower() for piece in pieces]
    known = [_spdx(word) for word in words if word not in ("or", "and", "and/or", ",", "|")]
    if not known:
        return ""
    if "or" in words or "|" in words:
        return " OR ".join(dict.fromkeys(one for one in known if one)) if "and" not in words or all(known) else ""
    return " AND ".join(dict.fromkeys(known)) if all(known) else ""


def _spdx(word: str) -> str:
    plain = re.sub(r"[~+].*$|[-_](variant|style|like|license|licence)$", "", word)
    plain = re.sub(r"^(bsd-[23]|apache-2|asl-2)(?:\.0)?(-clause)?[-.].*$", r"\1", plain)
    return ACCEPTED.get(plain, "") if not word.endswith("with-ads") else ""


def of(path: str, stanzas: list[Stanza], declared: str) -> str:
    """The accepted licence of a path inside a package, or "". ``declared``: the package's own, as the list of sources states it."""
    stanza = next((one for one in reversed(stanzas) if one.pattern.match(path)), None)
    return declared if stanza is None or stanza.whole else stanza.licence


def known(expression: str) -> bool:
    """Whether an SPDX expression is made of accepted licences only, or offers the choice of one."""
    accepted_ones = set(ACCEPTED.values())
    return any(all(one in accepted_ones for one in part.split(" AND ")) for part in expression.split(" OR "))
