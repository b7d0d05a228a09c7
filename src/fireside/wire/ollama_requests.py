"""What Ollama's clients ask a server that answers: chats, completions and embeddings, into our requests.

Knows which fields matter; everything else (``num_ctx``, ``truncate`` of a chat, ``shift``, sizes of pictures, fields of tomorrow) is
ignored, never refused: a prompt is never cut here without a word, so there is nothing to switch off. Knows nothing of HTTP. Source: the
``api`` package of Ollama's 0.33 line.
"""

import binascii
from dataclasses import dataclass

from fireside.core.errors import Invalid
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.wire.contents import read_content, read_data_url
from fireside.wire.conversation import Conversation
from fireside.wire.fields import Fields, read_flag, read_list, read_object, read_text, read_whole, wrong
from fireside.wire.ollama_history import read_context
from fireside.wire.ollama_options import read_format, read_keep_alive, read_sampling, read_think
from fireside.wire.ollama_words import MISSING_MODEL, exactly
from fireside.wire.openai import media_type
from fireside.wire.tool_offers import read_arguments, read_tools

RAW_ONLY = "raw mode does not support template, system, or context"
UNANSWERED = ("", "")


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """``model``: as the client wrote it. No messages: the model is to be loaded, or with ``keep_alive`` 0 unloaded.

    ``request.reasoning`` is ``None`` where the client said nothing of thinking.
    """

    request: ChatRequest
    model: str

    @property
    def only_loads(self) -> bool:
        return not self.request.messages

    @property
    def unloads(self) -> bool:
        return self.only_loads and self.request.keep_alive == 0


@dataclass(frozen=True, slots=True)
class GenerateAsked(ChatAsked):
    """A prompt. ``request``: it as a conversation. ``suffix``: code that follows what is wanted. ``raw``: no template is to be used."""

    prompt: str = ""
    suffix: str = ""
    raw: bool = False

    @property
    def only_loads(self) -> bool:
        return not self.prompt and not self.suffix and not self.request.messages[-1].images

    def completion(self, limit: int) -> CompletionRequest:
        """The prompt as text to go on with, or to fill in before ``suffix``. ``limit``: tokens, where the client named none."""
        chat = self.request
        return CompletionRequest(
            self.prompt,
            "" if self.raw else self.suffix,
            model=chat.model,
            max_tokens=chat.sampling.max_tokens or limit,
            raw=self.raw or not self.suffix,
            sampling=chat.sampling,
            stream=chat.stream,
            keep_alive=chat.keep_alive,
        )


@dataclass(frozen=True, slots=True)
class EmbedAsked:
    """``truncate``: a text that is too long is cut, else refused. ``dimensions``: numbers wanted of each vector; ``None`` for all."""

    texts: tuple[str, ...]
    model: str
    truncate: bool = True
    dimensions: int | None = None


def read_chat(body: object) -> ChatAsked:
    """The body of ``/api/chat``. Raises ``Invalid`` with the place of what is wrong as ``param``."""
    fields = read_object(body)
    model = read_model(fields)
    tools, choice = read_tools(fields)
    request = ChatRequest(
        read_messages(fields.get("messages")),
        model=model,
        tools=tools,
        tool_choice=choice,
        sampling=read_sampling(fields),
        response_format=read_format(fields.get("format")),
        reasoning=read_think(fields.get("think")),
        stream=read_flag(fields, "stream", default=True),
        keep_alive=read_keep_alive(fields.get("keep_alive")),
    )
    return ChatAsked(request, model)


def read_generate(body: object) -> GenerateAsked:
    """The body of ``/api/generate``. A ``template`` is ignored: the model's own is used."""
    fields = read_object(body)
    model, prompt, raw = read_model(fields), read_text(fields, "prompt"), read_flag(fields, "raw")
    system, template = read_text(fields, "system"), read_text(fields, "template")
    context = read_list(fields.get("context"), "context")
    if raw and (system or template or context):
        raise exactly(RAW_ONLY)
    conversation = Conversation()
    conversation.instruct(system)
    for message in read_context(context):
        _repeat(message, conversation, instructed=bool(system))
    conversation.ask(prompt, _images(fields.get("images"), "images"))
    request = ChatRequest(
        conversation.messages(),
        model=model,
        sampling=read_sampling(fields),
        response_format=read_format(fields.get("format")),
        reasoning=read_think(fields.get("think")),
        stream=read_flag(fields, "stream", default=True),
        keep_alive=read_keep_alive(fields.get("keep_alive")),
    )
    return GenerateAsked(request, model, prompt, read_text(fields, "suffix"), raw)


