"""What our own API answers, as the OpenAPI document tells it; clients are generated from it. Nothing is checked against it."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from fireside.server.own.schemas import CallSaid, Problem


class CitationTold(BaseModel):
    """Lines the answer stands on, from 1, both ends included."""

    path: str
    start_line: int
    end_line: int
    symbol: str = ""


class UsageTold(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    load_seconds: float | None = None
    prompt_seconds: float | None = None
    completion_seconds: float | None = None


class ChatTold(BaseModel):
    """``generated``: false when no model wrote it: it was put together from the code itself."""

    text: str
    reasoning: str
    tool_calls: list[CallSaid]
    citations: list[CitationTold]
    left_out: list[str]
    finish_reason: Literal["stop", "length", "tool_calls", "cancelled"]
    usage: UsageTold
    engine: str
    model: str
    generated: bool


class HitTold(BaseModel):
    path: str
    start_line: int
    end_line: int
    score: float
    symbol: str
    text: str
    reasons: list[str]


class SearchTold(BaseModel):
    query: str
    results: list[HitTold]
    generation: int
    pending: int = Field(description="Files changed on disk that the index has not seen yet.")
    note: str


class SymbolTold(BaseModel):
    name: str
    qualified: str
    kind: str
    path: str
    start_line: int
    end_line: int
    signature: str
    doc: str


class SymbolsTold(BaseModel):
    symbols: list[SymbolTold]
    nearest: list[str] = Field(description="Names that may have been meant, where there is no such definition.")


class IndexTold(BaseModel):
    root: str
    generation: int
    files: int
    chunks: int
    pending: int
    age: float | None


class ReportTold(BaseModel):
    root: str
    files: int
    chunks: int
    added: int
    changed: int
    removed: int
    fell_back: dict[str, int]
    skipped: dict[str, int]
    seconds: float
    generation: int
    rebuilt: str
    pending: int
    unembedded: int
    note: str


class ModelTold(BaseModel):
    """``context_window``: tokens; ``size``: bytes; 0: unknown."""

    name: str
    engine: str
    family: str
    context_window: int
    capabilities: list[str]
    fim: dict[str, JsonValue] | None
    quantization: str
    parameters: int
    size: int
    sha256: str
    parent: str


class DownTold(BaseModel):
    detail: str
    remedy: str


class ModelsTold(BaseModel):
    models: list[ModelTold]
    aliases: dict[str, str]
    down: dict[str, DownTold]


class PulledTold(BaseModel):
    source: str


class VectorsTold(BaseModel):
    model: str
    vectors: list[list[float]]


class SettingTold(BaseModel):
    value: JsonValue
    layer: str
    file: str | None
    line: int | None
    variable: str | None


class ChangedTold(BaseModel):
    changed: list[str]
    file: str
    hidden: dict[str, str] = Field(description="Keys whose new value does not count: what goes before it.")


class EngineTold(BaseModel):
    state: Literal["ready", "loading", "idle", "down"]
    detail: str
    remedy: str
    latency: float
    loaded: list[str]
    busy: int


class IndexHealth(BaseModel):
    generation: int | None = None
    files: int | None = None
    chunks: int | None = None
    pending: int | None = None
    age: float | None = None
    error: Problem | None


class DiskTold(BaseModel):
    free: int
    total: int


class HealthTold(BaseModel):
    status: Literal["ok", "degraded"]
    version: str
    engines: dict[str, EngineTold]
    index: IndexHealth
    disk: DiskTold


class RunningTold(BaseModel):
    id: str
    route: str
    key: str
    engine: str
    model: str
    seconds: float


class RequestsTold(BaseModel):
    requests: list[RunningTold]
