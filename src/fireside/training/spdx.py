"""Licences as people write them, as SPDX expressions, and whether something under them may go into a model that is given to others.

Knows names, classifiers, the wording of the common licences, and the logic of an expression: ``AND`` asks for every part, ``OR`` for one,
``WITH`` (an exception) only ever allows more. Which licences are permissive is said in ``licences``. Reads no files.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from fireside.training.licences import ACCEPTED

if TYPE_CHECKING:
    from license_expression import Licensing

PERMISSIVE = frozenset(ACCEPTED.values()) | {"MIT-0", "Python-2.0", "NCSA", "BSD-1-Clause", "BlueOak-1.0.0"}
# What package authors write instead of SPDX. "BSD" alone names no licence: the text has to tell which.
WRITTEN = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "the mit license (mit)": "MIT",
    "expat license": "MIT",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "modified bsd license": "BSD-3-Clause",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "psf": "PSF-2.0",
    "psf license": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "zlib/libpng license": "Zlib",
    "the unlicense (unlicense)": "Unlicense",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu general public license (gpl)": "GPL-1.0-or-later",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu library or lesser general public license (lgpl)": "LGPL-2.0-or-later",
    "boost software license 1.0 (bsl-1.0)": "BSL-1.0",
    "public domain": "LicenseRef-public-domain",
}
OWN = ("LicenseRef-public-domain",)
OSI = "License :: OSI Approved"
# Wording -> licence, tried on a text in small letters with single spaces. A text may hold several: then all of them hold.
WORDING: tuple[tuple[str, str], ...] = (
    (
        "MIT",
        r"permission is hereby granted, free of charge, to any person obtaining a copy.{0,2000}?the above copyright notice",
    ),
    (
        "MIT-0",
        r"permission is hereby granted, free of charge, to any person obtaining a copy(?!.{0,2000}?the above copyright notice)",
    ),
    ("BSD-3-Clause", r"redistribution and use in source and binary forms.{0,2500}?neither the name"),
    ("BSD-2-Clause", r"redistribution and use in source and binary forms(?!.{0,2500}?neither the name)"),
    ("Apache-2.0", r"apache license,? version 2\.0"),
    (
        "ISC",
        r"permission to use, copy, modify, and(?:/or)? distribute this software for any purpose with or without fee"
        r" is hereby granted, provided",
    ),
    (
        "0BSD",
        r"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted\. ",
    ),
    ("PSF-2.0", r"python software foundation license version 2"),
    ("Zlib", r"this software is provided 'as-is', without any express or implied warranty"),
    ("Unlicense", r"this is free and unencumbered software released into the public domain"),
    ("CC0-1.0", r"cc0 1\.0 universal"),
    ("BSL-1.0", r"boost software license - version 1\.0"),
    ("MPL-2.0", r"mozilla public license,? version 2\.0"),
    ("AGPL-3.0-only", r"gnu affero general public license version 3"),
    ("LGPL-2.1-only", r"gnu lesser general public license version 2\.1"),
    ("LGPL-3.0-only", r"gnu lesser general public license version 3"),
    ("GPL-2.0-only", r"gnu general public license version 2"),
    ("GPL-3.0-only", r"gnu general public license version 3"),
)
MOST_TEXT = 200_000


def expression(text: str) -> str:
    """What somebody wrote, as a normalised SPDX expression; "" where it is none.

    ``Mit`` -> ``MIT``, ``GPL-2.0`` -> ``GPL-2.0-only``, ``Apache License, Version 2.0`` -> ``Apache-2.0``, ``BSD`` -> "".
    """
    plain = " ".join(text.split())
    if not plain or len(plain) > 1_000:
        return ""
    parsed = _parsed(WRITTEN.get(plain.lower(), plain))
    return "" if parsed is None else str(parsed)


def permissive(text: str) -> bool:
    """Whether an SPDX expression allows what is under it in a model that is shared. What cannot be read does not."""
    parsed = _parsed(text)
    return parsed is not None and _permissive(parsed)


def of_classifiers(classifiers: Iterable[str]) -> str:
    """What a package's trove classifiers say; "" when they name no licence, or one that is not exactly one licence."""
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ") and one != OSI]
    found = [expression(name) for name in named]
    return joined(found) if found and all(found) else ""


def of_text(text: str) -> str:
    """The licences whose wording stands in a LICENSE file, joined with AND; "" where none is known."""
    plain = " ".join(re.sub(r"[#*>=\-]{2,}|^[\s#*>]+", " ", text[:MOST_TEXT].lower(), flags=re.MULTILINE).split())
    plain = plain.replace("http://www.apache.org/licenses/", "").replace("https://www.apache.org/licenses/", "")
    found = [name for name, wording in WORDING if re.search(wording, plain)]
    # The LGPL names the GPL it adds to.
    if any(name.startswith("LGPL") for name in found):
        found = [name for name in found if not name.startswith("GPL")]
    return joined(found)


def joined(expressions: Iterable[str]) -> str:
    """All of these hold."""
    parts = list(dict.fromkeys(one for one in expressions if one))
    if len(parts) < 2:
        return parts[0] if parts else ""
    return expression(" AND ".join(f"({one})" for one in parts))


@cache
def _licensing() -> "Licensing":
    from license_expression import LicenseSymbol, Licensing, get_spdx_licensing

    known = get_spdx_licensing()
    own = [LicenseSymbol(name) for name in OWN]
    return Licensing([*known.known_symbols.values(), *own])


@cache
def _parsed(text: str) -> Any:
    """A tree of the parser's nodes, or ``None``."""
    from license_expression import ExpressionError

    try:
        return _licensing().parse(text, validate=True, strict=True)
    except (ExpressionError, ValueError):  # its parser's own errors are a kind of ValueError or of ExpressionError
        return None


def _permissive(node: Any) -> bool:
    arguments = getattr(node, "args", ())
    if arguments:
        rule = any if node.operator.strip() == "OR" else all
        return rule(_permissive(one) for one in arguments)
    licence = getattr(node, "license_symbol", node)
    return licence.key in PERMISSIVE
