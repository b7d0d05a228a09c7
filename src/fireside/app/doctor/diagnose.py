"""Run all checks at once and tell their findings in a steady order. A check that hangs or breaks is itself a finding."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from fireside.app.doctor import configuration, knowledge, machine, models, ollama, privacy
from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs
from fireside.core.errors import FiresideError

Check = Callable[[DoctorInputs], Awaitable[Sequence[Diagnosis]]]

SECONDS = 2.5
DEEP_SECONDS = 300.0
CHECKS: tuple[tuple[str, Check], ...] = (
    ("Python", machine.python),
    ("processor", machine.processor),
    ("memory", machine.memory),
    ("disk", machine.disk),
    ("folders", machine.folders),
    ("settings", configuration.settings),
    ("environment", configuration.variables),
    ("secrets", configuration.secrets),
    ("plug-ins", configuration.plugins),
    ("privacy", privacy.hosts),
    ("privacy", privacy.ledger),
    ("index", knowledge.index),
    ("model files", models.files),
    ("embedded engine", machine.embedded),
    ("running engines", machine.runtime),
    ("engines", models.engines),
    ("Ollama", ollama.servers),
    ("models", models.offered),
)
DEEP: tuple[tuple[str, Check], ...] = (
    ("privacy", privacy.audit_log),
    ("model hashes", models.hashes),
    ("self-test", machine.self_test),
    ("Ollama", ollama.answers),
)


async def diagnose(inputs: DoctorInputs, *, deep: bool = False, seconds: float = SECONDS) -> AsyncIterator[Diagnosis]:
    """Each finding as soon as those before it are known. ``seconds``: what one check may take.

    ``deep``: also read every model file, and have models generate; that may take minutes.
    """
    tasks = [asyncio.create_task(_run(name, check, inputs, seconds)) for name, check in CHECKS]
    try:
        for task in tasks:
            for diagnosis in await task:
                yield diagnosis
        # One after the other: each is after the whole machine.
        for name, check in DEEP if deep else ():
            for diagnosis in await _run(name, check, inputs, DEEP_SECONDS):
                yield diagnosis
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(name: str, check: Check, inputs: DoctorInputs, seconds: float) -> Sequence[Diagnosis]:
    subject = Subject(name)
    try:
        async with asyncio.timeout(seconds):
            return await check(inputs)
    except TimeoutError:
        message = f"not known after {seconds:g} seconds"
        return [subject.warning("check-too-slow", message, "run it again; if it stays so, the disk or network is slow")]
    except FiresideError as error:
        return [subject.failed("check-failed", error)]
    except Exception as error:  # noqa: BLE001  the doctor must not fall ill of what it looks at
        message = f"could not be looked at: {type(error).__name__}: {' '.join(str(error).split())}"
        return [subject.error("check-failed", message, "please report this: fireside --debug doctor")]
