import asyncio

import pytest

from fireside.config.layers import NotLoaded
from fireside.core.errors import Invalid
from support.settings import Depth, Local, Remote, Settings


def test_each_layer_goes_before_those_below(house):
    seen = []
    config = house.load()
    seen.append((config.settings.theme, str(config.origin("theme"))))
    house.user('\ntheme = "user"\n')
    config = house.load()
    seen.append((config.settings.theme, str(config.origin("theme"))))
    house.project('theme = "project"\n')
    config = house.load()
    seen.append((config.settings.theme, str(config.origin("theme"))))
    config = house.load({"FIRESIDE_THEME": "environment"})
    seen.append((config.settings.theme, str(config.origin("theme"))))
    config = house.load({"FIRESIDE_THEME": "environment"}, flags={"theme": "flag"})
    seen.append((config.settings.theme, str(config.origin("theme"))))
    config.set("theme", "runtime", layer="runtime")
    seen.append((config.settings.theme, str(config.origin("theme"))))
    assert seen == [
        ("dark", "default"),
        ("user", f"user {house.user_file}:2"),
        ("project", f"project {house.project_file}:1"),
        ("environment", "environment FIRESIDE_THEME"),
        ("flag", "command line"),
        ("runtime", "runtime"),
    ]


def test_tables_are_joined_key_by_key_and_lists_are_replaced(house):
    house.user('aliases = {a = "1", b = "2"}\nrules = [{name = "x"}, {name = "y"}]\n[server]\nport = 1')
    house.project('[aliases]\nb = "3"\n[[rules]]\nname = "z"\n[server]\nhost = "h"')
    settings = house.load().settings
    assert settings.aliases == {"a": "1", "b": "3"}
    assert [rule.name for rule in settings.rules] == ["z"]
    assert (settings.server.port, settings.server.host) == (1, "h")


def test_a_table_of_a_tagged_kind_joins_the_default_of_that_kind(house):
    house.user("[engines.embedded]\nslots = 8\n")
    assert house.load().settings.engines == {"embedded": Local(slots=8), "box": Remote(url="http://localhost:1")}


