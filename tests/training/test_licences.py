"""Reading Debian's account of licences."""

import pytest

from fireside.training import licences

COPYRIGHT = """Format: machine-readable, 1.0
Upstream-Name: example

Files: *
Copyright: 2020 Somebody
License: Expat

Files: vendor/strict/*
       src/gpl.c
Copyright: 2019 Somebody Else
License: GPL-3+

Files: src/dual/*
Copyright: 2019 Both
License: GPL-2+ or Apache-2.0

License: Expat
 Permission is hereby granted ...
"""


def test_the_last_stanza_that_names_a_path_counts():
    stanzas = licences.read(COPYRIGHT)
    assert licences.of("src/main.c", stanzas, "MIT") == "MIT"
    assert licences.of("src/gpl.c", stanzas, "MIT") == ""
    assert licences.of("vendor/strict/deep/file.c", stanzas, "MIT") == ""
    assert licences.of("src/dual/one.c", stanzas, "MIT") == "Apache-2.0"


def test_without_stanzas_the_declared_licence_holds():
    assert licences.of("src/main.c", licences.read("It was packaged by somebody."), "BSD-3-Clause") == "BSD-3-Clause"


@pytest.mark.parametrize(
    ("line", "spdx"),
    [
        ("Expat", "MIT"),
        ("BSD-3-clause and Expat", "BSD-3-Clause AND MIT"),
        ("Expat and GPL-2+", ""),
        ("GPL-2+ or Expat", "MIT"),
        ("MPL-2.0", ""),
        ("MPL-2.0 and Expat", ""),
        ("BSD-4-clause", ""),
        ("", ""),
    ],
)
def test_everything_joined_by_and_must_be_accepted_and_one_of_what_is_joined_by_or(line, spdx):
    assert licences.accepted(line) == spdx


def test_expressions_of_the_list_are_checked():
    assert licences.known("MIT OR GPL-3.0-only")
    assert licences.known("MIT AND BSD-3-Clause")
    assert not licences.known("MIT AND MPL-2.0")
