"""What is remembered of one request after it was answered."""

import msgspec


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Who asked for what, who answered, what it took. One is made for every request, so it is the cheapest thing there is (0.3 us).

    ``time``: when it came, seconds since 1970. ``route``: its path, for example /v1/chat/completions. ``status``: of HTTP, 499 for
    a client that had gone before there was one. ``seconds``: until its end. ``key_id``, ``key_name``: empty without a key. ``error``: the
    kind of error, empty for none. ``prompt``: kept only where the settings ask for prompts.
    """

    time: float
    route: str
    status: int
    seconds: float
    request_id: str = ""
    key_id: str = ""
    key_name: str = ""
    client: str = ""
    model: str = ""
    engine: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    error: str = ""
    prompt: str = ""