def test_a_table_of_another_kind_replaces_the_default(house):
    house.user('[engines.embedded]\nkind = "remote"\nurl = "http://gpu"\n')
    config = house.load()
    assert config.settings.engines["embedded"] == Remote(url="http://gpu")
    assert config.origin("engines.embedded.timeout").layer == "default"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("theme", "dark"),
        ("depth", Depth.QUICK),
        ("seed", None),
        ("server.port", 8000),
        ("engines.box.kind", "remote"),
        ("engines.box.url", "http://localhost:1"),
        ("privacy.hosts", ()),
        ("engines.embedded", Local()),
    ],
)
def test_a_value_is_had_by_its_key(house, key, value):
    assert house.load().get(key) == value


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("servr.port", "did you mean server.port?"),
        ("server.prt", "did you mean server.port?"),
        ("zzz", "unknown key zzz; known here: theme"),
        ("engines.gpu", "engines.gpu is not set"),
        ("engines.gpu.url", "engines.gpu.url is not set"),
        ("theme.x", "unknown key theme.x"),
    ],
)
def test_a_key_that_is_not_there_is_answered_with_the_closest(house, key, message):
    with pytest.raises(Invalid) as caught:
        house.load().get(key)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("\nport = 1", 2, "unknown key port"),
        ("[server]\nprot = 1", 2, "unknown key server.prot; did you mean port?"),
        ("[srver]\nport = 1", 1, "unknown key srver; did you mean server?"),
        ("[server]\nport = 70000", 2, "server.port: expected an integer from 1 to 65535, got 70000"),
        ("server.port = true", 1, "server.port: expected an integer from 1 to 65535, got true"),
        ("server = 5", 1, "server: expected a table, got 5"),
        ('\n\nseed = "x"', 3, 'seed: expected an integer, got "x"'),
        ('depth = "dep"', 1, 'depth: expected one of "quick", "deep", got "dep"'),
        ('[privacy]\nlevel = "x"', 2, 'privacy.level: expected one of "closed", "lan", "open", got "x"'),
        ('[privacy]\nhosts = [\n "a",\n 5,\n]', 4, "privacy.hosts.1: expected text, got 5"),
        ('[[rules]]\nname = "a"\n\n[[rules]]\nname = "b"\nweight = 1.5', 6, "rules.1.weight: expected an integer"),
        ("[[rules]]\nweight = 2", 1, "rules.0: Object missing required field `name`"),
        ("[engines.gpu]\ntimeout = 1", 1, 'engines.gpu needs kind = "local" or "remote"'),
        ('[engines.gpu]\nkind = "remot"', 2, 'expected "local" or "remote", got "remot"; did you mean "remote"?'),
        ('[engines.gpu]\nkind = "remote"\nurl = "u"\ntimeout = 0', 4, "engines.gpu.timeout: expected a number above 0"),
        ("[engines.box]\nslots = 5", 2, "unknown key engines.box.slots"),
        ("[server]\nopen = true", 1, "server: an open server needs a host other than localhost"),
        ("aliases = {a = 5}", 1, "aliases.a: expected text, got 5"),
        ("theme = 2024-01-01", 1, "theme: expected text, got 2024-01-01"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line_and_what_was_expected(house, text, line, message):
    house.user(text)
    with pytest.raises(Invalid) as caught:
        house.load()
    assert caught.value.message.startswith(f"{house.user_file}:{line}: ")
    assert message in caught.value.message
    assert caught.value.context["line"] == line
    assert caught.value.remedy


def test_all_problems_are_told_and_the_first_one_leads(house):
    house.user("theme = 1\n[server]\nport = 0")
    house.project("depth = 3")
    with pytest.raises(Invalid) as caught:
        house.load({"FIRESIDE_SEED": "x"})
    assert "theme: expected text" in caught.value.message
    assert "3 more: fireside config validate" in caught.value.message
    places = [problem.split(": ")[0] for problem in caught.value.context["problems"]]
    assert places == [f"{house.user_file}:1", f"{house.user_file}:3", f"{house.project_file}:1", "FIRESIDE_SEED"]


def test_a_wrong_flag_names_the_command_line(house):
    with pytest.raises(Invalid, match=r"command line: server\.port: expected an integer from 1 to 65535, got \"x\""):
        house.load(flags={"server.port": "x"})


def test_flags_are_read_like_text_and_an_option_not_given_counts_for_nothing(house):
    settings = house.load(flags={"server.port": "99", "theme": "5", "seed": None, "engines.box.timeout": 2}).settings
    assert (settings.server.port, settings.theme, settings.seed) == (99, "5", None)
    assert settings.engines["box"].timeout == 2


def test_an_invalid_change_leaves_every_old_value(house):
    house.user('theme = "a"')
    config = house.load()
    before = config.settings
    house.user('theme = "b"\n[server]\nport = 0')
    with pytest.raises(Invalid, match=r":3: server\.port"):
        config.reload()
    assert config.settings is before
    assert str(config.origin("theme")) == f"user {house.user_file}:1"


def test_reload_tells_exactly_what_changed(house):
    house.user('theme = "a"\n[server]\nport = 1')
    config = house.load()
    told = []
    stop = config.watch(told.append)
    house.user('theme = "a"\nseed = 3\n[server]\nport = 2\n[engines.gpu]\nkind = "local"')
    changed = {"seed", "server.port", "engines.gpu.kind", "engines.gpu.model", "engines.gpu.slots"}
    assert config.reload() == changed
    assert config.reload() == set()
    stop()
    house.user("")
    config.reload()
    assert told == [changed]


def test_a_watcher_that_fails_spoils_nothing(house):
    config = house.load()
    told = []
    config.watch(lambda keys: 1 / 0)
    config.watch(told.append)
    config.set("seed", 5, layer="runtime")
    assert told == [{"seed"}]


def test_polling_reads_only_files_that_look_different_and_reports_a_bad_one_once(house):
    house.user('theme = "a"')
    config = house.load()
    errors = []
    assert config.poll(errors.append) == set()
    house.project("seed = 7")
    assert config.poll(errors.append) == {"seed"}
    house.project("seed = ")
    assert [config.poll(errors.append) for _ in range(3)] == [frozenset()] * 3
    assert [error.message.split(": ")[0] for error in errors] == [f"{house.project_file}:1"]
    assert config.settings.seed == 7
    house.project_file.unlink()
    assert config.poll(errors.append) == {"seed"}


async def test_following_tells_watchers_of_a_file_that_changes_while_running(house):
    config = house.load()
    told = asyncio.Event()
    config.watch(lambda keys: told.set())
    following = asyncio.create_task(config.follow(0.005))
    house.user("seed = 1")
    async with asyncio.timeout(5):
        await told.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert config.settings.seed == 1


def test_settings_that_do_not_fit_can_still_be_put_right(house):
    house.user('theme = "a"\nsede = 5')
    with pytest.raises(NotLoaded) as caught:
        house.load()
    config = caught.value.config
    assert config.settings == Settings()
    assert caught.value.context["line"] == 2
    with pytest.raises(Invalid, match=":2: unknown key sede"):
        config.set("seed", 1)
    config.unset("sede")
    assert (house.user_file.read_text(), config.settings.theme) == ('theme = "a"\n', "a")


def test_runtime_values_can_be_taken_back(house):
    config = house.load(flags={"seed": 1})
    config.set("seed", 2, layer="runtime")
    with pytest.raises(Invalid, match="expected an integer"):
        config.set("seed", "x", layer="runtime")
    assert config.settings.seed == 2
    assert config.unset("seed", layer="runtime") == {"seed"}
    assert str(config.origin("seed")) == "command line"
    with pytest.raises(Invalid, match="seed is not set in this process"):
        config.unset("seed", layer="runtime")


def test_everything_is_listed_in_the_order_of_the_schema(house):
    house.user('[engines.gpu]\nkind = "local"\n[server]\nport = 5\n')
    keys = [key for key, _, _ in house.load().items()]
    assert keys[:8] == ["theme", "depth", "seed", "aliases", "rules", "server.port", "server.host", "server.open"]
    assert keys[-3:] == ["engines.gpu.kind", "engines.gpu.model", "engines.gpu.slots"]
