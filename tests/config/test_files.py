import pytest
import tomlkit
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from fireside.config.notation import show_value
from fireside.core.errors import Invalid
from support.privileges import as_nobody, open_folder
from support.settings import House


def refused(house):
    with pytest.raises(Invalid) as caught:
        house.load()
    assert caught.value.remedy
    return caught.value.message


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "\ufeff", "[server]\n"])
def test_an_empty_file_says_nothing(house, text):
    house.user(text)
    assert house.load().settings == house.load().settings.__class__()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = ", 1),
        ("theme = 'x'\n\n[server\nport = 1", 3),
        ("theme = 'x'\ntheme = 'y'", 2),
        ("theme = 'x'\r\n\r\nseed = = 1\r\n", 3),
        ('theme = """x\n\n', 1),
        ("seed = " + "9" * 5000, 1),
        ("theme = 'a\x00'", 1),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(house, text, line):
    house.user(text)
    message = refused(house)
    assert message.startswith(f"{house.user_file}:")
    assert abs(int(message.removeprefix(f"{house.user_file}:").split(":")[0]) - line) <= 2 * ('"""' in text)
    assert ": not TOML: " in message


def test_endless_nesting_is_refused(house):
    house.user("seed = " + "[" * 20_000)
    assert str(house.user_file) in refused(house)


def test_bytes_that_are_no_text_are_refused_with_their_line(house):
    house.user_file.write_bytes(b'theme = "a"\n# caf\xe9\n')
    assert refused(house) == f"{house.user_file}:2: not UTF-8 text (byte 0xe9)"


def test_a_folder_in_place_of_the_file_is_refused(house):
    house.project_file.mkdir()
    assert refused(house) == f"{house.project_file} is not a file"


def test_a_device_behind_a_link_is_not_read(house):
    house.project_file.symlink_to("/dev/zero")
    assert refused(house) == f"{house.project_file} is not a file"


def test_a_file_far_too_large_is_not_read(house):
    house.project("#" * 1_000_001)
    assert "too large for settings" in refused(house)


def test_a_file_that_may_not_be_read_is_refused():
    with open_folder() as folder:
        house = House(folder)
        house.user("")
        house.user_file.chmod(0)
        with as_nobody():
            assert refused(house) == f"cannot read {house.user_file}: Permission denied"


def test_a_file_behind_a_file_is_refused(house):
    house.user_file.parent.rmdir()
    house.user_file.parent.write_text("")
    assert refused(house) == f"cannot read {house.user_file}: Not a directory"


def test_a_file_saved_with_a_byte_order_mark_and_crlf_reads_like_any_other(house):
    house.user_file.write_bytes(b'\xef\xbb\xbf# mine\r\ntheme = "a"\r\n[server]\r\nport = 5\r\n')
    config = house.load()
    assert (config.settings.theme, config.settings.server.port) == ("a", 5)
    assert config.origin("server.port").line == 4


keys = st.sampled_from(
    ["theme", "depth", "seed", "aliases", "rules", "server", "privacy", "engines", "kind", "url", "port", "x"]
)
values = st.recursive(
    st.sampled_from(["local", "remote", "quick", ""]) | st.booleans() | st.integers(-2, 9) | st.floats() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)


@limits(max_examples=60, deadline=None)
@given(st.dictionaries(keys, values, max_size=4), st.dictionaries(keys, values, max_size=2), st.binary(max_size=12))
def test_whatever_stands_in_the_layers_it_fits_or_is_refused(tmp_path_factory, user, project, noise):
    house = House(tmp_path_factory.mktemp("house"))
    house.user(tomlkit.dumps(user))
    house.project(tomlkit.dumps(project))
    with house.project_file.open("ab") as file:
        file.write(noise)
    environ = {f"FIRESIDE_{key.upper()}": show_value(value) for key, value in user.items()}
    for refusal in filter(None, (refusal_of(house, {}), refusal_of(house, environ))):
        assert refusal.message.isprintable()
        assert refusal.remedy


def refusal_of(house, environ):
    try:
        house.load(environ)
    except Invalid as error:
        return error
