"""A Modelfile, so that Ollama serves what was made here. Knows Ollama's words (docs.ollama.com/modelfile); asks no server."""

import json
from pathlib import Path

from fireside.models.card import FimTokens
from fireside.models.gguf import Header, card, read_header
from fireside.models.prompting import fim_stops

CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def modelfile(model: Path, *, folder: Path, adapter: Path | None = None) -> str:
    """The text of a Modelfile that lies in ``folder``. Files in it are told by name, others by their whole path."""
    header = read_header(model)
    found = card(model, engine="embedded")
    lines = [f"FROM {_place(model, folder)}"]
    lines += [f"ADAPTER {_place(adapter, folder)}"] if adapter else []
    template = _template(header, found.fim)
    lines += [f'TEMPLATE """{template}"""'] if template else []
    lines += [f"PARAMETER num_ctx {found.context_window}"] if found.context_window else []
    lines += [
        f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in (fim_stops(found.fim) if found.fim else ())
    ]
    licence = header.text("general.license")
    lines += [f'LICENSE """{licence}"""'] if licence else []
    return "\n".join(lines) + "\n"


def how_to_push(name: str) -> str:
    """The two commands that bring it to an Ollama server and to a registry."""
    return f"ollama create YOU/{name} -f Modelfile && ollama push YOU/{name}"


def _place(path: Path, folder: Path) -> str:
    return f"./{path.name}" if path.absolute().parent == folder.absolute() else str(path.absolute())


def _template(header: Header, fim: FimTokens | None) -> str:
    """Ollama's template: between a prefix and a suffix, as a chat, or as it comes."""
    chat = "<|im_start|>" in header.text("tokenizer.chat_template")
    rest = CHATML if chat else "{{ .Prompt }}"
    if fim is None:
        return rest if chat or not header.text("tokenizer.chat_template") else ""
    if header.text("fireside.fim_order") == "joined":
        between = f"{fim.prefix}{fim.suffix}{{{{ .Suffix }}}}{fim.middle}{{{{ .Prompt }}}}"
    elif fim.order == "spm":
        between = f"{fim.suffix}{{{{ .Suffix }}}}{fim.prefix}{{{{ .Prompt }}}}{fim.middle}"
    else:
        between = f"{fim.prefix}{{{{ .Prompt }}}}{fim.suffix}{{{{ .Suffix }}}}{fim.middle}"
    return f"{{{{- if .Suffix }}}}{between}{{{{ else }}}}{rest}{{{{ end }}}}"
