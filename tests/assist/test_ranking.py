"""The weights and the evidence are two lists that must stay in step; likelihoods are shares of one."""

from fireside.assist.candidates import candidates
from fireside.assist.cursor import cursor_between
from fireside.assist.ranking import NONE, WEIGHTS, doubt, evidence, likelihoods
from fireside.core.requests import Snippet

CURSOR = cursor_between(
    "def area(width):\n    return scale(width, 2)\n\ndef volume(depth):\n    return sc",
    "\n\nprint(area(1))\n",
    [Snippet("near.py", "    return scale(height)\n")],
)


def test_every_piece_of_evidence_has_its_weight():
    found = candidates(CURSOR)
    assert found
    assert {len(row) for row in evidence(CURSOR, found)} == {len(WEIGHTS)}
    assert len(doubt(CURSOR, found)) == len(NONE)


def test_likelihoods_leave_something_for_none_of_them():
    shares = likelihoods(CURSOR, candidates(CURSOR))
    assert all(share > 0 for share in shares)
    assert sum(shares) < 1


def test_without_candidates_there_are_no_likelihoods():
    assert likelihoods(CURSOR, []) == []


def test_candidates_come_from_the_file_its_neighbours_and_closed_beginnings():
    texts = {one.text for one in candidates(CURSOR)}
    assert {"ale(width, 2)", "ale(height)", "ale"} <= texts
