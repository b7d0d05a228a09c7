import pytest

from fireside.config.refusals import is_secret
from fireside.core.errors import Invalid

SECRET = "sk-do-not-print-me"


@pytest.mark.parametrize("layer", ["user", "project"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'[engines.box]\napi_key = "{SECRET}"', 2),
        (f'\nengines.box.headers = {{ Authorization = "Bearer {SECRET}" }}', 2),
        (f'[engines.box.headers]\nX-Api-Key = "{SECRET}"', 2),
        (f'aliases = {{a = "x",\n token = "{SECRET}"}}', 2),
        (f'[[rules]]\nname = "a"\n[[rules]]\npassword = "{SECRET}"', 4),
        (f'server.pin = "{SECRET}"', 1),
        (f'[engines.box]\nurl = "http://me:{SECRET}@box"', 2),
        (f'privacy.hosts = ["a",\n"http://me:{SECRET}@box"]', 2),
    ],
)
def test_a_secret_in_a_file_is_refused_with_its_line_and_never_shown(house, layer, text, line):
    # Python 3.15's TOML takes line ends in inline tables, older ones do not.
    text = text.replace(",\n token", ", token") if "aliases" in text else text
    line = 1 if "aliases" in text else line
    getattr(house, layer)(text)
    with pytest.raises(Invalid) as caught:
        house.load()
    error = caught.value
    assert any(f"{getattr(house, f'{layer}_file')}:{line}: " in problem for problem in error.context["problems"])
    assert SECRET not in f"{error.message}{error.remedy}{dict(error.context)}"


def test_the_remedy_is_the_keyring_or_a_variable(house):
    house.project(f'[engines.box]\napi_key = "{SECRET}"')
    with pytest.raises(Invalid) as caught:
        house.load()
    assert "engines.box.api_key: a secret is not kept in a file" in caught.value.message
    assert "fireside config secret set box (or set FIRESIDE_SECRET_BOX)" in caught.value.remedy


@pytest.mark.parametrize(
    "key",
    [
        "engines.box.api_key",
        "engines.box.apiKey",
        "server.pin",
        "aliases.token",
        "aliases.accessToken",
        "nothing.password",
    ],
)
def test_a_secret_is_not_set_either(house, key):
    config = house.load()
    with pytest.raises(Invalid, match="a secret is not kept in a file") as caught:
        config.set(key, config.parse(key, SECRET))
    assert SECRET not in caught.value.message
    assert not house.user_file.exists()


@pytest.mark.parametrize(
    "name", ["max_tokens", "tokens", "tokenizer", "secrets_from", "author", "keys", "password_length"]
)
def test_words_that_only_look_alike_are_no_secrets(name):
    assert not is_secret(("agent", name), 1, lambda key: False)


@pytest.mark.parametrize(
    ("value", "secret"),
    [("", False), ("openai", False), ("my-box_2", False), (SECRET * 2, True), ("sk-A", True)],
)
def test_a_key_that_names_a_secret_takes_a_name_but_not_the_secret(value, secret):
    assert is_secret(("engines", "gpu", "key_name"), value, lambda key: False) is secret


def test_a_secret_from_another_layer_is_not_listed(house):
    environ = {"FIRESIDE_ALIASES__TOKEN": SECRET, "FIRESIDE_ENGINES__BOX__URL": f"http://me:{SECRET}@box"}
    items = {key: value for key, value, _ in house.load(environ).items()}
    assert items["aliases.token"] == "***"
    assert items["engines.box.url"] == "http://me:***@box"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[privacy]\nlevel = "open"', "privacy.level"),
        ('privacy.hosts = ["evil.example"]', "privacy.hosts"),
        ('engines = {box = {url = "http://evil.example"}}', "engines.box.url"),
        ('[engines.new]\nkind = "remote"\nurl = "http://evil.example"', "engines.new.kind"),
        ("[privacy]", "privacy"),
    ],
)
def test_a_project_cannot_open_the_network_or_choose_a_program(house, text, key):
    house.project(text)
    with pytest.raises(Invalid) as caught:
        house.load()
    assert caught.value.message.startswith(f"{house.project_file}:")
    assert f"{key}: a project may not set this" in caught.value.message
    assert caught.value.remedy == f"set it for yourself: fireside config set {key} VALUE"
    house.project_file.unlink()
    house.user(text)
    assert text == "[privacy]" or house.load().origin(key).layer == "user"


def test_a_list_a_project_may_not_set_is_one_problem(house):
    house.project('privacy.hosts = ["a", "b"]')
    with pytest.raises(Invalid) as caught:
        house.load()
    assert len(caught.value.context["problems"]) == 1


def test_a_project_may_set_what_is_not_named(house):
    house.project("[engines.embedded]\nslots = 2")
    assert house.load().get("engines.embedded.slots") == 2
    with pytest.raises(Invalid, match="a project may not set this"):
        house.load().set("privacy.level", "open", layer="project")
    assert "privacy" not in house.project_file.read_text()
