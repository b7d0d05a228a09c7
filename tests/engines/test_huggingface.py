"""Checkpoints in folders, and the child that serves them. What every engine does is in tests/conformance."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from fireside.core.errors import Invalid, ModelNotFound
from fireside.core.events import EventBus
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest
from fireside.engines import huggingface
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.hf_folder import read_card
from fireside.engines.huggingface import HuggingFaceEngine, HuggingFaceSettings, build
from fireside.engines.ledger import Ledger
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Transport
from support.answers import check_error, failure

QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "max_position_embeddings": 4096,
    "dtype": "bfloat16",
}


def folder_with(tmp_path: Path, name: str = "qwen2.5-coder-mine", **files: object) -> Path:
    """A folder that looks like a checkpoint; ``None`` leaves a file out."""
    folder = tmp_path / name
    folder.mkdir()
    tokens = [{"content": token} for token in ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")]
    content = {
        "config": QWEN,
        "tokenizer_config": {"chat_template": "{{ messages }}"},
        "tokenizer": {"added_tokens": tokens},
    } | files
    for stem, value in content.items():
        if value is not None:
            (folder / f"{stem}.json").write_text(value if isinstance(value, str) else json.dumps(value))
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    return folder


def engine_with(tmp_path: Path, *folders: Path) -> HuggingFaceEngine:
    transport = Transport(Egress(EgressSettings(), Ledger(tmp_path / "egress.jsonl")))
    context = EngineContext(transport.egress, transport, EventBus(), tmp_path, lambda name: None)
    return build("hf", HuggingFaceSettings(models=tuple(str(folder) for folder in folders)), context)


def test_a_folder_tells_what_its_model_is(tmp_path):
    card = read_card(folder_with(tmp_path), "hf", context=8192)
    assert (card.name, card.engine, card.family, card.quantization) == (
        "qwen2.5-coder-mine",
        "hf",
        "qwen2.5-coder",
        "bfloat16",
    )
    assert (card.context_window, card.size) == (4096, 100)
    assert card.capabilities == {"chat", "fim", "embed"}
    assert card.fim is not None


def test_a_request_gets_no_more_context_than_is_configured(tmp_path):
    assert read_card(folder_with(tmp_path), "hf", context=1024).context_window == 1024


def test_without_a_template_a_model_does_not_chat(tmp_path):
    assert not read_card(folder_with(tmp_path, tokenizer_config={}), "hf", context=1024).can("chat")


def test_a_template_may_be_a_file_of_its_own(tmp_path):
    folder = folder_with(tmp_path, tokenizer_config=None)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert read_card(folder, "hf", context=1024).can("chat")


@pytest.mark.parametrize("tokenizer", [None, {"added_tokens": []}, {"added_tokens": [{"content": "<|fim_prefix|>"}]}])
def test_without_its_tokens_a_model_fills_nothing_in(tmp_path, tokenizer):
    assert not read_card(folder_with(tmp_path, tokenizer=tokenizer), "hf", context=1024).can("fim")


def test_an_encoder_only_embeds(tmp_path):
    config = {"architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 512}
    assert read_card(folder_with(tmp_path, config=config), "hf", context=1024).capabilities == {"embed"}


@pytest.mark.parametrize("config", [None, "{", "[]"])
def test_a_folder_that_is_no_checkpoint_says_so(tmp_path, config):
    with pytest.raises(Invalid) as caught:
        read_card(folder_with(tmp_path, config=config), "hf", context=1024)
    check_error(caught.value)


def test_pickled_weights_are_refused(tmp_path):
    folder = folder_with(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Invalid, match="safetensors") as caught:
        read_card(folder, "hf", context=1024)
    check_error(caught.value)


async def test_without_its_packages_the_engine_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface, "PACKAGES", ("no_such_package",))
    folder = folder_with(tmp_path)
    engine, card = engine_with(tmp_path, folder), read_card(folder, "hf", context=8192)
    health = await engine.health()
    assert (health.state, health.remedy) == ("down", 'pip install "fireside[hf]"')
    with pytest.raises(Invalid) as caught:
        await engine.models()
    assert caught.value.remedy == 'pip install "fireside[hf]"'
    _, error = await failure(engine.chat(ChatRequest((Message("user", "hi"),)), card))
    assert error.remedy == 'pip install "fireside[hf]"'


async def test_a_model_that_is_not_configured_is_not_found(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface, "PACKAGES", ())
    folder = folder_with(tmp_path)
    card = read_card(folder, "hf", context=8192)
    _, error = await failure(engine_with(tmp_path).chat(ChatRequest((Message("user", "hi"),)), card))
    assert isinstance(error, ModelNotFound)
    check_error(error)


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[str]:
    """The address of a child's server, in this process."""
    from fireside.engines.hf_checkpoint import Checkpoint
    from fireside.engines.hf_child import Handler, Served
    from support.tiny_checkpoint import write_checkpoint

    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny-qwen2.5-coder")
    checkpoint = Checkpoint(folder, window=256, threads=1, gpu=False)
    handler = type("Bound", (Handler,), {"served": Served(folder.name, checkpoint, "key", threading.Semaphore(2))})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def post(url: str, body: object, key: str = "key") -> tuple[int, dict[str, object]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


ASK = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


@pytest.mark.hf
def test_greedy_tokens_are_those_of_transformers(tmp_path):
    """Our own loop, with its chunked prefill and its cache, against ``model.generate``."""
    import torch

    from fireside.core.requests import Sampling
    from fireside.engines import hf_checkpoint
    from support.tiny_checkpoint import write_checkpoint

    checkpoint = hf_checkpoint.Checkpoint(write_checkpoint(tmp_path / "tiny"), window=2048, threads=1, gpu=False)
    prompt = checkpoint.text_tokens("def add(a, b): 👍\n" * 60)
    assert len(prompt) > hf_checkpoint.PREFILL
    text = "".join(piece.text for piece in checkpoint.generate(prompt, Sampling(max_tokens=24), lambda: False))
    with torch.inference_mode():
        tokens = checkpoint.model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False)[0, len(prompt) :]
    assert text == checkpoint.tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.hf
