"""The names people give models, and the model chosen when nobody gave one."""

from collections.abc import Iterable

import pytest

from fireside.core.errors import Invalid, ModelNotFound
from fireside.models.aliases import Aliases
from fireside.models.card import Capability, ModelCard


def card(
    name: str,
    engine: str = "ollama",
    *,
    can: Iterable[Capability] = ("chat",),
    billions: float = 7,
    family: str = "",
    size: int = 0,
) -> ModelCard:
    return ModelCard(name, engine, family, capabilities=frozenset(can), parameters=int(billions * 1e9), size=size)


CODER = card("qwen2.5-coder:7b", can=("chat", "tools", "fim"), billions=7.6, family="qwen2.5-coder")
SMALL_CODER = card("qwen2.5-coder:1.5b", can=("chat", "tools", "fim"), billions=1.5, family="qwen2.5-coder")
BIG_CODER = card("qwen3-coder:30b", can=("chat", "tools", "fim"), billions=30, family="qwen3-coder")
LLAMA = card("llama3.1:70b", can=("chat", "tools"), billions=70, family="llama3.1")
EMBED = card("nomic-embed-text:latest", can=("embed",), billions=0.1, family="embedding")
LOCAL = card("tiny", "embedded", can=("chat", "fim"), billions=0.001, family="qwen2")
CARDS = [LLAMA, CODER, SMALL_CODER, EMBED, LOCAL]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("llama3.1:70b", LLAMA),
        ("LLAMA3.1:70B", LLAMA),
        ("nomic-embed-text", EMBED),
        ("nomic-embed-text:latest", EMBED),
        ("tiny:latest", LOCAL),
        ("tiny@embedded", LOCAL),
        ("@embedded", LOCAL),
        ("@ollama", CODER),
        ("chat", CODER),
        ("complete", CODER),
        ("embed", EMBED),
    ],
)
def test_a_name_finds_its_model(name: str, found: ModelCard):
    assert Aliases({}).resolve(name, CARDS) is found


@pytest.mark.parametrize(
    ("aliases", "name", "found"),
    [
        ({"chat": "llama3.1:70b"}, "chat", LLAMA),
        ({"chat": "tiny@embedded"}, "chat", LOCAL),
        ({"chat": "@embedded"}, "chat", LOCAL),
        ({"fast": "qwen2.5-coder:1.5b"}, "fast", SMALL_CODER),
        ({"chat": "fast", "fast": "tiny"}, "chat", LOCAL),
        ({"tiny": "tiny"}, "tiny", LOCAL),
        ({"mine": "chat"}, "mine", CODER),
        ({"chat": "complete", "complete": "tiny"}, "chat", LOCAL),
    ],
)
def test_an_alias_leads_to_its_model(aliases: dict[str, str], name: str, found: ModelCard):
    assert Aliases(aliases).resolve(name, CARDS) is found


def test_aliases_in_a_circle_are_named():
    with pytest.raises(Invalid, match="a -> b -> a"):
        Aliases({"a": "b", "b": "a"}).resolve("a", CARDS)


def test_the_same_model_on_two_engines_comes_from_the_first():
    twin = card("tiny", "ollama")
    assert Aliases({}).resolve("tiny", [twin, LOCAL]) is twin
    assert Aliases({}).resolve("tiny", [LOCAL, twin]) is LOCAL


def test_the_engine_that_can_do_it_is_chosen_among_two_with_the_same_model():
    without = card("tiny", "ollama", can=("chat",))
    assert Aliases({}).resolve("tiny", [without, LOCAL], ("fim",)) is LOCAL


def test_chat_prefers_a_coder_then_the_larger_model():
    assert Aliases({}).resolve("chat", [LLAMA, SMALL_CODER, BIG_CODER]) is BIG_CODER


def test_completion_prefers_a_model_quick_enough_to_type_with():
    assert Aliases({}).resolve("complete", [BIG_CODER, SMALL_CODER, CODER]) is CODER


def test_a_model_that_does_not_fit_in_memory_is_not_chosen_but_may_be_named():
    large = card("coder:70b", can=("chat", "fim"), billions=70, family="qwen3-coder", size=40 << 30)
    small = card("coder:7b", can=("chat", "fim"), billions=7, family="qwen2", size=4 << 30)
    aliases = Aliases({}, memory=16 << 30)
    assert aliases.resolve("chat", [large, small]) is small
    assert aliases.resolve("coder:70b", [large, small]) is large


def test_needs_narrow_the_choice():
    assert Aliases({}).resolve("chat", [LOCAL, LLAMA], ("tools",)) is LLAMA
    with pytest.raises(ModelNotFound, match="call tools"):
        Aliases({}).resolve("chat", [LOCAL], ("tools",))


def test_completion_takes_a_chat_model_only_when_nothing_else_is_asked():
    assert Aliases({}).resolve("complete", [LLAMA]) is LLAMA
    with pytest.raises(ModelNotFound, match="fill in the middle"):
        Aliases({}).resolve("complete", [LLAMA], ("fim",))


def test_a_named_model_that_cannot_is_said_with_those_that_can():
    with pytest.raises(Invalid) as caught:
        Aliases({}).resolve("llama3.1:70b", CARDS, ("fim",))
    assert caught.value.message == "llama3.1:70b cannot fill in the middle"
    assert "qwen2.5-coder:7b" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("qwen2.5-codr:7b", "qwen2.5-coder:7b"),
        ("Qwen2.5-Coder", "qwen2.5-coder"),
        ("nomic-embed", "nomic-embed-text"),
        ("tiny@embeded", "@embedded"),
    ],
)
def test_a_typo_is_answered_with_the_closest_names(name: str, close: str):
    with pytest.raises(ModelNotFound) as caught:
        Aliases({}).resolve(name, CARDS)
    assert close in caught.value.remedy


def test_an_alias_to_a_missing_model_says_which_alias_it_was():
    with pytest.raises(ModelNotFound, match=r"no model gone on ollama \(alias chat\)"):
        Aliases({"chat": "gone@ollama"}).resolve("chat", CARDS)


def test_without_any_model_the_remedy_is_how_to_get_one():
    for role in ("chat", "complete", "embed"):
        with pytest.raises(ModelNotFound) as caught:
            Aliases({}).resolve(role, [])
        assert "pull" in caught.value.remedy


def test_the_choice_does_not_depend_on_the_order_of_unequal_cards():
    chosen = {Aliases({}).resolve("chat", cards).name for cards in (CARDS, CARDS[::-1], [*CARDS[2:], *CARDS[:2]])}
    assert chosen == {CODER.name}
