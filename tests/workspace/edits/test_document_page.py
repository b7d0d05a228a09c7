"""What docs/edits.md shows is so."""

import re
from pathlib import Path
from typing import get_args

from fireside.workspace.edits.formats import FORMATS
from fireside.workspace.edits.refusals import Reason

PAGE = (Path(__file__).parents[3] / "docs/edits.md").read_text(encoding="utf-8")


def test_the_example_runs():
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(example, "docs/edits.md", "exec"), {})


def test_every_format_and_every_reason_is_told():
    said = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert [name for name in (*FORMATS, *get_args(Reason)) if name not in said] == []
