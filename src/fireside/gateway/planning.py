"""From the name in a request to the plan that answers it: experiments first, then what is listed, then the router.

Looks once more where nothing is found, for a model may have come a moment ago.
"""

from fireside.gateway import signals
from fireside.gateway.attempts import Call
from fireside.gateway.catalog import Catalog
from fireside.gateway.experiments import Experiments
from fireside.gateway.plans import Plan, Request, Wanted
from fireside.gateway.router import Router


class Planning:
    """``router``: the one that knows the settings now in force; it is replaced when they change."""

    def __init__(self, router: Router, *, catalog: Catalog, experiments: Experiments) -> None:
        self.router = router
        self._catalog = catalog
        self._experiments = experiments

    async def plan(self, wanted: Wanted, request: Request | None = None, *, call: Call | None = None) -> Plan:
        """Who may answer, at least one. ``call``: hears of it. Raises what is wrong when nobody may."""
        plan = await self.look_up(wanted, request, call=call)
        if plan.error is not None:
            raise plan.error.with_traceback(None)
        if call is not None:
            for skipped in plan.skipped:
                call.say(signals.FellBack(call.number, skipped.label, plan.candidates[0].label, skipped.error))
        return plan

    async def look_up(self, wanted: Wanted, request: Request | None = None, *, call: Call | None = None) -> Plan:
        """As ``plan``; nobody is an answer too."""
        instead = self._assigned(wanted, request, call)
        listing = self._catalog.current()
        if listing is None:
            listing = await self._catalog.listing(needed=self.router.needed(wanted.model, instead))
        plan = self.router.plan(wanted, listing, request, instead=instead)
        if plan.candidates:
            return plan
        # Perhaps it came a moment ago: pulled by another program, or the engine has just been started.
        return self.router.plan(wanted, await self._catalog.recheck(), request, instead=instead)

    def _assigned(self, wanted: Wanted, request: Request | None, call: Call | None) -> tuple[str, ...]:
        """The models an experiment asks instead of the one that is named."""
        if wanted.role == "embed":
            return ()
        assigned = self._experiments.assigned(wanted.model, request)
        if assigned is None:
            return ()
        if call is not None:
            self._experiments.follow(call.number, assigned)
            call.say(signals.Assigned(call.number, assigned.experiment, assigned.arm))
        return assigned.models