def read_embed(body: object) -> EmbedAsked:
    """The body of ``/api/embed``."""
    fields = read_object(body)
    given = fields.get("input")
    texts = [given] if isinstance(given, str) and given else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise exactly("invalid input type")
    return EmbedAsked(
        tuple(texts),
        read_model(fields),
        read_flag(fields, "truncate", default=True),
        read_whole(fields, "dimensions", least=0) or None,
    )


def read_old_embeddings(body: object) -> EmbedAsked:
    """The body of ``/api/embeddings``: one text, or none."""
    fields = read_object(body)
    prompt = read_text(fields, "prompt")
    return EmbedAsked((prompt,) if prompt else (), read_model(fields))


def read_model(fields: Fields, *names: str) -> str:
    """The model's name: under ``model``, or under ``name`` as older clients have it where ``names`` say so."""
    for name in names or ("model",):
        if model := read_text(fields, name):
            return model
    raise exactly(MISSING_MODEL)


def read_messages(given: object) -> tuple[Message, ...]:
    """``messages`` of a chat; see ``Conversation`` for what becomes of their order. Thoughts of earlier turns are left out."""
    conversation = Conversation()
    waiting: list[tuple[str, str]] = []
    count = 0
    for place, message in enumerate(read_list(given, "messages")):
        if not isinstance(message, dict):
            raise wrong(f"messages[{place}]", "expected a JSON object")
        role, content = message.get("role"), message.get("content")
        text, images = (content, ()) if type(content) is str else read_content(content, f"messages[{place}].content")
        if message.get("images"):
            images += _images(message["images"], f"messages[{place}].images")
        if role == "user":
            conversation.ask(text, images)
        elif role == "assistant":
            conversation.reply(text)
            for call in read_list(message.get("tool_calls"), f"messages[{place}].tool_calls"):
                count += 1
                waiting.append(_read_call(call, f"messages[{place}].tool_calls", conversation, number=count))
        elif role in ("system", "developer"):
            conversation.instruct(text)
        elif role == "tool":
            conversation.answer(text, images, id=_answered(message, f"messages[{place}]", waiting))
        else:
            raise wrong(f"messages[{place}].role", "expected system, user, assistant or tool")
    return conversation.messages()


def _read_call(given: object, param: str, conversation: Conversation, *, number: int) -> tuple[str, str]:
    """Says the call; its id and name. A call without an id is known by its place."""
    call = read_object(given, param)
    function = read_object(call.get("function"), f"{param}.function")
    name = read_text(function, "name", within=f"{param}.function")
    if not name:
        raise wrong(f"{param}.function.name", "expected the name of a tool")
    id = read_text(call, "id", within=param) or f"call_{number}"
    conversation.call(name, read_arguments(function.get("arguments"), f"{param}.function.arguments"), id=id)
    return id, name


def _answered(message: Fields, param: str, waiting: list[tuple[str, str]]) -> str:
    """The id of the call a tool's message answers: as it says, else the first that waits for a tool of that name, else the first."""
    id = read_text(message, "tool_call_id", within=param)
    name = read_text(message, "tool_name", within=param) or read_text(message, "name", within=param)
    if id:
        found = next((call for call in waiting if call[0] == id), (id, ""))
    else:
        first = waiting[0] if waiting else UNANSWERED
        found = next((call for call in waiting if call[1] == name), first)
    if found in waiting:
        waiting.remove(found)
    return found[0]


def _repeat(message: Message, conversation: Conversation, *, instructed: bool) -> None:
    """A turn of the history. A new system text takes the old one's place."""
    if message.role == "user":
        conversation.ask(message.content)
    elif message.role == "assistant":
        conversation.reply(message.content)
    elif not instructed:
        conversation.instruct(message.content)


def _images(given: object, param: str) -> tuple[bytes, ...]:
    return tuple(_image(image, f"{param}[{place}]") for place, image in enumerate(read_list(given, param)))


def _image(given: object, param: str) -> bytes:
    if not isinstance(given, str):
        raise wrong(param, "expected a picture in base64")
    if given[:5] == "data:":
        return read_data_url(given, param)
    try:
        image = binascii.a2b_base64(given)
        media_type(image)
    except ValueError as error:
        raise wrong(param, "this is not base64") from error
    except Invalid as error:
        raise wrong(param, error.message, error.remedy) from error
    return image
