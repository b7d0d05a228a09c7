"""A transformers checkpoint in memory: text to tokens, tokens to text, texts to vectors.

Runs only in the process of ``hf_child``. Loads from a folder and from nowhere else; code that comes with a checkpoint is not run, and
weights are read as safetensors, never unpickled. Knows no HTTP.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from fireside.core.requests import FinishReason, Sampling
from fireside.models.trie import Spelling, TokenTrie

PREFILL = 512  # tokens computed between two looks at whether anybody still listens
LONGEST_CHARACTER = (
    8  # tokens; one character of UTF-8 has four bytes, so what is still broken after these is no character
)
REPLACEMENT = "\ufffd"
Messages = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """``tokens``: generated so far. The last piece has the ``finish_reason``."""

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


class Checkpoint:
    """``window``: tokens of one request, prompt and answer together. ``generates``: False for a model that only embeds."""

    def __init__(self, folder: Path, *, window: int, threads: int, gpu: bool) -> None:
        import torch
        from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self.generates = any(name.endswith("ForCausalLM") for name in config.architectures or ())
        self.window = min(window, getattr(config, "max_position_embeddings", window))
        self.device = _device(torch) if gpu else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        kind = AutoModelForCausalLM if self.generates else AutoModel
        self.model = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32 if self.device == "cpu" else "auto",
        )
        self.model.to(self.device).eval()
        self._ends = _ends(self.model, self.tokenizer)

    def chat_tokens(self, messages: Messages) -> list[int]:
        """The prompt of a conversation, with the checkpoint's own template. Raises ``ValueError`` for what the template refuses."""
        refusal: type[Exception] = import_module("jinja2").TemplateError
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except refusal as error:
            raise ValueError(f"the chat template refuses this conversation: {error}") from error
        return self.text_tokens(text, special=False)

    def text_tokens(self, text: str, *, special: bool = True) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=special)["input_ids"]
        return tokens

    def generate(
        self, prompt: Sequence[int], sampling: Sampling, gone: Callable[[], bool], *, begins: str = ""
    ) -> Iterator[Piece]:
        """The answer in pieces; ends early, without a finish reason, as soon as ``gone()``. ``begins``: what it is held to begin with."""
        speech = Speech(self.tokenizer, sampling.stop)
        room = self.window - len(prompt)
        limit = min(room, sampling.max_tokens or room)
        for count, token in enumerate(self._tokens(prompt, sampling, gone, begins), start=1):
            if token in self._ends:
                yield Piece(speech.end(), count, "stop")
                return
            text = speech.add(token)
            if speech.stopped or count == limit:
                yield Piece(text + speech.end(), count, "stop" if speech.stopped else "length")
                return
            if text:
                yield Piece(text, count)

    def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """One unit vector per text, the mean over its tokens of the last hidden layer; and how many tokens there were."""
        import torch

        vectors, count = [], 0
        for text in texts:
            tokens = self.text_tokens(text) or [self.tokenizer.eos_token_id or 0]
            count += len(tokens)
            with torch.inference_mode():
                body = getattr(self.model, "base_model", self.model)
                hidden = body(input_ids=torch.tensor([tokens], device=self.device)).last_hidden_state
                vectors.append(torch.nn.functional.normalize(hidden[0].float().mean(0), dim=0).tolist())
        return vectors, count

    @cached_property
    def _vocabulary(self) -> "Vocabulary":
        return Vocabulary(self.tokenizer)

    def _tokens(
        self, prompt: Sequence[int], sampling: Sampling, gone: Callable[[], bool], begins: str
    ) -> Iterator[int]:
        """Tokens without end: the caller says when it has enough."""
        import torch

        generator = torch.Generator(self.device)
        generator.seed() if sampling.seed is None else generator.manual_seed(sampling.seed)
        seen, cache, logits = set(prompt), None, None
        fresh = list(prompt)
        rest = self._vocabulary.trie.spelled(begins) if begins else b""
        while True:
            for start in range(0, len(fresh), PREFILL):
                if gone():
                    return
                cache, logits = self._forward(fresh[start : start + PREFILL], cache)
            allowed = list(self._vocabulary.trie.allowed(rest)) if rest else []
            token = draw(only(logits, allowed) if allowed else logits, seen, sampling, generator)
            rest = rest[len(self._vocabulary.texts[token]) :] if allowed else b""
            yield token
            seen.add(token)
            fresh = [token]

    def _forward(self, tokens: Sequence[int], cache: Any) -> tuple[Any, Any]:
        import torch

        with torch.inference_mode():
            result = self.model(
                input_ids=torch.tensor([tokens], device=self.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return result.past_key_values, result.logits[0, -1].float()


class Vocabulary:
    """A tokenizer's own tokens as text, by number, without those that were added; and ordered."""

    def __init__(self, tokenizer: Any) -> None:
        known: dict[str, int] = tokenizer.get_vocab()
        self.texts = [b""] * (max(known.values(), default=-1) + 1)
        for token, number in known.items():
            self.texts[number] = b"" if number in tokenizer.added_tokens_decoder else token.encode("utf-8", "replace")
        spelling: Spelling = "bytes" if "Ġ" in known else "sentencepiece" if "▁" in known else "plain"
        self.trie = TokenTrie(self.texts, spelling=spelling)


def only(logits: Any, allowed: Sequence[int]) -> Any:
    """The same logits, and no chance for any token but ``allowed``."""
    import torch

    held = torch.full_like(logits, -torch.inf)
    chosen = torch.tensor(allowed, device=logits.device)
    return held.index_copy(0, chosen, logits[chosen])


@dataclass
class Speech:
    """Tokens to text: whole characters only, and never a part of a stop sequence.

    Decodes a window that begins at the last piece, since some tokenizers write a token differently at the beginning of a text.
    """

    tokenizer: Any
    stops: tuple[str, ...]
    stopped: bool = False
    _tokens: list[int] = field(default_factory=list)
    _said: int = 0
    _held: str = ""

    def add(self, token: int) -> str:
        """What can be said now."""
        self._tokens.append(token)
        before = self.tokenizer.decode(self._tokens[: self._said], skip_special_tokens=True)
        now = self.tokenizer.decode(self._tokens, skip_special_tokens=True)
        waiting = len(self._tokens) - self._said
        if now.endswith(REPLACEMENT) and waiting < LONGEST_CHARACTER:
            return ""
        self._tokens = self._tokens[self._said :]
        self._said = len(self._tokens)
        return self._release(now[len(before) :])

    def end(self) -> str:
        """What is left to say when no token follows."""
        if self.stopped:
            return ""
        before = self.tokenizer.decode(self._tokens[: self._said], skip_special_tokens=True)
        rest = self.tokenizer.decode(self._tokens, skip_special_tokens=True)[len(before) :]
        self._said = len(self._tokens)
        text = self._release(rest) + self._held
        self._held = ""
        return text

    def _release(self, text: str) -> str:
        text = self._held + text
        found = [position for stop in self.stops if stop and (position := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max(
            (length for stop in self.stops for length in range(len(stop)) if length and text.endswith(stop[:length])),
            default=0,
        )
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def draw(logits: Any, seen: set[int], sampling: Sampling, generator: Any) -> int:
    """The next token: the likeliest at temperature 0 (and when none is asked for), else one drawn from what the limits leave.

    ``repeat_penalty`` as in CTRL (Keskar et al., 2019), ``top_p`` as nucleus sampling (Holtzman et al., 2020), ``min_p`` relative to the
    likeliest token (Nguyen et al., 2024).
    """
    import torch

    if sampling.repeat_penalty and sampling.repeat_penalty != 1.0:
        known = torch.tensor(sorted(seen), device=logits.device)
        value = logits[known]
        logits = logits.index_copy(
            0, known, torch.where(value > 0, value / sampling.repeat_penalty, value * sampling.repeat_penalty)
        )
    if not sampling.temperature:
        return int(logits.argmax())
    ordered, tokens = torch.sort(logits / sampling.temperature, descending=True)
    shares = ordered.softmax(0)
    keep = torch.ones_like(shares, dtype=torch.bool)
    if sampling.top_k:
        keep[sampling.top_k :] = False
    if sampling.top_p is not None:
        keep &= shares.cumsum(0) - shares < sampling.top_p
    if sampling.min_p is not None:
        keep &= shares >= sampling.min_p * shares[0]
    keep[0] = True
    chosen = torch.multinomial(shares * keep, 1, generator=generator)
    return int(tokens[chosen])


def _device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer: what the checkpoint's generation config names, and the tokenizer's own."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    every = [*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id]
    return frozenset(token for token in every if token is not None)
