"""Engines are found by kind; a plug-in that is broken harms nobody but who asks for it."""

import sys
from pathlib import Path

import msgspec
import pytest

from fireside.core.errors import Invalid
from fireside.core.events import EventBus
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.engines.openai import OpenAIEngine, OpenAISettings
from fireside.engines.registry import EngineContext, broken, build_engine, kinds
from fireside.engines.scripted import ScriptedEngine, ScriptedSettings
from fireside.engines.transport import Transport

GOOD = """
import msgspec
class ParrotSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="parrot"):
    says: str = "hello"
def build(name, settings, context):
    from fireside.engines.scripted import ScriptedEngine
    return ScriptedEngine(settings.says, name=name)
build.settings = ParrotSettings
"""


@pytest.fixture
def context(tmp_path: Path) -> EngineContext:
    transport = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    return EngineContext(transport.egress, transport, EventBus(), tmp_path, lambda name: None)


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, source: str) -> None:
    """A package with one engine, as pip would leave it."""
    site = tmp_path / "site"
    info = site / f"fireside_{kind}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"fireside_{kind}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fireside-{kind}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fireside.engines]\n{kind} = fireside_{kind}:build\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, f"fireside_{kind}", raising=False)


def test_a_built_in_kind_is_built_from_plain_values(context):
    engine = build_engine("openai", "gpu", {"base_url": "http://gpu-box:8000"}, context)
    assert isinstance(engine, OpenAIEngine)
    assert engine.name == "gpu"


def test_settings_that_are_checked_already_are_taken_as_they_are(context):
    assert isinstance(build_engine("scripted", "s", ScriptedSettings(says="hi"), context), ScriptedEngine)


def test_the_kind_may_stand_in_the_values(context):
    assert build_engine("scripted", "s", {"kind": "scripted", "says": "hi"}, context).name == "s"


@pytest.mark.parametrize(
    "values", [{"base_ulr": "http://x"}, {"load_seconds": "long"}, {"load_seconds": 0}, {"kind": "ollama"}]
)
def test_settings_that_do_not_fit_are_refused_by_name(context, values):
    with pytest.raises(Invalid) as caught:
        build_engine("openai", "gpu", values, context)
    assert "engines.gpu" in caught.value.message


def test_a_kind_with_a_typo_is_told_the_right_one(context):
    with pytest.raises(Invalid) as caught:
        build_engine("olama", "x", {}, context)
    assert "ollama" in caught.value.remedy


def test_an_unknown_kind_is_told_all(context):
    with pytest.raises(Invalid) as caught:
        build_engine("zzz", "x", {}, context)
    assert "scripted" in caught.value.remedy


def test_every_built_in_kind_has_settings_with_defaults():
    found = kinds()
    assert {"llama_server", "ollama", "openai", "anthropic", "huggingface", "scripted"} <= found.keys()
    for kind, settings in found.items():
        assert issubclass(settings, msgspec.Struct)
        assert settings.__struct_config__.tag == kind
        settings()


def test_a_plug_in_adds_a_kind(context, tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "parrot", GOOD)
    assert "parrot" in kinds()
    assert build_engine("parrot", "polly", {"says": "hi"}, context).name == "polly"
    assert broken() == []


BROKEN = {
    "that does not import": "import a_module_nobody_has",
    "that raises anything": "raise SystemError('no')",
    "without a factory": "x = 1",
    "without settings": "def build(name, settings, context): ...",
    "with settings of another sort": "def build(name, settings, context): ...\nbuild.settings = dict",
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_names_its_package_and_breaks_nothing_else(context, tmp_path, monkeypatch, case):
    installed(tmp_path, monkeypatch, "sick", BROKEN[case])
    assert "openai" in kinds()
    assert "sick" not in kinds()
    with pytest.raises(Invalid) as caught:
        build_engine("sick", "x", {}, context)
    assert "fireside-sick" in caught.value.message
    assert [error.context["package"] for error in broken()] == ["fireside-sick"]
    assert build_engine("scripted", "s", {}, context).name == "s"


def test_a_plug_in_cannot_take_the_place_of_a_built_in_kind(context, tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, "openai", "raise SystemError('taken over')")
    assert kinds()["openai"] is OpenAISettings
    assert isinstance(build_engine("openai", "gpu", {}, context), OpenAIEngine)
