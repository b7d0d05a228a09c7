import pytest

from fireside.core.errors import Invalid


def test_two_underscores_stand_between_the_names(house):
    config = house.load({"FIRESIDE_SERVER__PORT": "99", "FIRESIDE_ENGINES__BOX__TIMEOUT": "2.5"})
    assert config.settings.server.port == 99
    assert config.settings.engines["box"].timeout == 2.5
    assert config.origin("server.port").variable == "FIRESIDE_SERVER__PORT"


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("FIRESIDE_SERVER__OPEN", "0", "server.open", False),
        ("FIRESIDE_SERVER__OPEN", "False", "server.open", False),
        ("FIRESIDE_PRIVACY__HOSTS", '["a", "b"]', "privacy.hosts", ("a", "b")),
        ("FIRESIDE_THEME", "5", "theme", "5"),
        ("FIRESIDE_THEME", '"5"', "theme", "5"),
        ("FIRESIDE_THEME", "[", "theme", "["),
        ("FIRESIDE_SERVER", "{port = 7}", "server.port", 7),
        ("FIRESIDE_ALIASES__CHAT", "true", "aliases.chat", "true"),
    ],
)
def test_text_is_read_as_the_key_wants_it(house, name, text, key, value):
    assert house.load({name: text}).get(key) == value


def test_a_variable_for_one_key_goes_before_one_for_its_table(house):
    environ = {"FIRESIDE_SERVER__PORT": "7", "FIRESIDE_SERVER": '{port = 1, host = "h"}'}
    server = house.load(environ).settings.server
    assert (server.port, server.host) == (7, "h")


def test_declared_variables_count_in_their_order_and_after_the_full_name(house):
    environ = {"OLD_BOX_URL": "http://old"}
    assert house.load(environ).get("engines.box.url") == "http://old"
    environ["BOX_URL"] = "http://new"
    config = house.load(environ)
    assert (config.get("engines.box.url"), config.origin("engines.box.url").variable) == ("http://new", "BOX_URL")
    environ["FIRESIDE_ENGINES__BOX__URL"] = "http://full"
    assert house.load(environ).get("engines.box.url") == "http://full"


def test_a_name_with_capitals_or_hyphens_is_found_by_its_spelling(house):
    house.user('[engines.My-GPU]\nkind = "local"\n')
    config = house.load({"FIRESIDE_ENGINES__MY_GPU__SLOTS": "9"})
    assert config.get("engines.My-GPU.slots") == 9


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FIRESIDE_SERVR__PORT", "did you mean FIRESIDE_SERVER__PORT?"),
        ("FIRESIDE_SERVER__PROT", "did you mean FIRESIDE_SERVER__PORT?"),
        ("FIRESIDE_ENGINES__BOX__URI", "did you mean FIRESIDE_ENGINES__BOX__URL?"),
        ("FIRESIDE_QQQ__X", "it may begin with FIRESIDE_THEME, FIRESIDE_DEPTH"),
        ("FIRESIDE_SERVER__", "it may begin with"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_closest(house, name, hint):
    with pytest.raises(Invalid) as caught:
        house.load({name: "1"})
    assert caught.value.message.startswith(f"{name}: there is no such setting; ")
    assert hint in caught.value.message


def test_a_wrong_value_names_its_variable_and_what_was_expected(house):
    with pytest.raises(Invalid) as caught:
        house.load({"FIRESIDE_SERVER__PORT": "many"})
    assert caught.value.message == (
        'FIRESIDE_SERVER__PORT: server.port: expected an integer from 1 to 65535, got "many"'
    )
    with pytest.raises(Invalid, match="FIRESIDE_THEME: its value is not UTF-8 text"):
        house.load({"FIRESIDE_THEME": "\udcff"})


def test_what_is_reserved_empty_or_somebody_elses_is_left_alone(house):
    environ = {
        "FIRESIDE_DEBUG": "1",
        "FIRESIDE__TRACE": "1",
        "FIRESIDE_SECRET_OPEN__AI": "s",
        "FIRESIDE_SERVER__PORT": "",
        "FIRESIDE_SERVR__PORT": "",
        "FIRESIDE_UNKNOWN": "1",
        "SERVER__PORT": "1",
    }
    assert house.load(environ).settings == house.load().settings
