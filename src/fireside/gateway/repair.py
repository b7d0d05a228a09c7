"""An answer as it was asked for: tool calls printed as text become calls, those with faults are put right, demands are held.

Ordinary text passes untouched and at once. What cannot be put right stays as it was: a call is never made up, and nothing that broke off is
completed. Knows no engine and no dialect.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fireside.core.requests import ChatRequest
from fireside.gateway.batches import Batches


@dataclass(frozen=True, slots=True)
class Repaired:
    """Something was put right. ``fault``: what was wrong (``text_json``, ``arguments_closed``, ``name``, ...)."""

    fault: str


def repaired(request: ChatRequest, batches: Batches, *, heard: Callable[[Repaired], None]) -> Batches:
    """The answer to ``request``: its calls repaired, a call or a form that was demanded checked. None of the batches is empty.

    Without tools and without a schema these are the batches themselves. Raises ``Invalid`` for an answer that misses a demand.
    """
    tools = bool(request.tools) and request.tool_choice != "none"
    form = request.response_format is not None and request.response_format.schema is not None
    if not tools and not form:
        return batches
    # Not before they are needed: whoever offers no tools should not wait for the patterns of twenty model families.
    from fireside.gateway.calls import Offered
    from fireside.gateway.demands import fitting, one_call
    from fireside.gateway.mending import mended

    if tools:
        offered = Offered(request.tools)
        bare = request.response_format is None
        batches = mended(batches, offered, bare=bare, heard=lambda fault: heard(Repaired(fault)))
        if request.tool_choice != "auto":
            return one_call(request, batches, offered)
    return fitting(request, batches) if form else batches
