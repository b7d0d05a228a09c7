import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from fireside.config.locate import lines_of
from fireside.config.notation import leaves

TEXT = '''# first
a = 1
"x.y" = """
[not] = "a table"
"""
[e.g]  # a [comment]
k = 'a # b'
d.e = [1,
  2, # ]
  {z = "}", w.v = 4}]
t = 1979-05-27 07:32:00
[[s]]
n = 1
[s.sub]
m = """a\\"""" # quoted quote
[[s]]
n = \'\'\'x''\'\'\'
z = {}
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("x.y",), 3),
        (("e", "g"), 6),
        (("e", "g", "k"), 7),
        (("e", "g", "d", "e"), 8),
        (("e", "g", "d", "e", "0"), 8),
        (("e", "g", "d", "e", "1"), 9),
        (("e", "g", "d", "e", "2", "w", "v"), 10),
        (("e", "g", "t"), 11),
        (("s",), 12),
        (("s", "0", "n"), 13),
        (("s", "0", "sub", "m"), 15),
        (("s", "1"), 16),
        (("s", "1", "n"), 17),
        (("s", "1", "z"), 18),
    ],
    ids=str,
)
def test_finds_the_line_of_each_key(path, line):
    assert lines_of(TEXT)[path] == line


def test_finds_no_key_inside_a_string_or_a_comment():
    assert not {path for path in lines_of(TEXT) if "not" in path or "comment" in path}


names = st.text(min_size=1, max_size=6)
scalars = st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=12) | st.datetimes()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(names, values, max_size=4))
def test_finds_every_key_of_any_document(table):
    text = tomlkit.dumps(table)
    lines = lines_of(text)
    for path, _ in leaves(tomllib.loads(text)):
        assert 1 <= lines[path] <= text.count("\n") + 1
