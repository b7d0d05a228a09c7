"""Every way in which an Ollama server can be ill, told apart."""

import asyncio

import pytest

from fireside.app.doctor import ollama
from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.core.errors import ConnectionFailed
from fireside.core.values import replace
from fireside.engines.endpoint import DEFAULT, Endpoint, parse
from support.doctor import codes, house_with_ollama, ill
from support.fake_ollama import EMBEDDER, FakeModel, FakeOllama, Faults

CODER = "qwen2.5-coder:7b"


@pytest.fixture
async def fake():
    async with FakeOllama() as server:
        yield server


async def examine(folder, address, **changes) -> list[Diagnosis]:
    async with house_with_ollama(folder, address, **changes) as inputs:
        return await ollama.servers(inputs)


def finding(found: list[Diagnosis], code: str) -> Diagnosis:
    (one,) = [diagnosis for diagnosis in ill(found) if diagnosis.code == code]
    return one


async def test_all_is_well_and_says_where_the_address_came_from(fake, tmp_path):
    found = await examine(tmp_path, fake.url, aliases={"chat": f"{CODER}@ollama", "embed": "nomic-embed-text@ollama"})
    assert codes(found) == []
    assert found[0].message == f"{fake.url} (from OLLAMA_HOST)"
    assert "Ollama 0.33.1" in found[1].message


# --- the address


async def test_what_was_mended_in_an_address_is_told(fake, tmp_path):
    found = await examine(tmp_path, f"{fake.url}/v1/")
    assert finding(found, "ollama-address-mended").remedy == f"write {fake.url} there"


async def test_an_address_without_its_port_means_80(tmp_path):
    found = list(ollama._address(parse("http://box"), Subject("ollama")))
    assert finding(found, "ollama-port-80").remedy == "name the port: http://box:11434"


async def test_a_public_address_is_warned_of_and_not_reached(tmp_path):
    found = await examine(tmp_path, "http://8.8.8.8:11434")
    assert codes(found) == ["ollama-public", "ollama-not-allowed"]


async def test_a_server_started_for_everybody_is_warned_of(fake, tmp_path):
    found = await examine(tmp_path, fake.url, environ={"OLLAMA_HOST": "0.0.0.0"})
    assert codes(found) == ["ollama-open-to-all"]


# --- does anything answer


async def test_nothing_at_the_address_somebody_gave_is_an_error(tmp_path):
    found = await examine(tmp_path, "127.0.0.1:1")
    refused = finding(found, "ollama-refused")
    assert refused.level == "error"
    assert "ollama serve" in refused.remedy


async def test_nothing_at_the_default_address_is_only_a_note():
    error = ConnectionFailed("no Ollama listens", remedy="start it: ollama serve", cause="refused")
    assert ollama.failure(error, Endpoint(DEFAULT), Subject("ollama")).level == "note"


async def test_another_machine_that_refuses_is_told_to_listen_on_its_address():
    error = ConnectionFailed("no Ollama listens", remedy="ollama serve", cause="refused")
    told = ollama.failure(error, replace(parse("100.64.0.9"), origin="OLLAMA_ENDPOINT"), Subject("ollama"))
    assert "OLLAMA_HOST=100.64.0.9" in told.remedy


