"""The settings as a whole: plug-ins, and changes while the house is open."""

import subprocess
import sys
from pathlib import Path

import pytest

from fireside import Fireside
from fireside.agent.session import Session
from fireside.app.settings import load_config
from fireside.core.errors import Invalid
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest
from fireside.core.turns import ContextGathered
from support.project import write_project

PLUGIN = """
import msgspec
from fireside.engines.scripted import ScriptedEngine

class ParrotSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="parrot"):
    word: str = "hello"

def build(name, settings, context):
    return ScriptedEngine(name=name, says=settings.word)

build.settings = ParrotSettings
"""


def install_plugin(site: Path) -> None:
    """What `pip install fireside-parrot` would leave behind."""
    (site / "fireside_parrot.py").write_text(PLUGIN)
    info = site / "fireside_parrot-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fireside-parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fireside.engines]\nparrot = fireside_parrot:build\n")


def run(words: list[str], cwd: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    import os

    environ = {**os.environ, "PYTHONPATH": str(site), "OLLAMA_HOST": "127.0.0.1:9"}
    command = [sys.executable, "-m", "fireside", *words]
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60
    )


def test_an_engine_of_another_package_is_configured_and_asked_like_our_own(tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    install_plugin(site)
    root = write_project(tmp_path / "project")
    flags = ["--set", "engines.bird.kind=parrot", "--set", "engines.bird.word=squawk", "--model", "@bird"]
    done = run([*flags, "ask", "hello?"], root, site)
    assert done.stdout == "squawk\n", done.stderr


def test_a_wrong_setting_of_a_plugin_is_refused_by_name(tmp_path: Path):
    site = tmp_path / "site"
    site.mkdir()
    install_plugin(site)
    root = write_project(tmp_path / "project")
    done = run(["--set", "engines.bird.kind=parrot", "--set", "engines.bird.wrod=x", "ask", "hello?"], root, site)
    assert done.returncode == 1
    assert "word" in done.stderr


def test_a_kind_nobody_knows_is_refused_with_those_that_are_known(tmp_path: Path):
    root = write_project(tmp_path / "project")
    done = run(["--set", "engines.bird.kind=parot", "ask", "hello?"], root, tmp_path)
    assert done.returncode == 1
    assert "scripted" in done.stderr


async def test_a_changed_alias_counts_for_the_next_request(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    flags = {
        "engines.one.kind": "scripted",
        "engines.one.says": "first",
        "engines.two.kind": "scripted",
        "engines.two.says": "second",
    }
    async with await Fireside.open(write_project(tmp_path), flags=flags) as house:
        house.config.set("models.chat", "@one")
        before = "".join([delta.text async for delta in house.gateway.chat(ChatRequest((Message("user", "?"),)))])
        house.config.set("models.chat", "@two")
        after = "".join([delta.text async for delta in house.gateway.chat(ChatRequest((Message("user", "?"),)))])
    assert (before, after) == ("first", "second")


async def test_an_opted_in_host_counts_at_once(tmp_path: Path):
    async with await Fireside.open(write_project(tmp_path)) as house:
        assert not house.transport.egress.allows("api.example.com")
        house.config.set("privacy.allow_hosts", ["api.example.com"])
        assert house.transport.egress.allows("api.example.com")


@pytest.mark.parametrize("entry", ["*", "*.com", "https://api.example.com"])
async def test_what_is_no_host_is_refused_while_open_and_what_was_allowed_stays(tmp_path: Path, entry):
    async with await Fireside.open(write_project(tmp_path)) as house:
        house.config.set("privacy.allow_hosts", ["api.example.com"], layer="runtime")
        with pytest.raises(Invalid, match=r"allow_hosts is not a host: write one exactly \(api\.example\.com\)"):
            house.config.set("privacy.allow_hosts", [entry], layer="runtime")
        assert house.config.get("privacy.allow_hosts") == ("api.example.com",)
        assert house.transport.egress.allows("api.example.com")


PRECEDENCE = [
    ({}, {}, ""),
    ({"OLLAMA_HOST": "h:1"}, {}, "h:1"),
    ({"OLLAMA_HOST": "h:1", "OLLAMA_ENDPOINT": "h:2"}, {}, "h:2"),
    ({"OLLAMA_HOST": "h:1", "OLLAMA_ENDPOINT": "h:2", "FIRESIDE_OLLAMA_URL": "h:3"}, {}, "h:3"),
    ({"OLLAMA_HOST": "h:1", "FIRESIDE_OLLAMA_URL": "h:3"}, {"engines.ollama.url": "h:4"}, "h:4"),
    ({"OLLAMA_HOST": "h:1", "OLLAMA_ENDPOINT": "  "}, {}, "h:1"),
]


@pytest.mark.parametrize(("environ", "flags", "url"), PRECEDENCE)
def test_the_address_of_ollama_comes_from_the_strongest_that_is_set(environ, flags, url, tmp_path: Path):
    home = {"FIRESIDE_HOME": str(tmp_path / "home")}
    assert load_config(tmp_path, {**home, **environ}, flags).get("engines.ollama.url") == url


def test_a_variable_is_stronger_than_the_users_file(tmp_path: Path):
    file = tmp_path / "home/config/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[engines.ollama]\nurl = "file:5"\n')
    home = {"FIRESIDE_HOME": str(tmp_path / "home")}
    assert load_config(tmp_path, home).get("engines.ollama.url") == "file:5"
    assert load_config(tmp_path, {**home, "OLLAMA_HOST": "h:1"}).get("engines.ollama.url") == "h:1"


async def test_a_changed_setting_of_the_agent_counts_for_the_next_turn(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    flags = {"engines.s.kind": "scripted", "engines.s.says": "one two three four", "models.chat": "@s"}
    async with await Fireside.open(write_project(tmp_path), flags=flags) as house:
        house.config.set("agent.answer_tokens", 16)
        house.config.set("agent.excerpts", 0)
        events = [event async for event in house.agent.turn(Session(), "how is a berth chosen?")]
    assert events[0] == ContextGathered(())


@pytest.mark.parametrize("line", ["[agent]\nredact_secrets = false", '[index]\nembedder = "spy@elsewhere"'])
def test_a_project_that_somebody_else_wrote_can_not_have_your_keys_or_code_sent(tmp_path: Path, line: str):
    (tmp_path / ".fireside.toml").write_text(f"{line}\n")
    with pytest.raises(Invalid, match="a project may not set this"):
        load_config(tmp_path, {"FIRESIDE_HOME": str(tmp_path / "home")})
