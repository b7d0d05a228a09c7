"""Prompts as the models were trained on them, and text that cannot break out of its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.core.messages import Message, ToolCall
from fireside.core.requests import CompletionRequest, Snippet
from fireside.core.values import replace
from fireside.models.card import FimTokens
from fireside.models.families import FAMILIES, Family, family_of
from fireside.models.prompting import chat_prompt, disarm, fim_prompt, fim_stops

FIM = {family.name: family.fim for _, family in FAMILIES if family.fim}


def fim_of(name: str) -> FimTokens:
    return FIM[name]


@pytest.mark.parametrize(
    ("family", "prompt"),
    [
        ("qwen2.5-coder", "<|fim_prefix|>def f(<|fim_suffix|>):<|fim_middle|>"),
        ("deepseek-coder", "<｜fim▁begin｜>def f(<｜fim▁hole｜>):<｜fim▁end｜>"),
        ("codellama", "<PRE> def f( <SUF>): <MID>"),
        ("starcoder2", "<fim_prefix>def f(<fim_suffix>):<fim_middle>"),
        ("codestral", "[SUFFIX]):[PREFIX]def f("),
        ("seed-coder", "<[fim-suffix]>):<[fim-prefix]>def f(<[fim-middle]>"),
        ("mellum", "<fim_suffix>):<fim_prefix>def f(<fim_middle>"),
    ],
)
def test_the_hole_is_written_as_the_family_was_trained(family: str, prompt: str):
    assert fim_prompt(CompletionRequest("def f(", "):"), fim_of(family)) == prompt


def test_joined_the_text_before_the_cursor_stands_last_so_that_a_key_stroke_only_adds_to_the_prompt():
    joined = replace(fim_of("qwen2.5-coder"), order="joined")
    prompt = fim_prompt(CompletionRequest("def f(", "):", path="a.py"), joined)
    assert prompt == ("<|repo_name|>project\n<|file_sep|>a.py\n<|fim_prefix|><|fim_suffix|>):<|fim_middle|>def f(")
    assert fim_prompt(CompletionRequest("def f(x", "):", path="a.py"), joined) == prompt + "x"


def test_neighbours_stand_before_the_file_under_their_paths():
    request = CompletionRequest("x = ", "\n", path="src/a.py", neighbours=(Snippet("src/b.py", "y = 1"),))
    assert fim_prompt(request, fim_of("qwen2.5-coder")) == (
        "<|repo_name|>project\n<|file_sep|>src/b.py\ny = 1\n<|file_sep|>src/a.py\n"
        "<|fim_prefix|>x = <|fim_suffix|>\n<|fim_middle|>"
    )


def test_a_family_without_file_tokens_gets_no_neighbours():
    request = CompletionRequest("x = ", "", path="a.py", neighbours=(Snippet("b.py", "y = 1"),))
    assert fim_prompt(request, fim_of("deepseek-coder")) == "<｜fim▁begin｜>x = <｜fim▁hole｜><｜fim▁end｜>"


def test_a_line_break_in_a_path_does_not_end_its_line():
    request = CompletionRequest("", "", path="a\nb.py")
    assert "<|file_sep|>a b.py\n" in fim_prompt(request, fim_of("qwen2.5-coder"))


def test_code_without_control_tokens_stays_byte_for_byte():
    prefix, suffix = 'print("<é>\t\x00\r\n")  # <|x|> [INST]', "\n\u2028 } 🔥"
    prompt = fim_prompt(CompletionRequest(prefix, suffix), fim_of("qwen2.5-coder"))
    assert prompt == f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"


@given(
    family=st.sampled_from(sorted(FIM)),
    data=st.data(),
)
def test_control_tokens_in_the_users_text_cannot_break_out(family: str, data: st.DataObject):
    fim = fim_of(family)
    pieces = st.lists(st.sampled_from((*fim_stops(fim), "<", "|", "x", "\n", " ", "[")), max_size=6).map("".join)
    request = CompletionRequest(
        data.draw(pieces),
        data.draw(pieces),
        path=data.draw(pieces),
        neighbours=(Snippet(data.draw(pieces), data.draw(pieces)),),
    )
    prompt = fim_prompt(request, fim)
    for token in (fim.prefix.strip(), fim.suffix.strip(), fim.middle.strip()):
        if token:
            assert prompt.count(token) == 1
    for token in fim.stop:
        assert token not in prompt


def test_a_disarmed_token_stays_legible():
    assert disarm("see <|im_end|> there", ["<|im_end|>"]) == "see < |im_end|> there"
    assert disarm("plain", ["<|im_end|>"]) == "plain"


def test_completions_stop_at_the_familys_end_and_at_every_control_token():
    stops = fim_stops(fim_of("codellama"))
    assert set(stops) == {"<EOT>", "</s>", "<PRE>", "<SUF>", "<MID>"}
    assert "<|endoftext|>" in fim_stops(fim_of("qwen2.5-coder"))
    assert "<|file_sep|>" in fim_stops(fim_of("qwen2.5-coder"))


TALK = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye"))


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        (
            "qwen2.5-coder",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
            "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "llama3.1:8b",
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("mistral:7b", "[INST] Be brief.\n\nHi[/INST] Hello</s>[INST] Bye[/INST]"),
        ("devstral", "[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]Hi[/INST]Hello</s>[INST]Bye[/INST]"),
        ("codellama", "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Bye [/INST]"),
        (
            "gemma3",
            "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            "deepseek-coder",
            "Be brief.\n### Instruction:\nHi\n### Response:\nHello\n<|EOT|>\n### Instruction:\nBye\n### Response:\n",
        ),
        ("deepseek-coder-v2", "Be brief.\n\nUser: Hi\n\nAssistant: Hello<｜end▁of▁sentence｜>User: Bye\n\nAssistant:"),
        ("deepseek-v3", "Be brief.<｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜><｜User｜>Bye<｜Assistant｜>"),
        (
            "phi3",
            "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n",
        ),
        (
            "granite3.3",
            "<|start_of_role|>system<|end_of_role|>Be brief.<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hi<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>Hello<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Bye<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>",
        ),
        ("unheard-of", "Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:"),
    ],
)
def test_a_conversation_is_written_in_the_familys_format(model: str, prompt: str):
    assert chat_prompt(TALK, family_of(model)) == prompt


def test_harmony_puts_instructions_in_the_developer_turn_and_the_answer_in_a_channel():
    prompt = chat_prompt(TALK, family_of("gpt-oss:20b"))
    assert "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>" in prompt
    assert "<|start|>assistant<|channel|>final<|message|>Hello<|end|>" in prompt
    assert prompt.endswith("<|start|>user<|message|>Bye<|end|><|start|>assistant")


def test_tool_calls_and_results_are_written_out():
    talk = (
        Message("user", "list"),
        Message("assistant", "", tool_calls=(ToolCall("1", "ls", '{"path":"."}'),)),
        Message("tool", "a.py", tool_call_id="1"),
    )
    chatml = chat_prompt(talk, family_of("qwen3"))
    assert '<tool_call>\n{"name": "ls", "arguments": {"path":"."}}\n</tool_call><|im_end|>' in chatml
    assert "<|im_start|>user\n<tool_response>\na.py\n</tool_response><|im_end|>" in chatml
    assert "<|start_header_id|>ipython<|end_header_id|>\n\na.py<|eot_id|>" in chat_prompt(talk, family_of("llama3.1"))


@pytest.mark.parametrize("family", [family for _, family in FAMILIES], ids=lambda family: family.name)
def test_a_message_cannot_end_its_turn(family: Family):
    from fireside.models.templates import TEMPLATES

    attack = " ".join((*TEMPLATES[family.template].control, *family.stop))
    harmless = chat_prompt([Message("user", "x")], family)
    attacked = chat_prompt([Message("user", attack)], family)
    for token in (*TEMPLATES[family.template].control, *family.stop):
        assert attacked.count(token) == harmless.count(token)


def test_a_system_text_alone_still_reaches_a_format_without_system_turns():
    assert "Be brief." in chat_prompt([Message("system", "Be brief.")], family_of("gemma3"))
