"""The weights and the evidence are two lists that must stay in step; likelihoods are shares of one."""

from fireside.assist.candidates import candidates
from fireside.assist.cursor import cursor_between
from fireside.assist.ranking import NONE, WEIGHTS, doubt, evidence, judged
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
    shares, _ = judged(CURSOR, candidates(CURSOR))
    assert all(share > 0 for share in shares)
    assert sum(shares) < 1


def test_without_candidates_there_is_nothing_to_judge():
    assert judged(CURSOR, []) == ([], [])


def test_the_likeliest_may_be_short_but_what_is_worth_most_is_long():
    text = "".join(f"log.write(channel, colour, {number} * width)\n" for number in range(8))
    cursor = cursor_between(text + "log.write(", "\n", [])
    found = candidates(cursor)
    _, worths = judged(cursor, found)
    best = max(zip(worths, found, strict=True), key=lambda pair: pair[0])[1]
    assert best.text.startswith("channel, colour, ")


def test_candidates_come_from_the_file_its_neighbours_and_closed_beginnings():
    texts = {one.text for one in candidates(CURSOR)}
    assert {"ale(width, 2)", "ale(height)", "ale"} <= texts
