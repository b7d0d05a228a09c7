import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.config.notation import hide_passwords, join_key, read_value, show_value, split_key
from fireside.core.errors import Invalid

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | names | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(names, inner),
    max_leaves=8,
)


@given(st.lists(names, min_size=1, max_size=4))
def test_a_key_is_read_as_it_was_written(path):
    assert split_key(join_key(tuple(path))) == tuple(path)


@given(values)
def test_a_shown_value_is_toml_for_the_same_value_and_safe_for_a_terminal(value):
    shown = show_value(value)
    assert tomllib.loads(f"v = {shown}")["v"] == value
    assert shown.isprintable()


@pytest.mark.parametrize("text", ["", ".", "a.", "a..b", "a b", "a = 1\nb", 'a."', "a\n", "ä"])
def test_what_is_not_a_key_is_refused(text):
    with pytest.raises(Invalid, match="is not a key"):
        split_key(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("[1, 2]", [1, 2]),
        ('"5"', "5"),
        ("{a = 1}", {"a": 1}),
        ("plain", "plain"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_text_is_a_toml_value_or_itself(text, value):
    assert read_value(text) == value


def test_a_password_in_an_address_is_hidden_wherever_it_is():
    value = {"a": ["http://me:hunter2@box:1/x?y=a@b"], "b": "http://box/a:b@c", "c": 1}
    assert hide_passwords(value) == {"a": ["http://me:***@box:1/x?y=a@b"], "b": "http://box/a:b@c", "c": 1}