@pytest.mark.parametrize("begins", [" ret", ".wid", "\n    ", "th", "ü"])
def test_an_answer_is_held_to_its_beginning_by_the_tokens_of_the_checkpoint(tmp_path, begins):
    from fireside.core.requests import Sampling
    from fireside.engines import hf_checkpoint
    from support.tiny_checkpoint import write_checkpoint

    checkpoint = hf_checkpoint.Checkpoint(write_checkpoint(tmp_path / "tiny"), window=2048, threads=1, gpu=False)
    prompt = checkpoint.text_tokens("x =")
    for sampling in (Sampling(max_tokens=12), Sampling(max_tokens=12, temperature=1.0, seed=3)):
        answer = "".join(piece.text for piece in checkpoint.generate(prompt, sampling, lambda: False, begins=begins))
        assert answer.startswith(begins)
        assert len(answer) > len(begins)


@pytest.mark.hf
def test_the_child_answers_whole_when_no_stream_is_asked_for(served):
    status, answer = post(f"{served}/v1/chat/completions", ASK)
    assert status == 200
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] <= 8


@pytest.mark.hf
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/tokenize"])
def test_nothing_is_told_without_the_key(served, path):
    assert post(served + path, ASK, key="wrong")[0] == 401


@pytest.mark.hf
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", {"messages": "hi"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ("/v1/completions", {"prompt": ""}),
        ("/v1/completions", {"prompt": 3}),
        ("/v1/embeddings", {"input": "word " * 400}),
        ("/tokenize", []),
        ("/tokenize", b"{"),
    ],
)
def test_a_wrong_request_gets_a_typed_error_and_the_child_lives_on(served, path, body):
    status, answer = post(served + path, body)
    assert status == 400
    assert answer["error"]["message"]
    assert post(f"{served}/v1/chat/completions", ASK)[0] == 200


@pytest.mark.hf
def test_an_unknown_route_is_not_found(served):
    assert post(f"{served}/v1/responses", {})[0] == 404


@pytest.mark.hf
def test_what_the_template_refuses_is_a_wrong_request(served):
    status, answer = post(
        f"{served}/v1/chat/completions", ASK | {"messages": [{"role": "assistant", "tool_calls": [{"function": 3}]}]}
    )
    assert status == 400
    assert answer["error"]["message"]


@pytest.mark.hf
def test_calls_and_results_of_tools_pass_the_template(served):
    call = {"id": "1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}
    history = [
        {"role": "user", "content": "read it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "x = 1", "tool_call_id": "1"},
    ]
    assert post(f"{served}/v1/chat/completions", ASK | {"messages": history})[0] == 200
