"""What a message says, as OpenAI's JSON has it: a text, or parts of text and pictures. Knows no socket: nothing is ever fetched.

What would silently be lost though the user meant it (a picture behind an address, sound, a file) is refused with a remedy.
"""

import binascii

from fireside.core.errors import Invalid
from fireside.wire.fields import Fields, wrong
from fireside.wire.openai import media_type

# Tuples, for what is looked up in them may be any JSON, and a list has no hash.
TEXTS = ("text", "input_text", "output_text")
UNREADABLE = ("input_audio", "audio", "audio_url", "file", "input_file", "video_url", "input_video")
THOUGHTS = ("reasoning", "reasoning_text", "summary_text", "thinking")
ITSELF = "send the image itself as a data: URL"
Content = tuple[str, tuple[bytes, ...]]


def read_data_url(url: str, param: str) -> bytes:
    """The picture in a ``data:...;base64,...`` URL. ``param``: its place in the body. Raises ``Invalid`` for any other address."""
    head, comma, data = url.partition(",")
    if head[:5].lower() != "data:" or not comma:
        raise wrong(param, "images are not fetched from addresses", ITSELF)
    if not head.lower().endswith(";base64"):
        raise wrong(param, "expected a data: URL in base64", "data:image/png;base64,...")
    try:
        image = binascii.a2b_base64(data)
        media_type(image)
    except ValueError as error:
        raise wrong(param, "this is not base64") from error
    except Invalid as error:
        raise wrong(param, error.message, error.remedy) from error
    return image


def read_content(content: object, param: str) -> Content:
    """Text and pictures of a message's ``content``; parts of text are joined by line ends, as llama.cpp and vLLM do."""
    if isinstance(content, str):
        return content, ()
    if content is None:
        return "", ()
    if not isinstance(content, list):
        raise wrong(param, "expected a string or a list of parts")
    texts: list[str] = []
    images: list[bytes] = []
    for place, part in enumerate(content):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            _read_part(part, f"{param}[{place}]", texts, images)
        else:
            raise wrong(f"{param}[{place}]", "expected a JSON object")
    return (texts[0] if len(texts) == 1 else "\n".join(texts)), tuple(images)


def _read_part(part: Fields, param: str, texts: list[str], images: list[bytes]) -> None:
    kind = part.get("type")
    text = part.get("refusal" if kind == "refusal" else "text")
    if kind in ("image_url", "input_image"):
        images.append(_image(part, param))
    elif kind in UNREADABLE:
        raise wrong(param, f"a part of type {kind} cannot be read here", "send its text")
    elif isinstance(text, str):
        if kind not in THOUGHTS and text:
            texts.append(text)
    elif kind in TEXTS:
        raise wrong(f"{param}.text", "expected a string")


def _image(part: Fields, param: str) -> bytes:
    url = part.get("image_url")
    if isinstance(url, dict):
        url, param = url.get("url"), f"{param}.image_url.url"
    else:
        param = f"{param}.image_url"
    if not isinstance(url, str):
        raise wrong(param, "expected the image as a data: URL", ITSELF)
    return read_data_url(url, param)