async def test_silence_is_told_from_refusal(tmp_path):
    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        found = await examine(tmp_path, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert codes(found) == ["ollama-timeout"]


async def test_a_name_nobody_knows_is_told_from_refusal(tmp_path):
    found = await examine(tmp_path, f"http://{'a' * 64}.local:11434")
    assert codes(found) == ["ollama-unknown-host"]


async def test_https_to_a_plain_port_is_told(fake, tmp_path):
    found = await examine(tmp_path, fake.url.replace("http://", "https://"))
    told = finding(found, "ollama-tls")
    assert told.remedy.endswith(fake.url)


def test_no_way_there_is_told_from_refusal():
    error = ConnectionFailed("no route to 100.64.0.9", remedy="is the tailnet up?", cause="unreachable")
    told = ollama.failure(error, parse("100.64.0.9"), Subject("ollama"))
    assert codes([told]) == ["ollama-unreachable"]


# --- is it Ollama


async def test_a_web_page_is_not_ollama(fake, tmp_path):
    fake.faults.html = True
    assert codes(await examine(tmp_path, fake.url)) == ["ollama-not-ollama"]


async def test_a_reset_is_a_server_that_fails(tmp_path):
    async def hang_up(reader, writer):
        await reader.read(10)
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        found = await examine(tmp_path, f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert codes(found) == ["ollama-failing"]


async def test_a_403_without_a_word_is_the_host_check(fake, tmp_path):
    fake.faults.host_check = True
    found = await examine(tmp_path, fake.url, host_header="box.tail1234.ts.net")
    assert "host_header localhost:11434" in finding(found, "ollama-host-refused").remedy


async def test_a_prefix_that_is_not_there_is_told(fake, tmp_path):
    found = await examine(tmp_path, f"{fake.url}/ollama")
    assert finding(found, "ollama-prefix").remedy.endswith(f"url {fake.url}")


async def test_an_old_server_is_told_to_update(fake, tmp_path):
    fake.version = "0.5.7"
    assert codes(await examine(tmp_path, fake.url)) == ["ollama-old"]


async def test_a_clock_that_is_off_is_told(fake, tmp_path):
    fake.faults.clock_skew = -3600
    found = await examine(tmp_path, fake.url)
    assert "behind" in finding(found, "ollama-clock").message


# --- its models


async def test_a_server_without_models_says_how_to_get_one(fake, tmp_path):
    fake.models.clear()
    found = await examine(tmp_path, fake.url)
    assert finding(found, "ollama-no-models").remedy.startswith("fireside models pull")


async def test_a_configured_model_that_is_missing_names_the_closest(fake, tmp_path):
    found = await examine(tmp_path, fake.url, aliases={"chat": "qwen2.5-codr:7b@ollama"})
    told = finding(found, "ollama-model-missing")
    assert CODER in told.message
    assert told.remedy == "fireside models pull qwen2.5-codr:7b@ollama"


async def test_cloud_models_are_named_as_left_out(fake, tmp_path):
    fake.models.append(FakeModel("gpt-oss:120b-cloud"))
    assert codes(await examine(tmp_path, fake.url)) == ["ollama-cloud-models"]


async def test_a_model_set_for_what_it_cannot_is_told(fake, tmp_path):
    aliases = {"embed": f"{CODER}@ollama", "complete": "nomic-embed-text@ollama"}
    found = await examine(tmp_path, fake.url, aliases=aliases)
    assert codes(found) == ["ollama-cannot", "ollama-cannot"]


async def test_a_chat_model_without_tools_is_noted(fake, tmp_path):
    fake.models[0].capabilities = ("completion",)
    found = await examine(tmp_path, fake.url, aliases={"chat": f"{CODER}@ollama"})
    assert codes(found) == ["ollama-no-tools"]


async def test_more_context_than_a_model_was_made_for_is_told(fake, tmp_path):
    found = await examine(tmp_path, fake.url, num_ctx=65536)
    assert finding(found, "ollama-context-above").remedy.endswith("num_ctx 32768")


async def test_less_context_in_force_than_asked_for_is_told(fake, tmp_path):
    fake.loaded[CODER] = 4096
    assert codes(await examine(tmp_path, fake.url)) == ["ollama-context-low"]


@pytest.mark.parametrize(("vram", "code"), [(0.0, ["ollama-on-cpu"]), (0.4, ["ollama-partly-on-cpu"]), (1.0, [])])
async def test_where_a_loaded_model_runs_is_told(fake, tmp_path, vram, code):
    fake.loaded[CODER] = 8192
    fake.faults.vram = vram
    assert codes(await examine(tmp_path, fake.url)) == code


# --- the deep look


async def answers(folder, fake) -> list[Diagnosis]:
    async with house_with_ollama(folder, fake.url, aliases={"chat": f"{CODER}@ollama"}) as inputs:
        return await ollama.answers(inputs)


async def test_a_deep_look_measures_the_speeds(fake, tmp_path):
    (told,) = await answers(tmp_path, fake)
    assert told.level == "ok"
    assert "reads 30,000 tokens/s" in told.message


async def test_a_deep_look_finds_silent_truncation(fake, tmp_path):
    fake.faults = Faults(truncate_to=2000)
    assert codes(await answers(tmp_path, fake)) == ["ollama-truncates"]


async def test_a_deep_look_finds_a_model_that_cannot_be_loaded(fake, tmp_path):
    fake.faults = Faults(error=(500, "model requires more system memory (9 GiB) than is available"))
    fake.faults.error_headers = {}
    async with house_with_ollama(tmp_path, fake.url) as inputs:
        await inputs.ollama[0].engine.client.tags()
        assert codes(await ollama.answers(inputs)) == ["ollama-no-answer"]


async def test_a_deep_look_at_a_server_that_only_embeds_has_nothing_to_ask(fake, tmp_path):
    fake.models[:] = [EMBEDDER]
    assert await answers(tmp_path, fake) == []
