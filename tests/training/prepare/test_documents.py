"""How a row becomes what a model reads: both orders of fill-in-the-middle, headers, and documents that end where files end."""

from dataclasses import replace

import pytest

from fireside.training.prepare.documents import Document, Documents
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.tokenizer import Specials
from support.corpora import row, standard_library

END, PREFIX, SUFFIX, MIDDLE, REPO, FILE, START, STOP = 0, 3, 5, 4, 7, 8, 1, 2
OURS = Specials(END, 6, PREFIX, SUFFIX, MIDDLE, REPO, FILE, START, STOP, "joined")
TEXT = "def area(width, height):\n    return width * height\n"


def documents(*, specials: Specials = OURS, rate: float = 1.0, **settings: float) -> Documents:
    return Documents(PrepareSettings(**settings), specials, seed=1, rate=rate)  # type: ignore[arg-type]


def text(document: Document) -> str:
    return "".join(part for part in document.parts if isinstance(part, str))


def test_psm_tells_prefix_suffix_and_then_the_middle():
    (found,) = documents(joined=0, headers=0).of(row(TEXT))
    first, prefix, second, suffix, third, middle, end = found.parts
    assert (first, second, third, end) == (PREFIX, SUFFIX, MIDDLE, END)
    assert f"{prefix}{middle}{suffix}" == TEXT
    assert found.answer == len(str(middle)) > 0


def test_the_joined_order_leaves_nothing_between_prefix_and_middle():
    (found,) = documents(joined=1, headers=0).of(row(TEXT))
    first, second, suffix, third, rest, end = found.parts
    assert (first, second, third, end) == (PREFIX, SUFFIX, MIDDLE, END)
    assert f"{rest}{suffix}" == TEXT
    assert 0 < found.answer <= len(str(rest))


def test_a_middle_to_the_line_end_ends_there():
    for number in range(30):
        (found,) = documents(joined=0, headers=0, line_spans=1, syntax_spans=0).of(row(TEXT, f"{number}.py"))
        middle, suffix = str(found.parts[5]), str(found.parts[3])
        assert "\n" not in middle
        assert suffix.startswith("\n")


def test_a_node_of_syntax_stands_between_what_stood_around_it():
    one = row("width * height", kind="fim", prefix="    return ", suffix="\n", node="binary_operator")
    (found,) = documents(joined=0, headers=0).of(one)
    assert found.parts == (PREFIX, "    return ", SUFFIX, "\n", MIDDLE, "width * height", END)


def test_a_header_tells_repository_and_path():
    (found,) = documents(rate=0, headers=1).of(row(TEXT, "src/area.py"))
    assert found.parts == (REPO, "mine\n", FILE, "src/area.py\n", TEXT, END)


def test_only_the_end_of_the_file_ends_a_plain_document():
    long = standard_library(1)[0]
    found = list(documents(rate=0, headers=0, context=128).of(long))
    assert len(found) > 3
    assert "".join(map(text, found)) == long.text
    assert [document.parts[-1] == END for document in found] == [False] * (len(found) - 1) + [True]


def test_the_asked_share_of_text_is_cut_and_half_of_it_joined():
    found = [one for file in standard_library(30) for one in documents(rate=0.7).of(file)]
    cut = [one for one in found if one.whole]
    joined = [one for one in cut if one.parts[-2] != one.parts[-1] and SUFFIX in one.parts[:8] and _is_joined(one)]
    assert 0.65 < len(cut) / len(found) < 0.75
    assert 0.45 < len(joined) / len(cut) < 0.55


def test_the_same_row_is_cut_alike_again_and_otherwise_with_another_seed():
    one = standard_library(1)[0]
    assert list(documents().of(one)) == list(documents().of(one))
    other = Documents(PrepareSettings(), OURS, seed=2, rate=1.0)
    assert list(documents().of(one)) != list(other.of(one))


def test_a_tokenizer_without_the_tokens_gets_plain_text():
    bare = Specials(end=END, pad=END)
    (found,) = documents(specials=bare).of(row(TEXT))
    assert found.parts == (TEXT, END)
    (asked,) = documents(specials=bare).of(row("x = 1", kind="doc", instruction="Set x."))
    assert asked.parts == ("Set x.\n\n```\nx = 1\n```\n", END)


def test_a_base_that_knows_only_psm_is_never_shown_the_joined_order():
    psm = replace(OURS, order="psm")
    found = [one for file in standard_library(5) for one in documents(specials=psm).of(file)]
    assert any(one.whole for one in found)
    assert not any(_is_joined(one) for one in found)


@pytest.mark.parametrize("kind", ["doc", "edit"])
def test_what_was_asked_and_answered_are_two_turns(kind: str):
    one = row("y = 2", kind=kind, instruction="Rename x.", before="x = 2" if kind == "edit" else "")
    (found,) = documents().of(one)
    assert [part for part in found.parts if isinstance(part, int)] == [START, STOP, START, STOP, END]
    assert ("x = 2" in text(found)) == (kind == "edit")


def _is_joined(document: Document) -> bool:
    """Nothing stands between the first two of the three tokens."""
    at = document.parts.index(PREFIX) if PREFIX in document.parts else -1
    return at >= 0 and document.parts[at + 1] == SUFFIX
