"""What can be wrong with the machine, the settings, the models, the index and the ledger."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from fireside.app.doctor import configuration, knowledge, machine, models, privacy
from fireside.app.doctor.inputs import Machine
from fireside.config.secrets import Secrets
from fireside.core.errors import ConnectionFailed, Invalid, OutOfResources
from fireside.core.values import replace
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.engine import EngineHealth
from fireside.engines.lease import Lease
from fireside.engines.ledger import Ledger
from fireside.engines.scripted import ScriptedEngine, scripted_card
from fireside.index.index import LOCK
from fireside.index.store import DATABASE
from fireside.models.store import ModelStore, StoredModel
from fireside.records.audit import Audit
from support.doctor import HEALTHY, codes, house, ill
from support.tiny import tiny_gguf

GIB = 1 << 30


# --- machine


async def test_a_python_shared_with_everything_else_is_noted(tmp_path):
    assert codes(await machine.python(house(tmp_path, in_environment=False))) == ["python-no-venv"]


@pytest.mark.parametrize(
    ("features", "code"),
    [({"sse2"}, ["cpu-no-avx2"]), ({"avx2", "fma", "avx512f"}, ["cpu-avx512"]), ({"avx2", "fma"}, []), (set(), [])],
)
async def test_what_the_processor_can_is_told(tmp_path, monkeypatch, features, code):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    inputs = house(tmp_path, machine=replace(HEALTHY, features=frozenset(features)))
    assert codes(await machine.processor(inputs)) == code


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise ModuleNotFoundError(\"No module named 'xllamacpp'\")", "embedded-missing"),
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "embedded-broken"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "embedded-crashes"),
    ],
)
async def test_an_embedded_engine_that_cannot_be_loaded_is_told_by_its_cause(tmp_path, script, code):
    inputs = house(tmp_path, probe=(sys.executable, "-S", "-E", "-c", script))
    assert codes(await machine.embedded(inputs)) == [code]


async def test_the_real_embedded_engine_can_be_loaded(tmp_path):
    (told,) = await machine.embedded(house(tmp_path))
    assert told.level == "ok"


async def test_a_self_test_that_fails_is_told_with_its_own_remedy(tmp_path):
    async def fails() -> str:
        raise OutOfResources("no memory for it", remedy="close something")

    async def works() -> str:
        return "900 tokens/s"

    (told,) = ill(await machine.self_test(house(tmp_path, self_test=fails)))
    assert (told.code, told.remedy) == ("self-test-failed", "close something")
    assert codes(await machine.self_test(house(tmp_path, self_test=works))) == []
    assert await machine.self_test(house(tmp_path)) == []


def stored(path: Path, **changes: object) -> StoredModel:
    model = StoredModel("coder", 1, "0" * 64, path.stat().st_size if path.exists() else 0, "", 0.0, "", path)
    return replace(model, **changes)


@pytest.mark.parametrize(
    ("memory", "available", "code"),
    [
        (4 * GIB, 3 * GIB, ["memory-too-small"]),
        (16 * GIB, 2 * GIB, ["memory-low"]),
        (16 * GIB, 9 * GIB, []),
        (0, 0, []),
    ],
)
async def test_a_model_too_large_for_the_memory_is_told(tmp_path, memory, available, code):
    model = stored(tmp_path / "m.gguf", size=5 * GIB)
    inputs = house(tmp_path, models=(model,), machine=Machine(frozenset(), memory, available))
    assert codes(await machine.memory(inputs)) == code


@pytest.mark.parametrize(("free", "code"), [(10 << 20, ["disk-full"]), (GIB, ["disk-low"]), (50 * GIB, [])])
async def test_a_disk_that_fills_up_is_told(tmp_path, monkeypatch, free, code):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100 * GIB, 0, free))
    assert codes(await machine.disk(house(tmp_path))) == code


async def test_a_folder_that_takes_no_file_is_told(tmp_path):
    inputs = house(tmp_path)
    assert codes(await machine.folders(inputs)) == []
    inputs.paths.data.parent.mkdir(parents=True)
    inputs.paths.data.write_text("a file where a folder should be")
    assert codes(await machine.folders(inputs)) == ["folder-not-writable"]


async def test_traces_of_engines_that_died_are_noted_and_running_ones_counted(tmp_path):
    inputs = house(tmp_path)
    assert codes(await machine.runtime(inputs)) == []
    for name in ("died", "lives"):
        folder = inputs.paths.make_runtime() / "engines" / name
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text("{}")
        (folder / "ready.json").write_text("{}")
    alive = Lease(inputs.paths.runtime / "engines/lives/alive")
    assert alive.take_alone()
    (told,) = ill(await machine.runtime(inputs))
    assert (told.code, told.message[:8]) == ("runtime-stale", "1 engine")
    (inputs.paths.runtime / "engines/died/ready.json").unlink()
    (told,) = await machine.runtime(inputs)
    assert told.message == "1 running"
    alive.release()


async def test_a_runtime_folder_others_can_read_is_told(tmp_path):
    inputs = house(tmp_path)
    inputs.paths.make_runtime().chmod(0o755)
    assert codes(await machine.runtime(inputs)) == ["runtime-exposed"]


def test_this_machine_can_be_looked_at():
    assert Machine.look().memory > 0


# --- configuration


async def test_settings_that_do_not_fit_are_told_with_their_place(tmp_path):
    problem = Invalid("config.toml:3: engines.ollama.num_ctx must be an integer", remedy="fireside config edit")
    (told,) = ill(await configuration.settings(house(tmp_path, problem=problem)))
    assert (told.code, told.level) == ("config-invalid", "error")
    assert "config.toml:3" in told.message


async def test_a_plugin_that_cannot_be_loaded_is_told(tmp_path):
    broken = Invalid("the engine 'x' cannot be loaded", remedy="pip uninstall x")
    assert codes(await configuration.plugins(house(tmp_path, plugins=(broken,)))) == ["plugin-broken"]


async def test_a_misspelt_variable_is_told_with_what_was_meant(tmp_path):
    environ = {"FIRESIDE_OLAMA_URL": "x", "FIRESIDE_SECRET_A": "x", "FIRESIDE_A__B": "x", "FIRESIDE_HOME": "x"}
    environ |= {"FIRESIDE_MODEL": "x", "FIRESIDE_MODL": "x"}
    inputs = house(tmp_path, environ=environ, variables=frozenset(("FIRESIDE_MODEL",)))
    first, second = ill(await configuration.variables(inputs))
    assert (first.code, first.remedy) == ("variable-unknown", "did you mean FIRESIDE_MODEL?")
    assert second.remedy == "did you mean FIRESIDE_OLLAMA_URL?"


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, ["proxy-catches-localhost"]),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "example.com"}, ["proxy-catches-localhost"]),
        ({"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "localhost, 127.0.0.1"}, []),
        ({"HTTP_PROXY": ""}, []),
    ],
)
async def test_a_proxy_that_would_catch_localhost_is_noted(tmp_path, environ, code):
    assert codes(await configuration.variables(house(tmp_path, environ=environ))) == code


@pytest.fixture
def keyring_that(monkeypatch):
    """Put a key ring in place that behaves as told."""
    import keyring
    from keyring.backends import fail, null

    before = keyring.get_keyring()
    kinds = {"keeps nothing": null.Keyring, "is missing": fail.Keyring}
    yield lambda kind: keyring.set_keyring(kinds[kind]())
    keyring.set_keyring(before)


async def test_a_missing_secret_is_told_with_both_ways_to_give_it(tmp_path, keyring_that):
    keyring_that("keeps nothing")
    inputs = house(tmp_path, needs_secret={"cloud": "openai"})
    (told,) = ill(await configuration.secrets(inputs))
    assert told.code == "secret-missing"
    assert "OPENAI_API_KEY" in told.remedy
    given = replace(inputs, secrets=Secrets({"OPENAI_API_KEY": "sk-hidden"}, {"openai": "OPENAI_API_KEY"}))
    (told,) = await configuration.secrets(given)
    assert told.level == "ok"
    assert "sk-hidden" not in told.message


async def test_a_system_without_a_keyring_is_noted(tmp_path, keyring_that):
    keyring_that("is missing")
    assert codes(await configuration.secrets(house(tmp_path))) == ["keyring-unavailable"]


# --- models


async def test_whole_model_files_are_well(tmp_path):
    store = ModelStore(tmp_path / "store")
    store.add(tiny_gguf(), "tiny")
    inputs = house(tmp_path, models=tuple(store.list()))
    assert codes(await models.files(inputs)) == []
    assert codes(await models.hashes(inputs)) == []


async def test_a_damaged_cut_or_missing_model_file_is_told(tmp_path):
    whole = tiny_gguf().read_bytes()
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + b"\xff" * 200)
    short = tmp_path / "short.gguf"
    short.write_bytes(whole[:-100])
    inputs = house(
        tmp_path,
        models=(stored(damaged), stored(short, size=len(whole)), stored(tmp_path / "gone.gguf")),
    )
    assert codes(await models.files(inputs)) == ["model-file-damaged", "model-file-changed", "model-file-missing"]


async def test_a_changed_model_file_is_found_by_its_hash(tmp_path):
    assert codes(await models.hashes(house(tmp_path, models=(stored(tiny_gguf()),)))) == ["model-hash-mismatch"]


async def test_no_model_that_chats_is_told(tmp_path):
    deaf = ScriptedEngine(cards=[replace(scripted_card("scripted"), capabilities=frozenset(("embed",)))])
    assert codes(await models.offered(house(tmp_path, engines=(deaf,)))) == ["no-chat-model"]
    assert codes(await models.offered(house(tmp_path))) == []


async def test_an_alias_that_leads_nowhere_names_the_closest(tmp_path):
    engine = ScriptedEngine(cards=[scripted_card("scripted", "qwen2.5-coder:7b")])
    aliases = {"chat": "qwen2.5-codr:7b", "complete": "chat", "embed": "qwen2.5-coder:7b@scriptd"}
    missing, nowhere = ill(await models.offered(house(tmp_path, engines=(engine,), aliases=aliases)))
    assert (missing.code, nowhere.code) == ("alias-dangling", "alias-without-engine")
    assert missing.remedy.startswith("fireside config set models.chat qwen2.5-coder:7b@scripted")
    assert nowhere.remedy == "fireside config set models.embed qwen2.5-coder:7b@scripted"


async def test_an_alias_of_an_engine_that_does_not_answer_is_not_called_wrong(tmp_path):
    class Away(ScriptedEngine):
        async def models(self):
            raise ConnectionFailed("away", cause="refused")

    engines = (ScriptedEngine(name="here"), Away(name="away"))
    assert codes(await models.offered(house(tmp_path, engines=engines, aliases={"chat": "m@away"}))) == []


async def test_an_engine_that_is_down_is_told(tmp_path):
    down = ScriptedEngine(health=EngineHealth("down", "no llama-server there", "start it"))
    assert codes(await models.engines(house(tmp_path, engines=(down,)))) == ["engine-down"]


# --- index


async def test_an_index_true_to_the_disk_is_well_and_one_behind_is_noted(tmp_path):
    inputs = house(tmp_path, indexed=True)
    assert codes(await knowledge.index(inputs)) == []
    (inputs.root / "new.py").write_text("x = 1\n")
    (told,) = ill(await knowledge.index(inputs))
    assert (told.code, told.remedy) == ("index-stale", "fireside index")


async def test_a_project_never_read_is_noted_and_no_index_is_made(tmp_path):
    folder = tmp_path / "nothing"
    assert codes(await knowledge.index(house(tmp_path, index_folder=folder))) == ["index-missing"]
    assert not folder.exists()


async def test_a_damaged_index_is_told_and_left_alone(tmp_path):
    inputs = house(tmp_path, indexed=True)
    (inputs.index_folder / DATABASE).write_bytes(b"no database" * 1000)
    assert codes(await knowledge.index(inputs)) == ["index-damaged"]
    assert (inputs.index_folder / DATABASE).read_bytes().startswith(b"no database")


async def test_an_index_that_is_being_written_is_noted(tmp_path):
    from filelock import FileLock

    inputs = house(tmp_path, indexed=True)
    with FileLock(inputs.index_folder / LOCK):
        assert codes(await knowledge.index(inputs)) == ["index-busy"]


async def test_an_index_that_cannot_be_opened_is_told(tmp_path):
    folder = tmp_path / "odd"
    (folder / DATABASE).mkdir(parents=True)
    assert codes(await knowledge.index(house(tmp_path, index_folder=folder))) == ["index-unreadable"]


async def test_a_project_that_is_not_there_is_told(tmp_path):
    assert codes(await knowledge.index(house(tmp_path, root=tmp_path / "gone"))) == ["project-missing"]


# --- privacy


async def test_hosts_that_were_let_in_are_named(tmp_path):
    egress = Egress(EgressSettings(allow_hosts=("api.example.com",)), Ledger(tmp_path / "l"))
    (told,) = ill(await privacy.hosts(house(tmp_path, egress=egress)))
    assert told.code == "hosts-allowed"
    assert "api.example.com" in told.message
    assert codes(await privacy.hosts(house(tmp_path))) == []


async def test_a_ledger_changed_by_hand_is_told_and_a_torn_line_noted(tmp_path):
    inputs = house(tmp_path)
    record = inputs.egress.ledger
    for number in range(3):
        record.append({"host": f"h{number}"})
    assert codes(await privacy.ledger(inputs)) == []
    with record.path.open("ab") as file:
        file.write(b'{"half": ')
    assert codes(await privacy.ledger(inputs)) == ["ledger-torn"]
    record.path.write_bytes(record.path.read_bytes().replace(b'"h1"', b'"h9"'))
    assert codes(await privacy.ledger(inputs)) == ["ledger-broken"]


async def test_a_ledger_that_cannot_be_read_is_told(tmp_path):
    os.mkdir(tmp_path / "folder")
    egress = Egress(EgressSettings(), Ledger(tmp_path / "folder"))
    assert codes(await privacy.ledger(house(tmp_path, egress=egress))) == ["ledger-unreadable"]


async def test_an_audit_log_changed_by_hand_is_told(tmp_path):
    inputs = house(tmp_path)
    assert codes(await privacy.audit_log(inputs)) == []
    log = Audit(inputs.paths.data / "audit", "cli")
    for number in range(3):
        log.write("key_created", name=f"k{number}")
    assert codes(await privacy.audit_log(inputs)) == []
    log.chain.path.write_bytes(log.chain.path.read_bytes().replace(b'"k1"', b'"k9"'))
    (told,) = ill(await privacy.audit_log(inputs))
    assert told.code == "audit-broken"
    assert "line 3" in told.message
    log.chain.path.unlink()
    log.chain.path.mkdir()
    assert codes(await privacy.audit_log(inputs)) == ["audit-unreadable"]
