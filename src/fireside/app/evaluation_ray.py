"""Measure over a Ray cluster: each machine asks the same URL some of the cases, with the very same suites.

Cases are cut here and travel to the machines; every process there opens a house of its own for the URL. Rivals that need this machine's
files stay at home; plain copying goes along.
"""

import asyncio
import os
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fireside import __version__
from fireside.app.cluster import open_cluster
from fireside.app.evaluation import Wanted, opened
from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.evals.registry import suite
from fireside.evals.suite import Case, CaseSettings, Outcome, Report, Result, Step, Subject, attempt, result_of

# Cases that one process asks before it reports: enough that opening a house there does not count.
TRIP = 16


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a machine could not measure: an error of ours as it travels, for its context may hold what does not."""

    message: str
    remedy: str


def measure_on_ray(
    address: str,
    wanted: Wanted,
    names: Sequence[str],
    settings: CaseSettings,
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
    report: Report = lambda step: None,
    trip: int = TRIP,
) -> list[Result]:
    """One result for each suite. ``address``: see ``RayCluster``. Raises as measuring here does, and when there is no cluster."""
    if not wanted.url:
        raise Invalid("a cluster can only ask a URL", remedy="name the model's server: --url URL")
    model, egress = asyncio.run(_prepared(wanted, flags, environ))
    results: list[Result] = []
    with open_cluster(address, egress, environ).joined():
        for name in names:
            begun = time.perf_counter()
            cases = suite(name).cases(settings)
            done: dict[str, Outcome] = {}
            for outcomes in _outcomes(name, Wanted(model=model, url=wanted.url), cases, flags, trip):
                done |= {outcome.case: outcome for outcome in outcomes}
                report(Step(name, len(done), len(cases), sum(one.failed for one in done.values())))
            results.append(
                asyncio.run(_summed(name, wanted, cases, done, settings, flags, environ, time.perf_counter() - begun))
            )
    return results


async def _prepared(wanted: Wanted, flags: Mapping[str, object] | None, environ: Mapping[str, str]) -> tuple[str, Any]:
    """The model that is measured, so that all machines mean the same one, and the guard that a connection must pass."""
    async with opened(wanted, flags=flags, environ=environ) as bench:
        return bench.model.rpartition("@")[0], bench.fireside.transport.egress


async def _summed(
    name: str,
    wanted: Wanted,
    cases: Sequence[Case],
    done: Mapping[str, Outcome],
    settings: CaseSettings,
    flags: Mapping[str, object] | None,
    environ: Mapping[str, str],
    seconds: float,
) -> Result:
    async with opened(wanted, flags=flags, environ=environ) as bench:
        subject = await bench.subject(name)
        return await result_of(
            suite(name), subject, cases, done, seed=settings.seed, seconds=seconds, settings={"on": "a Ray cluster"}
        )


def _outcomes(
    name: str, wanted: Wanted, cases: Sequence[Case], flags: Mapping[str, object] | None, trip: int
) -> Iterator[list[Outcome]]:
    """The outcomes of each trip, as they come back. What a machine that dies had in hand, Ray gives to another one."""
    ray = import_module("ray")
    remote = ray.remote(asked)
    parts = [pickle.dumps(list(cases[at : at + trip])) for at in range(0, len(cases), trip)]
    waiting = [remote.remote(__version__, name, wanted, part, dict(flags or {})) for part in parts]
    try:
        while waiting:
            ready, waiting = ray.wait(waiting, num_returns=1)
            for made in ray.get(ready):
                found = pickle.loads(made)
                if isinstance(found, Refused):
                    raise Invalid(found.message, remedy=found.remedy)
                yield found
    except ray.exceptions.RayError as error:
        told = " ".join(str(error).split())[:200]
        raise ConnectionFailed(
            f"the cluster broke off: {told}", remedy="measure without it: leave --ray out"
        ) from error


def asked(version: str, name: str, wanted: Wanted, part: bytes, flags: Mapping[str, object]) -> bytes:
    """What runs on a machine of the cluster: pickled cases -> pickled outcomes, or why there are none."""
    if version != __version__:
        return pickle.dumps(Refused(f"a machine of the cluster has Fireside {__version__}", "install the same version"))
    try:
        return pickle.dumps(asyncio.run(_asked(name, wanted, pickle.loads(part), flags)))
    except FiresideError as error:
        return pickle.dumps(Refused(error.message, error.remedy))


async def _asked(name: str, wanted: Wanted, cases: Sequence[Case], flags: Mapping[str, object]) -> list[Outcome]:
    async with opened(wanted, flags=flags) as bench:
        subject: Subject = await bench.subject(name)
        made = suite(name)
        return [(await attempt(made, case, subject))[0] for case in cases]
