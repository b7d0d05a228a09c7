import json
import os
import re
import sys
import tomllib
from contextlib import closing, contextmanager
from pathlib import Path

import pexpect
import pytest
from click.testing import CliRunner

from fireside.cli.configure import make_config_group
from fireside.config.layers import NotLoaded
from fireside.config.paths import Paths
from fireside.core.errors import FiresideError
from support.keyrings import MemoryKeyring, keyring_in_use
from support.settings import House

VALUE = "sk-do-not-print-me"


class Terminal:
    """Runs ``fireside config`` for one house."""

    def __init__(self, house):
        self.house = house
        self.environ = {}
        self.flags = {}

    def run(self, *words, input=None):
        group = make_config_group(
            lambda: self.house.load(self.environ, self.flags), lambda: {"openai": "OPENAI_API_KEY"}
        )
        self.result = CliRunner().invoke(group, words, input=input)
        return self.result

    def said(self, *words, input=None):
        result = self.run(*words, input=input)
        assert result.exception is None, result.exception
        return result.stdout

    def refused(self, *words, input=None):
        error = self.run(*words, input=input).exception
        assert isinstance(error, FiresideError), error
        assert error.remedy
        return error


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    for name in ("VISUAL", "EDITOR", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(House(tmp_path))


def test_show_prints_toml_that_can_be_kept_as_a_file(terminal):
    terminal.house.user('theme = "a \\u001b[31m"\naliases = {"x y" = "z"}')
    shown = terminal.said("show")
    assert "\x1b" not in shown
    table = tomllib.loads(shown)
    assert table["theme"] == "a \x1b[31m"
    assert table["aliases"] == {"x y": "z"}
    assert table["engines"]["box"]["url"] == "http://localhost:1"
    assert "# seed" in shown


def test_show_origin_says_where_each_value_came_from(terminal):
    terminal.house.user("\nseed = 5")
    terminal.environ["FIRESIDE_SERVER__PORT"] = "99"
    lines = terminal.said("show", "--origin").splitlines()
    origins = {line.split(" = ")[0].strip(): line.rsplit("  # ")[-1] for line in lines}
    assert origins["seed"] == f"user {terminal.house.user_file}:2"
    assert origins["server.port"] == "environment FIRESIDE_SERVER__PORT"
    assert origins["theme"] == "default"
    assert len({line.index(" = ") for line in lines}) == 1
    assert tomllib.loads("\n".join(lines))["seed"] == 5


def test_show_takes_a_table_and_speaks_json(terminal):
    assert json.loads(terminal.said("show", "server", "--json")) == {
        "server.port": 8000,
        "server.host": "localhost",
        "server.open": False,
    }
    terminal.house.user("seed = 5")
    assert json.loads(terminal.said("show", "--origin", "--json"))["seed"] == {
        "value": 5,
        "layer": "user",
        "file": str(terminal.house.user_file),
        "line": 1,
        "variable": None,
    }


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("theme", "dark\n"),
        ("server.port", "8000\n"),
        ("server.open", "false\n"),
        ("seed", "\n"),
        ("privacy.hosts", "[]\n"),
        ("privacy", 'privacy.hosts = []\nprivacy.level = "closed"\n'),
    ],
)
def test_get_prints_a_value_as_a_script_wants_it(terminal, key, said):
    assert terminal.said("get", key) == said


def test_set_and_unset_change_the_file_and_say_so(terminal):
    assert terminal.said("set", "server.port", "5") == f"server.port is set in {terminal.house.user_file}\n"
    assert terminal.said("get", "server.port") == "5\n"
    terminal.said("set", "theme", "p", "--project")
    assert terminal.house.project_file.read_text() == 'theme = "p"\n'
    terminal.said("unset", "theme", "--project")
    terminal.said("unset", "server.port")
    assert terminal.said("get", "server.port") == "8000\n"


def test_a_value_may_begin_with_a_minus(terminal):
    terminal.said("set", "seed", "-5", "--project")
    assert terminal.house.load().origin("seed").layer == "project"
    assert terminal.said("get", "seed") == "-5\n"


def test_set_says_when_something_else_goes_before_it(terminal):
    terminal.environ["FIRESIDE_SEED"] = "1"
    terminal.said("set", "seed", "2")
    assert terminal.result.stderr == "but environment FIRESIDE_SEED goes before it\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("set", "server.port", "abc"), 'expected an integer from 1 to 65535, got "abc"'),
        (("set", "servr.port", "5"), "did you mean server.port?"),
        (("get", "theem"), "did you mean theme?"),
        (("unset", "theme"), "theme is not set in"),
        (("set", "privacy.level", "open", "--project"), "a project may not set this"),
        (("set", "engines.box.api_key", VALUE), "a secret is not kept in a file"),
        (("validate", "nowhere.toml"), "nowhere.toml does not exist"),
        (("edit",), "cannot start the editor no-such-editor"),
    ],
)
def test_what_cannot_be_done_is_one_error_with_a_remedy(terminal, monkeypatch, words, message):
    monkeypatch.setenv("EDITOR", "no-such-editor")
    error = terminal.refused(*words)
    assert message in error.message
    assert "\n" not in error.message
    assert VALUE not in f"{error.message}{error.remedy}{terminal.result.output}"
    assert not terminal.house.user_file.exists()


