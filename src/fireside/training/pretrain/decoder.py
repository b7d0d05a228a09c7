"""A decoder of the Llama architecture and how it learns, to be read from top to bottom. Knows tensors; no file, no clock, no text.

1. Its shape, by one dial. 2. The forward pass: the model is a function of a dict of weights, under the names Hugging Face gives them, so
that what is saved is what was trained. 3. Two optimisers: Muon for matrices, AdamW for the rest. 4. The schedule. 5. One step.

After nanochat (Karpathy, 2025) in its spirit. RMSNorm (Zhang & Sennrich, 2019), rotary positions (Su et al., 2021) with the halves
rotated as transformers does it, SwiGLU (Shazeer, 2020), grouped queries (Ainslie et al., 2023), one table for input and output.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fireside.core.errors import ToolFailed
from fireside.training.pretrain.settings import PretrainSettings

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]
Turns = tuple["Tensor", "Tensor"]
Layer = Callable[[Weights, "Shape", "Tensor", Turns], "Tensor"]
Ending = Callable[["Tensor", "Tensor", "Tensor", "Shape", "Tensor", int], "Tensor"]
Parts = tuple[Layer, Ending]
EMBEDDING = "model.embed_tokens.weight"
LAST_NORM = "model.norm.weight"
NORMS = ("input_layernorm", "post_attention_layernorm")
HEAD = 64
BANDS = 4
IGNORED = -100


# 1. The shape


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model. ``width``: of the residual stream; ``ff``: of the feed-forward layer; ``context``: tokens it is trained on."""

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    ff: int
    theta: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def matrices(self) -> Mapping[str, tuple[int, int]]:
        """The matrices of one layer: name -> (rows, columns)."""
        inner = self.width // self.heads * self.kv_heads
        return {
            "self_attn.q_proj": (self.width, self.width),
            "self_attn.k_proj": (inner, self.width),
            "self_attn.v_proj": (inner, self.width),
            "self_attn.o_proj": (self.width, self.width),
            "mlp.gate_proj": (self.ff, self.width),
            "mlp.up_proj": (self.ff, self.width),
            "mlp.down_proj": (self.width, self.ff),
        }

    @property
    def parameters(self) -> int:
        layer = sum(rows * columns for rows, columns in self.matrices.values()) + 2 * self.width
        return self.vocabulary * self.width + self.layers * layer + self.width

    @property
    def flops(self) -> float:
        """Floating-point operations to learn one token: 6 for each weight, and the attention (Chowdhery et al., 2022, appendix B)."""
        return 6 * self.parameters + 6 * self.layers * self.width * self.context

    def config(self) -> dict[str, Any]:
        """The shape as transformers' ``LlamaConfig`` tells it."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.ff,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.width // self.heads,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.epsilon,
            "rope_theta": self.theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.theta},
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
        }


def shape_of(settings: PretrainSettings, vocabulary: int, context: int) -> Shape:
    """The shape the settings ask for. ``depth`` alone: a width of 256 for every four layers, three times as wide inside."""
    if not settings.depth:
        return Shape(
            vocabulary, context, settings.width, settings.layers, settings.heads, settings.kv_heads, settings.ff
        )
    width = 256 * max(1, round(settings.depth / 4))
    heads = width // HEAD
    return Shape(vocabulary, context, width, settings.depth, heads, heads // 2, 3 * width)


# 2. The forward pass


def begin(shape: Shape, seed: int) -> Weights:
    """Weights before any training, float32. What ends a layer is zero: at first every layer hands on what it is given."""
    import torch

    chance = torch.Generator().manual_seed(seed)
    weights = {EMBEDDING: torch.randn(shape.vocabulary, shape.width, generator=chance) * 0.02}
    for layer in range(shape.layers):
        for name, size in shape.matrices.items():
            ends = name in ("self_attn.o_proj", "mlp.down_proj")
            matrix = torch.zeros(size) if ends else torch.randn(size, generator=chance) * size[1] ** -0.5
            weights[f"model.layers.{layer}.{name}.weight"] = matrix
        for name in NORMS:
            weights[f"model.layers.{layer}.{name}.weight"] = torch.ones(shape.width)
    return weights | {LAST_NORM: torch.ones(shape.width)}


def logits(weights: Weights, shape: Shape, tokens: "Tensor") -> "Tensor":
    """What comes next, for every place. ``tokens``: (sequences, length); returns (sequences, length, vocabulary)."""
    import torch.nn.functional as F

    return F.linear(_normed(_stream(weights, shape, tokens, _layer), weights[LAST_NORM], shape), weights[EMBEDDING])


def loss(
    weights: Weights, shape: Shape, rows: "Tensor", unscored: int = IGNORED, parts: "Parts | None" = None
) -> "Tensor":
    """Nats per token, the mean over rows of (sequences, length + 1). ``unscored``: the padding, which nobody should learn to write.

    ``parts``: the layer and the end, compiled.
    """
    layer, ending = parts or (_layer, _ending)
    stream = _stream(weights, shape, rows[:, :-1], layer)
    return ending(stream, weights[LAST_NORM], weights[EMBEDDING], shape, rows[:, 1:], unscored)


def nats(weights: Weights, shape: Shape, rows: "Tensor") -> "Tensor":
    """Nats of each token of the rows but the first: (sequences, length)."""
    import torch.nn.functional as F

    found = logits(weights, shape, rows[:, :-1])
    each = F.cross_entropy(found.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")
    return each.view(rows.shape[0], -1)


def _stream(weights: Weights, shape: Shape, tokens: "Tensor", layer: "Layer") -> "Tensor":
    """What the last layer hands on."""
    import torch.nn.functional as F

    turns = _turns(shape, tokens.shape[1], tokens.device)
    stream = F.embedding(tokens, weights[EMBEDDING])
    for number in range(shape.layers):
        own = {name: weights[f"model.layers.{number}.{name}.weight"] for name in (*shape.matrices, *NORMS)}
        stream = layer(own, shape, stream, turns)
    return stream


def _layer(own: Weights, shape: Shape, stream: "Tensor", turns: "Turns") -> "Tensor":
    stream = stream + _attention(own, shape, _normed(stream, own[NORMS[0]], shape), turns)
    return stream + _feed_forward(own, _normed(stream, own[NORMS[1]], shape))


def _ending(
    stream: "Tensor", norm: "Tensor", table: "Tensor", shape: Shape, wanted: "Tensor", unscored: int
) -> "Tensor":
    import torch.nn.functional as F

    found = F.linear(_normed(stream, norm, shape), table)
    return F.cross_entropy(found.flatten(0, 1).float(), wanted.flatten(), ignore_index=unscored)


def _normed(stream: "Tensor", norm: "Tensor", shape: Shape) -> "Tensor":
    import torch.nn.functional as F

    return F.rms_norm(stream, (shape.width,), norm, shape.epsilon)


def _turns(shape: Shape, length: int, device: Any) -> Turns:
    """Cosine and sine of how far each place turns each pair of numbers: (length, head)."""
    import torch

    size = shape.width // shape.heads
    speeds = 1.0 / shape.theta ** (torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), speeds)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _turned(heads: "Tensor", turns: Turns) -> "Tensor":
    import torch

    cosine, sine = turns
    left, right = heads.chunk(2, dim=-1)
    return (heads * cosine + torch.cat((-right, left), dim=-1) * sine).to(heads.dtype)


def _attention(own: Weights, shape: Shape, stream: "Tensor", turns: Turns) -> "Tensor":
    import torch.nn.functional as F

    count, length, _ = stream.shape

    def heads(name: str, number: int) -> "Tensor":
        return F.linear(stream, own[name]).view(count, length, number, -1).transpose(1, 2)

    queries = _turned(heads("self_attn.q_proj", shape.heads), turns)
    keys = _turned(heads("self_attn.k_proj", shape.kv_heads), turns)
    values = heads("self_attn.v_proj", shape.kv_heads)
    if stream.device.type == "cpu":
        found = _in_bands(queries, keys, values)
    else:
        found = F.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, enable_gqa=shape.heads != shape.kv_heads
        )
    return F.linear(found.transpose(1, 2).reshape(count, length, -1), own["self_attn.o_proj"])


def _in_bands(queries: "Tensor", keys: "Tensor", values: "Tensor") -> "Tensor":
    """Causal attention, a band of places at a time: each looks at the keys up to its own end only, which saves near half of the work.

    Compiled for a CPU it takes 0.4 of the time of torch's own kernel (512 places, 4 heads of 64, bfloat16). All of them are
    (count, heads, length, size).
    """
    import torch

    count, heads, length, size = queries.shape
    group = heads // keys.shape[1]
    grouped = queries.reshape(-1, group, length, size)
    keys, values = keys.reshape(-1, length, size), values.reshape(-1, length, size)
    band = -(-length // BANDS)
    found = []
    for begin in range(0, length, band):
        end = min(begin + band, length)
        scores = torch.bmm(grouped[:, :, begin:end].flatten(1, 2), keys[:, :end].mT).float() * size**-0.5
        later = torch.ones(end - begin, end, dtype=torch.bool, device=queries.device).triu(begin + 1)
        shares = scores.view(-1, group, end - begin, end).masked_fill(later, -math.inf).softmax(-1)
        seen = torch.bmm(shares.to(values.dtype).flatten(1, 2), values[:, :end])
        found.append(seen.view(count, heads, end - begin, size))
    return torch.cat(found, dim=2)


def _feed_forward(own: Weights, stream: "Tensor") -> "Tensor":
    import torch.nn.functional as F

    opened = F.silu(F.linear(stream, own["mlp.gate_proj"])) * F.linear(stream, own["mlp.up_proj"])
    return F.linear(opened, own["mlp.down_proj"])


# 3. The optimisers


class Muon:
    """Momentum, made orthogonal by Newton-Schulz (Jordan et al., "Muon", 2024). Matrices of one size go through it together."""

    def __init__(self, matrices: Sequence["Tensor"], *, bf16: bool, momentum: float = 0.95) -> None:
        import torch

        self._groups: dict[tuple[int, ...], list[Tensor]] = {}
        for matrix in matrices:
            self._groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self._momentum = momentum
        self._kind = torch.bfloat16 if bf16 else torch.float32
        self.state = {
            size: torch.zeros((len(group), *size), device=group[0].device) for size, group in self._groups.items()
        }

    def step(self, rate: float) -> None:
        import torch

        for size, group in self._groups.items():
            gradients = torch.stack([matrix.grad for matrix in group])
            moving = self.state[size].lerp_(gradients, 1 - self._momentum)
            update = orthogonal(gradients.lerp_(moving, self._momentum).to(self._kind)).float()
            # A tall matrix gets larger steps, so that what it gives out changes as much as with a wide one.
            scale = max(1.0, size[0] / size[1]) ** 0.5
            torch._foreach_add_(group, list(update.unbind()), alpha=-rate * scale)


def orthogonal(update: "Tensor", rounds: int = 5) -> "Tensor":
    """About the nearest orthogonal matrix to each of (count, rows, columns): singular values between 0.7 and 1.2."""
    tall = update.shape[1] > update.shape[2]
    found = update.mT if tall else update
    found = found / (found.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = found @ found.mT
        found = 3.4445 * found + (-4.7750 * square + 2.0315 * square @ square) @ found
    return found.mT if tall else found


# 4. The schedule


def pace(progress: float, warm_up: float, decay: float) -> float:
    """The share of the learning rates at a moment of the run, 0 to 1: up, level, and down to nothing at its end.

    Whatever measures ``progress``, tokens or minutes, a run that reaches 1 ends annealed (Hu et al., arXiv 2404.06395).
    """
    rising = max(progress / warm_up, 0.02) if warm_up else 1.0
    falling = (1.0 - progress) / decay if decay else 1.0
    return max(min(rising, 1.0, falling), 0.0)


# 5. One step

Summed = Callable[["Tensor"], None]


class Learner:
    """The weights and all that changes with them. ``summed``: adds a tensor up over all processes, in place."""

    def __init__(
        self,
        shape: Shape,
        settings: PretrainSettings,
        *,
        seed: int,
        device: str,
        bf16: bool,
        padding: int = IGNORED,
        world: int = 1,
        summed: Summed | None = None,
    ) -> None:
        import torch

        self.shape = shape
        self.weights = {name: weight.to(device).requires_grad_() for name, weight in begin(shape, seed).items()}
        self._settings = settings
        self._device, self._bf16, self._padding = device, bf16, padding
        self._world, self._summed = world, summed
        self._parts: Parts | None = None
        matrices = [weight for name, weight in self.weights.items() if _is_matrix(name)]
        rest = [weight for name, weight in self.weights.items() if not _is_matrix(name)]
        self._muon = Muon(matrices, bf16=bf16)
        self._adam = torch.optim.AdamW(rest, lr=settings.rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def compile(self, example: "Tensor") -> None:
        """Compile the forward and backward pass, with rows of the example's size. Raises ``RuntimeError`` where it cannot be done.

        One layer is compiled, not all of them: they differ in their weights only, and it takes an eighth of the time.
        """
        import torch

        self._parts = torch.compile(_layer, dynamic=False), torch.compile(_ending, dynamic=False)
        try:
            self._learn(example)
        except BaseException:
            self._parts = None
            raise
        finally:
            self._forget()

    def step(self, batch: Sequence["Tensor"], told: Callable[[], Sequence[float]]) -> tuple[float, float, list[float]]:
        """Learn from one batch, taken in parts.

        ``told``: what this process has to say to the others, asked after the gradients are there; the first of it is the progress of the
        run, which sets the learning rates. Returns the mean loss, the gradient's length, and the sums of what all processes told. Raises
        ``ToolFailed``, before any weight has changed, where the loss is no number.
        """
        import torch

        mean = sum(self._learn(rows, len(batch)) for rows in batch)
        mean, said = self._agree(mean, told)
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights.values(), self._settings.clip))
        if not (math.isfinite(norm) and math.isfinite(mean)):
            self._forget()
            raise ToolFailed(
                "the loss is no longer a number",
                remedy="lower pretrain.matrix_rate and pretrain.rate, and run it again",
            )
        share = pace(said[0], self._settings.warm_up, self._settings.decay)
        for group in self._adam.param_groups:
            group["lr"] = self._settings.rate * share
        with torch.no_grad():
            self._adam.step()
            self._muon.step(self._settings.matrix_rate * share)
        self._forget()
        return mean, norm, said

    def measure(self, rows: "Tensor") -> "Tensor":
        """Nats of each token of the rows but the first."""
        import torch

        with torch.no_grad(), torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
            return nats(self.weights, self.shape, rows)

    def state(self) -> dict[str, Any]:
        return {
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "muon": self._muon.state,
            "adam": self._adam.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
            for size, moving in self._muon.state.items():
                moving.copy_(state["muon"][size])
        self._adam.load_state_dict(state["adam"])

    def _learn(self, rows: "Tensor", parts: int = 1) -> float:
        import torch

        with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
            found = loss(self.weights, self.shape, rows, self._padding, self._parts) / parts
        found.backward()
        return float(found.detach())

    def _agree(self, mean: float, told: Callable[[], Sequence[float]]) -> tuple[float, list[float]]:
        """Average gradients and loss over the processes, and add up what they tell, in one message."""
        import torch

        said = list(told())
        if self._summed is None:
            return mean, said
        gradients = [weight.grad for weight in self.weights.values()]
        extra = torch.tensor([mean / self._world, *said], device=self._device)
        flat = torch.cat([*(one.flatten() / self._world for one in gradients), extra])
        self._summed(flat)
        parts = flat.split([one.numel() for one in gradients] + [len(extra)])
        for gradient, part in zip(gradients, parts[:-1], strict=True):
            gradient.copy_(part.view_as(gradient))
        found = parts[-1].tolist()
        return found[0], found[1:]

    def _forget(self) -> None:
        for weight in self.weights.values():
            weight.grad = None


def _is_matrix(name: str) -> bool:
    return name.endswith("_proj.weight")
