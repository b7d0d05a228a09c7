"""What the user may choose about turns. A file of its own, because every command reads the settings and few make a turn."""

from typing import Annotated

import msgspec


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``excerpts``: how many places of the project are shown to the model at most. ``answer_tokens``: the longest answer.

    ``prompt_tokens``: the longest prompt in tokens, whatever the model's window is: small models lose their way in long ones.
    ``redact_secrets``: what looks like a key in a file is kept out of prompts.
    """

    excerpts: Annotated[int, msgspec.Meta(ge=0, le=50)] = 8
    answer_tokens: Annotated[int, msgspec.Meta(ge=16)] = 1024
    prompt_tokens: Annotated[int, msgspec.Meta(ge=512)] = 8192
    redact_secrets: bool = True
