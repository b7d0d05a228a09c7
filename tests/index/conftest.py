"""A small project and its index."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fireside.index.index import Index
from fireside.workspace.workspace import Workspace

SHOP = {
    "shop/prices.py": '''\
"""Prices."""


class Price:
    """An amount in cents."""

    def with_tax(self, rate: float) -> int:
        """Add value added tax, rounded to the cent."""
        return round(self.cents * (1 + rate))


def parse_price(text: str) -> int:
    """Read an amount such as 12.50 as cents."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 100 + int(fraction or 0)
''',
    "shop/orders.py": """\
from shop.prices import Price


def total(prices: list[Price]) -> int:
    return sum(price.cents for price in prices)
""",
    "tests/test_prices.py": "from shop.prices import parse_price\n\n\ndef test_parse_price():\n    assert parse_price('12.50') == 1250\n",
    "README.md": "# Shop\n\nHow to read an amount: call `parse_price`.\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    write(folder, SHOP)
    return folder


@pytest.fixture
def open_index(root: Path, tmp_path: Path) -> Iterator[Callable[[], Index]]:
    """Opens the index of ``root`` again and again; all are closed at the end."""
    opened: list[Index] = []

    def open_one() -> Index:
        opened.append(Index.open(Workspace(root), tmp_path / "index"))
        return opened[-1]

    yield open_one
    for index in opened:
        index.close()


@pytest.fixture
def index(open_index: Callable[[], Index]) -> Index:
    made = open_index()
    made.update()
    return made
