"""Measure ``fireside serve`` beside other gateways, all in front of the same mock upstream, in one run: ``make bench-gateway``.

Mock and load driver share one core, each gateway has another alone. Ratios compare, absolutes depend on the machine.
"""

import argparse
import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.gateway.load import Driver
from benchmarks.gateway.peers import NAMES, Peer, started
from benchmarks.gateway.programs import GATEWAY_CORE, Missing, Programs, built, pinned
from benchmarks.gateway.report import show_bars, show_scenario, verdicts
from benchmarks.gateway.scenarios import ALL, Bench, Found, measure


def main() -> int:
    options = _options()
    try:
        with built() as programs, tempfile.TemporaryDirectory(prefix="fireside-bench-") as folder:
            results = _run(options, programs, Path(folder))
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    holds = show_bars(results)
    if options.json:
        judged = [dataclasses.asdict(verdict) for verdict in verdicts(results)]
        Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode({"results": results, "bars": judged})))
    return 0 if holds else 1


def _run(options: argparse.Namespace, programs: Programs, folder: Path) -> dict[str, Found]:
    if not pinned(GATEWAY_CORE):
        print("one core, or no taskset: nothing is pinned, figures will vary")
    results: dict[str, Found] = {}
    with contextlib.ExitStack() as running:
        peers: list[Peer] = []
        for name in options.peers:
            home = folder / name
            home.mkdir()
            try:
                peers.append(running.enter_context(started(name, programs, home, litellm=options.litellm)))
            except Missing as missing:
                print(f"without {name}: {missing}", flush=True)
        bench = Bench(
            programs,
            Driver(programs, folder),
            peers,
            seconds=options.seconds,
            rounds=options.rounds,
            requests=options.requests,
            cancelled=options.requests // 10,
            litellm=options.litellm,
        )
        for scenario in options.only:
            results[scenario] = measure(bench, scenario)
            if results[scenario]:
                show_scenario(scenario, results[scenario])
    return results


def _options() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    reader.add_argument("--only", type=_some(ALL), default=list(ALL), help=f"scenarios, with commas: {', '.join(ALL)}")
    reader.add_argument("--peers", type=_some(NAMES), default=list(NAMES), help=f"gateways: {', '.join(NAMES)}")
    reader.add_argument("--seconds", type=float, help="of one run [3; quick: 1]")
    reader.add_argument(
        "--rounds", type=int, help="runs of each gateway in turn, of which the best counts [3; quick: 2]"
    )
    reader.add_argument(
        "--requests", type=int, help="for memory; a tenth as many cancelled streams [200000; quick: 20000]"
    )
    reader.add_argument("--litellm", default="", help="the LiteLLM program to run, else one is installed")
    reader.add_argument("--json", help="write every figure here, too")
    reader.add_argument("--quick", action="store_true", help="shorter runs, fewer of them")
    options = reader.parse_args()
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.rounds = options.rounds or (2 if options.quick else 3)
    options.requests = options.requests or (20_000 if options.quick else 200_000)
    return options


def _some(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Reads names with commas between them, each of which must be known."""

    def read(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are: {', '.join(known)}")
        return names

    return read


if __name__ == "__main__":
    sys.exit(main())
