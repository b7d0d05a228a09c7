"""What can be set of the gateway, with its defaults."""

from typing import Annotated

import msgspec

from fireside.gateway.experiments import Experiment, Promoted
from fireside.gateway.hedge import Hedge
from fireside.gateway.pace import Slow
from fireside.gateway.routes import Choice

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``routes``: a name of your own -> models to share its requests by weight, and to stand in for each other.

    ``experiments``: a name -> an alias whose requests are shared among models, and how; ``promoted``: those that were decided.

    ``order``: engine names, the preferred first; others follow in the order of the configuration, those in the cloud last.
    ``cloud``: engines in the cloud may stand in for others; without it they answer only where they are named. ``fallback``: another
    model may stand in for the one an alias names; a model named in the request itself is never replaced. ``pull_missing``: a model that
    is named but missing is pulled. ``shrink_context``: a conversation too long for its model loses its oldest turns, else it is an error.

    ``weights``: engine -> its share of the requests beside others that have the same model (1 where nothing is said).
    ``parallel``: engine -> requests at once (else what the engine says, else 2). ``typing_slots``: how many of these only typing may
    take, where others keep at least one. ``max_waiting``: requests in line per engine. ``ageing``: seconds of waiting worth one class
    (typing, chat, agent, batch).

    ``retries``: how often one engine is asked again. ``patience``: the longest "try again later" that is waited for, in seconds.
    ``breaker_failures`` in a row leave an engine alone for ``breaker_seconds``. ``hedge``: ask a second engine when the first is late;
    ``slow``: give up answers that crawl; both off unless set. ``cache_bytes``: memory for repeatable answers; 0 turns the cache off.
    """

    routes: dict[str, tuple[Choice, ...]] = {}
    experiments: dict[str, Experiment] = {}
    promoted: dict[str, Promoted] = {}
    order: tuple[str, ...] = ()
    cloud: bool = False
    fallback: bool = True
    pull_missing: bool = False
    shrink_context: bool = False
    weights: dict[str, Annotated[float, msgspec.Meta(gt=0)]] = {}
    parallel: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}
    typing_slots: Annotated[int, msgspec.Meta(ge=0)] = 1
    max_waiting: Annotated[int, msgspec.Meta(ge=0)] = 64
    ageing: Seconds = 10.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    patience: Seconds = 2.0
    breaker_failures: Annotated[int, msgspec.Meta(ge=1)] = 5
    breaker_seconds: Seconds = 10.0
    hedge: Hedge | None = None
    slow: Slow | None = None
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for name, experiment in self.experiments.items():
            if experiment.alias in seen:
                raise ValueError(
                    f"the experiments {seen[experiment.alias]} and {name} both share out {experiment.alias}"
                )
            seen[experiment.alias] = name
