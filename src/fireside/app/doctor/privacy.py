"""What may leave this machine, and whether the record of what did is whole."""

import asyncio

from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs

SUBJECT = Subject("privacy")


async def ledger(inputs: DoctorInputs) -> list[Diagnosis]:
    record = inputs.egress.ledger
    try:
        verdict = await asyncio.to_thread(record.verify)
    except OSError as error:
        message = f"the ledger {record.path} cannot be read: {error.strerror}"
        return [SUBJECT.error("ledger-unreadable", message, f"check: ls -l {record.path}")]
    if verdict.broken_at is not None:
        message = (
            f"line {verdict.broken_at} of the ledger does not follow from the one before it: it was changed by hand"
        )
        remedy = f"keep it as evidence, and begin a new one: mv {record.path} {record.path}.broken"
        return [SUBJECT.error("ledger-broken", message, remedy)]
    if verdict.torn:
        message = f"{verdict.torn} line of the ledger was cut off while being written (a crash, a full disk)"
        return [SUBJECT.note("ledger-torn", message, "nothing: the chain goes on behind it")]
    return [SUBJECT.ok(f"{verdict.entries} requests left this network so far, all recorded")]


async def hosts(inputs: DoctorInputs) -> list[Diagnosis]:
    allowed = inputs.egress.settings.allow_hosts
    if not allowed:
        return [SUBJECT.ok("no outside host may be reached")]
    message = f"outside hosts that may be reached: {', '.join(allowed)}"
    return [SUBJECT.note("hosts-allowed", message, "take one back: fireside config set privacy.allow_hosts '[]'")]