def test_a_file_that_does_not_fit_is_told_by_show_and_repaired_by_set_and_unset(terminal):
    terminal.house.user('seed = "x"\n')
    assert isinstance(terminal.refused("show"), NotLoaded)
    terminal.said("set", "seed", "5")
    terminal.house.user("sed = 5\n")
    terminal.said("unset", "sed")
    assert terminal.said("validate").startswith("valid: ")


def test_validate_tells_every_problem(terminal):
    terminal.house.user("theme = 1\nseed = 'x'\n[server]\nport = 0")
    error = terminal.refused("validate")
    assert error.message == f"{terminal.house.user_file}:1: theme: expected text, got 1"
    assert [line.split(": ")[0] for line in terminal.result.stderr.splitlines()] == [
        f"{terminal.house.user_file}:{line}" for line in (2, 4)
    ]


def test_validate_checks_a_file_that_is_not_in_force(terminal, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("seed = 1\nprivacy.level = 'lan'")
    assert terminal.said("validate", str(other)) == f"valid: {other}\n"
    other.rename(tmp_path / ".fireside.toml")
    assert "a project may not set this" in terminal.refused("validate", str(tmp_path / ".fireside.toml")).message
    assert not terminal.house.user_file.exists()


def test_path_prints_one_path_for_scripts(terminal):
    assert terminal.said("path") == f"{terminal.house.user_file}\n"
    assert terminal.said("path", "--project") == f"{terminal.house.project_file}\n"


def editor(tmp_path, *texts):
    """An editor that writes these texts, one a call; what it was given lies in ``seen``."""
    script = tmp_path / "editor.py"
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    script.write_text(
        "import json, sys, pathlib\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "file = pathlib.Path(sys.argv[-1]); (here / 'seen').write_text(file.read_text())\n"
        "texts = json.loads((here / 'texts.json').read_text())\n"
        "if texts: file.write_text(texts.pop(0))\n"
        "(here / 'texts.json').write_text(json.dumps(texts))\n"
    )
    return f"{sys.executable} {script} --wait"


def test_an_edited_file_counts_once_it_fits(terminal, tmp_path, monkeypatch):
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.setenv("VISUAL", editor(tmp_path, "seed = 5\n"))
    assert terminal.said("edit") == f"{terminal.house.user_file} is in force\n"
    assert terminal.house.user_file.read_text() == "seed = 5\n"
    assert '\n# theme = "dark"\n' in (tmp_path / "seen").read_text()
    assert terminal.said("edit") == f"{terminal.house.user_file} is unchanged\n"
    assert list((terminal.house.home / "cache" / "drafts").iterdir()) == []


def test_a_text_that_does_not_fit_is_kept_and_the_old_file_stays(terminal, tmp_path, monkeypatch):
    terminal.house.user("seed = 1\n")
    monkeypatch.setenv("EDITOR", editor(tmp_path, "\nseed = 'x'\n"))
    error = terminal.refused("edit")
    (draft,) = (terminal.house.home / "cache" / "drafts").iterdir()
    assert error.message == f'{draft}:2: seed: expected an integer, got "x"'
    assert str(draft) in error.remedy
    assert draft.read_text() == "\nseed = 'x'\n"
    assert terminal.house.user_file.read_text() == "seed = 1\n"


def test_an_editor_that_fails_changes_nothing(terminal, monkeypatch):
    monkeypatch.setenv("EDITOR", f"{sys.executable} -c 'raise SystemExit(3)'")
    assert "ended with 3; nothing is changed" in terminal.refused("edit").message


def test_an_editor_that_leaves_no_file_changes_nothing(terminal, monkeypatch):
    monkeypatch.setenv("EDITOR", f"{sys.executable} -c 'import os, sys; os.unlink(sys.argv[1])'")
    assert terminal.said("edit") == f"{terminal.house.user_file} is unchanged\n"


def test_a_blank_editor_is_none_and_the_draft_is_not_run(terminal, monkeypatch):
    monkeypatch.setenv("VISUAL", "  ")
    monkeypatch.setenv("EDITOR", "true")
    assert terminal.said("edit") == f"{terminal.house.user_file} is unchanged\n"


def test_a_broken_file_can_be_edited(terminal, tmp_path, monkeypatch):
    terminal.house.user("seed = = 1\n")
    monkeypatch.setenv("EDITOR", editor(tmp_path, "seed = 1\n"))
    terminal.said("edit")
    assert (tmp_path / "seen").read_text() == "seed = = 1\n"
    assert terminal.said("get", "seed") == "1\n"


def test_secrets_are_set_from_a_pipe_listed_and_deleted_but_never_printed(terminal, monkeypatch):
    with keyring_in_use(MemoryKeyring()) as memory:
        said = terminal.said("secret", "set", "openai", input=f"{VALUE}\n")
        said += terminal.said("secret", "list", "gpu")
        assert memory.kept == {("fireside", "openai"): VALUE}
        assert "gpu     not set (FIRESIDE_SECRET_GPU)" in said
        assert f"openai  *** ({len(VALUE)} characters) from keyring" in said
        monkeypatch.setenv("OPENAI_API_KEY", VALUE + "2")
        said += terminal.said("secret", "set", "openai", input=VALUE)
        assert terminal.result.stderr == "but the variable OPENAI_API_KEY is set and goes before it\n"
        said += terminal.said("secret", "list")
        assert "from OPENAI_API_KEY" in said
        said += terminal.said("secret", "delete", "openai")
        assert memory.kept == {}
    assert VALUE not in said


def test_a_secret_is_never_taken_from_the_command_line(terminal):
    assert terminal.run("secret", "set", "openai", VALUE).exit_code == 2


def test_nothing_printed_holds_a_secret(terminal):
    terminal.environ |= {"FIRESIDE_ALIASES__TOKEN": VALUE, "FIRESIDE_ENGINES__BOX__URL": f"http://me:{VALUE}@box"}
    for words in (
        ("show",),
        ("show", "--origin"),
        ("show", "--json"),
        ("get", "aliases"),
        ("get", "aliases.token"),
        ("validate",),
    ):
        assert VALUE not in terminal.said(*words)
    terminal.environ["FIRESIDE_ENGINES__BOX__TIMEOUT"] = "x"
    assert VALUE not in terminal.refused("validate").message


PROGRAM = """
import re
import sys
from pathlib import Path
from fireside.cli.configure import make_config_group
from support.keyrings import MemoryKeyring, keyring_in_use
from support.settings import House
house = House.__new__(House)
house.home, house.root = Path(sys.argv.pop(1)), Path(sys.argv.pop(1))
with keyring_in_use(MemoryKeyring()) as memory:
    make_config_group(house.load, dict)(sys.argv[1:], standalone_mode=False)
    print(f"kept {len(str(memory.kept))}")
"""


@contextmanager
def on_a_terminal(house, *words, columns=200):
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = ["-c", PROGRAM, str(house.home), str(house.root), *words]
    child = pexpect.spawn(
        sys.executable, arguments, env=environ, dimensions=(24, columns), timeout=20, encoding="utf-8"
    )
    with closing(child):
        yield child


def test_a_narrow_terminal_gets_each_origin_on_a_line_of_its_own(terminal):
    terminal.house.user("seed = 5")
    with on_a_terminal(terminal.house, "show", "--origin", columns=60) as child:
        child.expect_exact(f"\r\nseed = 5\r\n  # user {terminal.house.user_file}:1\r\n")
        child.expect(pexpect.EOF)


def test_a_prompt_for_a_secret_does_not_show_what_is_typed(terminal):
    with on_a_terminal(terminal.house, "secret", "set", "openai") as child:
        child.expect_exact("openai (not shown): ")
        child.waitnoecho()
        child.sendline(VALUE)
        child.expect_exact("openai is in the keyring")
        child.expect_exact(f"kept {len(str({('fireside', 'openai'): VALUE}))}")
        assert VALUE not in child.before


def test_a_text_that_does_not_fit_can_be_edited_again(terminal, tmp_path, monkeypatch):
    monkeypatch.setenv("EDITOR", editor(tmp_path, "seed = 'x'\n", "seed = 7\n"))
    with on_a_terminal(terminal.house, "edit") as child:
        child.expect_exact("seed: expected an integer")
        child.expect_exact("Edit again? [Y/n]: ")
        child.sendline("y")
        child.expect_exact("is in force")
        child.expect(pexpect.EOF)
    assert (tmp_path / "seen").read_text() == "seed = 'x'\n"
    assert terminal.house.user_file.read_text() == "seed = 7\n"


def test_the_examples_of_the_documentation_fit_the_real_settings(tmp_path):
    from fireside.app.settings import load_config

    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    file = Paths.from_environment({"FIRESIDE_HOME": str(tmp_path)}).user_file
    file.parent.mkdir()
    for example in examples:
        file.write_text(example)
        config = load_config(None, {"FIRESIDE_HOME": str(tmp_path)})
        for command in re.findall(r"^fireside config set ([a-z.]+) (.+)$", page, re.MULTILINE):
            config.set(command[0], config.parse(command[0], command[1].strip("'")), layer="runtime")
    assert len(examples) >= 2
