"""Names of another place give way to names of here; a begun name is finished with one of here."""

from fireside.assist.candidates import candidates
from fireside.assist.cursor import cursor_between
from fireside.assist.scope import Scope

AREA = "def area(width):\n    return scale(width, 2)\n\n"


def exchanged(prefix: str, text: str) -> list[tuple[str, bool]]:
    return list(Scope(cursor_between(prefix, "\n", [])).exchanged(text))


def finished(prefix: str) -> list[str]:
    return list(Scope(cursor_between(prefix, "\n", [])).finished())


def test_a_strange_name_gives_way_to_the_parameter_that_is_not_used_yet():
    names = exchanged("def volume(depth, factor):\n    depth = 2 * depth\n    return scale(", "width, 2)")
    assert names[0] == ("factor, 2)", True)
    assert ("depth, 2)", False) in names


def test_a_strange_attribute_gives_way_to_one_of_the_same_thing():
    prefix = "def close(self):\n    log.info(1)\n    self.socket = None\n    if self."
    assert [text for text, _ in exchanged(prefix, "handle:")] == ["socket:"]


def test_names_of_here_and_called_ones_stay():
    assert exchanged("def volume(depth):\n    depth = ", "depth + 1") == []
    assert exchanged("def volume(depth):\n    depth = ", "scale()") == []


def test_a_name_that_is_exchanged_begins_as_it_was_begun():
    assert exchanged("def volume(depth, weight):\n    return scale(we", "ather)") == [("ight)", True)]


def test_a_begun_name_is_finished_with_the_nearest_of_here():
    prefix = "def volume(depth_of_field, depth_of_water):\n    return scale(dep"
    assert finished(prefix) == ["th_of_water", "th_of_field"]
    assert finished("def volume(depth):\n    return scale(") == []


def test_a_begun_attribute_is_finished_with_one_of_the_same_thing():
    assert finished("self.socket = 1\nother.source = 2\nself.so") == ["cket"]


def test_exchanged_and_finished_names_are_candidates():
    texts = {one.text for one in candidates(cursor_between(AREA + "def volume(depth):\n    return scale(", "\n", []))}
    assert {"width, 2)", "depth, 2)"} <= texts
