"""What our own API takes, as pydantic reads it and the OpenAPI document tells it. Fields nobody knows are ignored, as in every dialect."""

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic.config import JsonDict

from fireside.core.errors import ErrorKind
from fireside.core.messages import Message, Role, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, Reasoning, ResponseFormat, Sampling, Snippet

Visible = Annotated[str, StringConstraints(pattern=r"\S")]
# To JSON 3.0 and 3 are one number. Stands last: what stands behind it is not told in the document.
WHOLE = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
Count = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
Line = Annotated[int, Field(ge=1, le=2**31), WHOLE]
PLAIN_ROLES = frozenset(("user", "assistant"))
EITHER_OF: JsonDict = {"anyOf": [{"required": ["question"]}, {"required": ["messages"]}]}
PLACE_OR_TEXT: JsonDict = {"anyOf": [{"required": ["path", "line"]}, {"required": ["prefix"]}]}


class Asked(BaseModel):
    """The root of all requests."""

    # A client may leave a field out; to send null for it means the same.
    model_config = ConfigDict(extra="ignore", strict=True, ser_json_inf_nan="null", allow_inf_nan=False)


class CallSaid(Asked):
    id: str = ""
    name: Visible
    arguments: str = Field("{}", description="A JSON object, as text.")


class MessageSaid(Asked):
    role: Role
    content: str = ""
    tool_calls: list[CallSaid] = []
    tool_call_id: str | None = None

    def message(self) -> Message:
        calls = tuple(ToolCall(each.id, each.name, each.arguments) for each in self.tool_calls)
        return Message(self.role, self.content, calls, self.tool_call_id)


class ToolOffered(Asked):
    name: Visible
    description: str = ""
    parameters: dict[str, JsonValue] = Field({"type": "object"}, description="A JSON schema of type object.")


class SamplingAsked(Asked):
    """How tokens are drawn; what is left out is the engine's choice."""

    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000), WHOLE] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31), WHOLE] | None = None
    max_tokens: Count | None = None
    stop: list[Annotated[str, Field(min_length=1)]] = []

    def sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=self.seed,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop),
        )


class ChatAsked(SamplingAsked):
    """A question about the project, or a conversation to go on with."""

    model_config = ConfigDict(json_schema_extra=EITHER_OF)

    question: Visible = Field("", description="May name files and more: @FILE, @FILE:10-20, @NAME, @diff, @map.")
    messages: list[MessageSaid] = Field(
        [], description="The conversation; with a question, what was said before it.", min_length=1
    )
    model: Visible = Field("chat", description="An alias, a model, or MODEL@ENGINE.")
    context: bool | None = Field(
        None,
        description="Whether the project's code is looked through for the answer. Otherwise than said: yes, unless tools are offered"
        " or a message is of the system or a tool.",
    )
    tools: list[ToolOffered] = []
    tool_choice: Visible = Field("auto", description="auto, none, required, or the name of a tool.")
    response_schema: dict[str, JsonValue] | None = Field(None, description="The answer is JSON that fits this schema.")
    reasoning: Reasoning | None = None
    session: str | None = Field(None, description="Requests of one conversation share it; their prompt stays warm.")
    stream: bool = Field(True, description="As server-sent events; otherwise one JSON object.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.question and not self.messages:
            raise ValueError("there is neither a question nor a message")
        return self

    @property
    def with_context(self) -> bool:
        return self.fits_context if self.context is None else self.context

    @property
    def fits_context(self) -> bool:
        """Whether the agent could answer this: the last word is the user's, and nobody brought tools or a system prompt."""
        plain = all(message.role in PLAIN_ROLES and not message.tool_calls for message in self.messages)
        asks = bool(self.question) or self.messages[-1].role == "user"
        return plain and asks and not self.tools and self.response_schema is None

    def request(self) -> ChatRequest:
        messages = [each.message() for each in self.messages]
        if self.question:
            messages.append(Message("user", self.question))
        schema = self.response_schema
        return ChatRequest(
            tuple(messages),
            model=self.model,
            tools=tuple(ToolSpec(each.name, each.description, each.parameters) for each in self.tools),
            tool_choice=self.tool_choice,
            sampling=self.sampling(),
            response_format=None if schema is None else ResponseFormat(schema),
            reasoning=self.reasoning,
            session=self.session,
            stream=self.stream,
        )


class SnippetSaid(Asked):
    path: str
    text: str


class CompleteAsked(SamplingAsked):
    """A place in a file of the project, or the text around a cursor."""

    model_config = ConfigDict(json_schema_extra=PLACE_OR_TEXT)

    path: Visible = Field("untitled", description="In the project; with prefix, only for the file's language.")
    line: Line = Field(1, description="From 1.")
    column: Line | None = Field(None, description="From 1; without it, the line's end.")
    text: str | None = Field(None, description="What the editor holds, where the file on disk is older.")
    max_lines: Annotated[int, Field(ge=1, le=1000), WHOLE] = 1
    prefix: str = ""
    suffix: str = ""
    neighbours: list[SnippetSaid] = []
    model: Visible = "complete"
    stream: bool = False

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.placed and not {"path", "line"} <= self.model_fields_set:
            raise ValueError("there is neither a path with a line nor a prefix")
        return self

    @property
    def placed(self) -> bool:
        """At a place in a file; otherwise between two texts."""
        return "prefix" not in self.model_fields_set

    def request(self) -> CompletionRequest:
        return CompletionRequest(
            self.prefix,
            self.suffix,
            path=self.path,
            neighbours=tuple(Snippet(each.path, each.text) for each in self.neighbours),
            model=self.model,
            max_tokens=self.max_tokens or 64,
            sampling=self.sampling(),
            stream=self.stream,
        )


class SearchAsked(Asked):
    query: Visible = Field(description="A question in your words, or a name such as Class.method.")
    limit: Annotated[int, Field(ge=1, le=200), WHOLE] = 10
    lang: Visible | None = Field(None, description="Only this language, for example python or ts.")
    path: Visible | None = Field(None, description="Only these files: a folder, a name or a pattern.")
    tests: bool | None = Field(None, description="Only tests, or none; otherwise as the query asks.")


class SearchAddressed(SearchAsked):
    """The same in an address, where everything is text."""

    model_config = ConfigDict(strict=False)


class IndexAsked(Asked):
    rebuild: bool = Field(False, description="Read everything again.")
    stream: bool = Field(False, description="Progress as server-sent events; otherwise the report alone.")


class PullAsked(Asked):
    source: Visible = Field(description="A GGUF's address, or a NAME[@ENGINE] that an engine can pull.")
    name: Visible | None = Field(None, description="What to call what comes from an address.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    stream: bool = True


class EmbedAsked(Asked):
    texts: list[str] = Field(min_length=1, max_length=2048)
    model: Visible = "embed"


class ConfigAsked(Asked):
    """Changes to your own settings file, all or none."""

    set: dict[str, JsonValue] = Field({}, description="Dotted key -> value; text is read as on the command line.")
    unset: list[Visible] = Field([], description="Keys to take out, so that what lies below counts again.")


class Problem(BaseModel):
    kind: ErrorKind
    message: str
    remedy: str
    retryable: bool
    param: str | None = Field(None, description="Which part of the request it is about.")


class Refusal(BaseModel):
    """What every error looks like."""

    error: Problem
