"""Six coding agents, fourteen ways in which small models get a tool call wrong: how often is the file written (``-m benchmarks clients``)?

A cell is a turn of a real client against ``fireside serve`` with a scripted model. Clients are installed as for ``make test-clients``.
"""

import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.table import Figure, show

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.agents import AGENTS, Agent, Turn, call_of, take_turn
from support.client_page import Section, sections
from support.clients import installed, node
from support.toolcall_cases.faults import as_call, as_text

BAR = 80
AT_ONCE = 2


def main() -> None:
    page = sections()
    node()
    for agent in AGENTS:
        installed(agent.client)
    cells = [(agent, fault) for agent in AGENTS for fault in _faults(agent, Path("/"))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        turns = list(pool.map(lambda cell: _cell(*cell, page[cell[0].section]), cells))
    survived = {cell: turn.succeeded for cell, turn in zip(cells, turns, strict=True)}
    for (agent, fault), turn in zip(cells, turns, strict=True):
        if not turn.succeeded:
            print(f"{agent}, {fault}: status {turn.status}\n{turn.said[-600:]}\n{turn.served[-600:]}", file=sys.stderr)
    _show_cells(survived)
    figure = Figure(f"turns of {len(cells)} that end with the file written", sum(survived.values()), "", BAR, False)
    show([figure])


def _faults(agent: Agent, folder: Path) -> Mapping[str, Mapping[str, object]]:
    """Fault class -> the reply of a model that means to write the file."""
    call = call_of(agent, folder)
    texts = {fault: {"text": text} for fault, text in as_text(call.name, call.arguments).items()}
    calls = {
        fault: {"tool_calls": [{"name": made.name, "arguments": made.arguments}]}
        for fault, made in as_call(call.name, call.arguments).items()
    }
    return {**texts, **calls}


def _cell(agent: Agent, fault: str, section: Section) -> Turn:
    with tempfile.TemporaryDirectory(prefix="fireside-clients-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        return take_turn(agent, section, folder, replies=[_faults(agent, folder)[fault]])


def _show_cells(survived: Mapping[tuple[Agent, str], bool]) -> None:
    print(f"| fault | {' | '.join(map(str, AGENTS))} |\n|---|{'---|' * len(AGENTS)}")
    for fault in dict.fromkeys(fault for _, fault in survived):
        print(f"| {fault} | {' | '.join('written' if survived[agent, fault] else '-' for agent in AGENTS)} |")


if __name__ == "__main__":
    main()
