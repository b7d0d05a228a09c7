"""Licences as people write them, and what may go into a model that is given to others."""

import pytest

from fireside.training import spdx

pytestmark = pytest.mark.train
MIT = """The MIT License (MIT)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software ... subject to:
The above copyright notice and this permission notice shall be included in all copies.
"""
BSD = """Redistribution and use in source and binary forms, with or without modification, are permitted provided that
the following conditions are met: 1. Redistributions of source code must retain the above copyright notice.
"""


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("mit", "MIT"),
        ("MIT License", "MIT"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("MPL-2.0 AND MIT", "MPL-2.0 AND MIT"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("BSD", ""),
        ("UNKNOWN", ""),
        ("(MIT", ""),
        ("MIT AND", ""),
        ("", ""),
        ("see the file LICENSE", ""),
        ("x" * 2_000, ""),
    ],
)
def test_what_is_written_becomes_an_expression_or_nothing(written, means):
    assert spdx.expression(written) == means


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MPL-2.0 AND MIT", False),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("MIT AND (GPL-2.0-only OR BSD-3-Clause)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("BUSL-1.1", False),
        ("BSL-1.0", True),
        ("LicenseRef-public-domain", True),
        ("", False),
        ("nonsense", False),
    ],
)
def test_and_asks_for_every_part_and_or_for_one(expression, allowed):
    assert spdx.permissive(expression) is allowed


def test_classifiers_count_only_when_each_names_one_licence():
    assert spdx.of_classifiers(["License :: OSI Approved", "License :: OSI Approved :: MIT License"]) == "MIT"
    assert spdx.of_classifiers(["License :: OSI Approved :: BSD License"]) == ""
    both = ["License :: OSI Approved :: MIT License", "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"]
    assert spdx.of_classifiers(both) == "MIT AND MPL-2.0"
    assert spdx.of_classifiers(["Programming Language :: Python"]) == ""


def test_a_text_is_known_by_its_wording_and_may_hold_several_licences():
    assert spdx.of_text(MIT) == "MIT"
    assert spdx.of_text(BSD) == "BSD-2-Clause"
    assert spdx.of_text(BSD + "Neither the name of the author nor ...") == "BSD-3-Clause"
    assert spdx.of_text(MIT + "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007") == "MIT AND GPL-3.0-only"
    assert spdx.of_text("All rights reserved.") == ""
