"""``docs/clients.md`` as something to run: its sections, and in each the files to write and the text to run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"In `([^`]+)`[^`]*:\s*\Z")
RUN = ("sh", "python", "js")


@dataclass(frozen=True, slots=True)
class Section:
    """``files``: where (``~`` is the home, else the project) -> the text. ``language``: of ``text``, which is run."""

    files: Mapping[str, str]
    language: str
    text: str


def sections() -> dict[str, Section]:
    """Every section with something to run, by its heading."""
    _, *parts = SECTION.split(PAGE.read_text(encoding="utf-8"))
    found = {heading: _read(body) for heading, body in zip(parts[::2], parts[1::2], strict=True)}
    return {heading: section for heading, section in found.items() if section.text}


def _read(body: str) -> Section:
    files: dict[str, str] = {}
    language, text = "", ""
    for block in BLOCK.finditer(body):
        if block[1] in RUN:
            language, text = block[1], block[2]
        else:
            place = PLACE.search(body, 0, block.start())
            assert place is not None, f"nothing says where this goes: {block[2]}"
            files[place[1]] = block[2]
    return Section(files, language, text)
