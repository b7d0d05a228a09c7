import os
import stat
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from fireside.config.edits import remove, with_value, without, write_text
from fireside.config.notation import join_key
from fireside.config.refusals import is_secret
from fireside.config.sources import put
from fireside.core.errors import Invalid, NotPermitted
from support.settings import House

WRITTEN = """# my settings
theme = "light"  # easy on the eyes

[server] # mine alone
# the port everybody uses
port = 5
host = 'h'

[engines.gpu]
kind = "local"
"""


def test_setting_keeps_comments_order_and_everything_else(house):
    house.user(WRITTEN)
    config = house.load()
    assert config.set("server.port", 6) == {"server.port"}
    assert house.user_file.read_text() == WRITTEN.replace("port = 5", "port = 6")
    assert config.origin("server.port").line == 6


def test_unsetting_takes_out_one_line_and_the_table_with_its_last(house):
    house.user(WRITTEN)
    config = house.load()
    config.unset("server.host")
    assert house.user_file.read_text() == WRITTEN.replace("host = 'h'\n", "")
    config.unset("engines.gpu.kind")
    assert "gpu" not in house.user_file.read_text()
    assert list(config.settings.engines) == ["embedded", "box"]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", "5", 5),
        ("theme", "5", "5"),
        ("server.port", "80", 80),
        ("server.open", "false", False),
        ("privacy.hosts", '["a", "b"]', ("a", "b")),
        ("engines.box.timeout", "1", 1.0),
        ('aliases."my model"', "x", "x"),
        ("server", "{port = 9}", None),
    ],
)
def test_text_becomes_what_the_key_takes(house, key, text, value):
    config = house.load()
    config.set(key, config.parse(key, text))
    assert value is None or house.load().get(key) == value
    assert house.load().origin(key).layer == "user"


LAYOUTS = [
    "",
    WRITTEN,
    "server.port = 1  # one\n",
    "server = {port = 1}\n",
    "[server]\nport = 1\n[aliases]\na = 'b'\n[engines.x]\nkind = 'local'\n[server.more]\n",
    "[[rules]]\nname = 'a'\n\n[[rules]]\nname = 'b'",
]


@pytest.mark.parametrize("before", LAYOUTS)
@pytest.mark.parametrize("path", [("server", "port"), ("new",), ("engines", "gpu", "slots"), ("a", "b", "c")])
@pytest.mark.parametrize("value", [7, "x", ["y"], {"k": {"l": True}}], ids=str)
def test_any_layout_takes_a_value_and_gives_it_back(before, path, value):
    expected = tomllib.loads(before)
    put(expected, path, value)
    changed = with_value(before, path, value)
    assert tomllib.loads(changed) == expected
    remove(expected, path)
    assert tomllib.loads(without(changed, path)) == expected
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in changed.splitlines() if line.startswith("#")
    ]


def test_crlf_stays_crlf(house):
    house.user("# mine\r\ntheme = 'a'\r\n")
    config = house.load()
    config.set("server.port", 5)
    data = house.user_file.read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") > 2
    assert house.load().settings.server.port == 5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("server.port", "abc", 'server.port: expected an integer from 1 to 65535, got "abc"'),
        ("engines.gpu", {"kind": "remote"}, "missing required field `url`"),
        ("server.prot", 1, "did you mean server.port?"),
        ("seed", None, "cannot write seed"),
        ("theme", "\udcff", "cannot write theme"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(house, key, value, message):
    house.user(WRITTEN)
    config = house.load()
    before = config.settings
    with pytest.raises(Invalid) as caught:
        config.set(key, value)
    assert message in caught.value.message
    assert house.user_file.read_text() == WRITTEN
    assert config.settings is before
    assert [path.name for path in house.user_file.parent.iterdir()] == ["config.toml"]


def test_unsetting_what_is_not_set_says_so(house):
    with pytest.raises(Invalid, match="seed is not set in"):
        house.load().unset("seed")
    house.user('theme = "a"')
    with pytest.raises(Invalid, match=r"theme\.x is not set in"):
        house.load().unset("theme.x")


def test_a_link_stays_a_link_and_the_mode_stays(house, tmp_path):
    real = tmp_path / "dotfiles.toml"
    real.write_text("")
    real.chmod(0o600)
    house.user_file.symlink_to(real)
    house.load().set("seed", 5)
    assert house.user_file.is_symlink()
    assert real.read_text() == "seed = 5\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotPermitted, match="cannot write"):
        write_text(tmp_path / "file" / "config.toml", "")


def test_two_writers_at_once_lose_nothing(house):
    writers = [threading.Thread(target=write_aliases(house, name)) for name in ("a", "b", "c")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert house.load().settings.aliases == {f"{name}{n}": "x" for name in "abc" for n in range(5)}


def write_aliases(house: House, name: str) -> Callable[[], None]:
    def write() -> None:
        config = house.load()
        for number in range(5):
            config.set(f"aliases.{name}{number}", "x")

    return write


def test_two_processes_at_once_lose_nothing(house):
    code = (
        "import sys; from pathlib import Path; from support.settings import House\n"
        "house = House.__new__(House); house.home = Path(sys.argv[1]); house.root = Path(sys.argv[2]);\n"
        "config = house.load()\n"
        "for n in range(4): config.set(f'aliases.{sys.argv[3]}{n}', 'x', layer='project')\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(house.home), str(house.root), name], env=environ)
        for name in ("a", "b")
    ]
    assert [process.wait(timeout=30) for process in running] == [0, 0]
    assert len(house.load().settings.aliases) == 8
    assert sorted(path.name for path in house.root.iterdir()) == [".fireside.toml"]


def test_a_text_written_by_somebody_else_meanwhile_is_not_overwritten(house):
    house.user("seed = 1\n")
    config = house.load()
    house.user("seed = 2\n")
    with pytest.raises(Invalid, match="changed by somebody else"):
        config.replace("seed = 3\n", layer="user", before="seed = 1\n")
    assert config.replace("seed = 3\n", layer="user", before="seed = 2\n") == {"seed"}
    assert house.user_file.read_text() == "seed = 3\n"


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
names = text.filter(lambda name: not is_secret((name,), "x", lambda key: False))
changes = (
    st.tuples(st.just(("theme",)), text)
    | st.tuples(st.just(("seed",)), st.integers(-(2**63), 2**63 - 1))
    | st.tuples(st.just(("server", "port")), st.integers(1, 65535))
    | st.tuples(st.just(("engines", "box", "timeout")), st.floats(0.001, 1e300))
    | st.tuples(st.just(("rules",)), st.lists(st.fixed_dictionaries({"name": text, "weight": st.integers(-9, 9)})))
    | st.tuples(st.tuples(st.just("aliases"), names), text)
)


@limits(max_examples=40, deadline=None)
@given(st.sampled_from(["", WRITTEN, "aliases = {a = 'x'}\n"]), st.lists(changes, min_size=1, max_size=5))
def test_what_is_set_is_had_and_unset_gives_back_what_was_below(tmp_path_factory, below, changes):
    house = House(tmp_path_factory.mktemp("house"))
    house.user(below)
    before = house.load().items()
    config = house.load()
    for path, value in changes:
        config.set(join_key(path), value, layer="project")
        again = house.load()
        assert msgspec.to_builtins(config.get(join_key(path))) == value
        assert again.settings == config.settings
        assert again.origin(join_key(path)).layer == "project"
    for path in dict(changes):
        config.unset(join_key(path), layer="project")
    assert config.items() == house.load().items() == before
