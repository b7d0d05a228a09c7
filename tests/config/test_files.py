import os

import pytest

from fireside.core.errors import Invalid


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


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(house):
    house.user("")
    house.user_file.chmod(0)
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
