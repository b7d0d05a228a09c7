"""What may leave this machine, and whether the record of what did is whole."""

import asyncio

from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs
from fireside.app.records import audit_folder
from fireside.records import audit

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


async def audit_log(inputs: DoctorInputs) -> list[Diagnosis]:
    """All of it, which may take long: 64 MB are a second."""
    folder = audit_folder(inputs.paths)
    try:
        found = await asyncio.to_thread(audit.verify, folder)
    except OSError as error:
        return [SUBJECT.error("audit-unreadable", f"the audit log cannot be read: {error}", f"check: ls -l {folder}")]
    broken = [verdict for verdict in found.values() if verdict.broken_at is not None]
    if broken:
        message = f"line {broken[0].broken_at} of {broken[0].broken_in} does not follow from the one before it: it was changed"
        return [SUBJECT.error("audit-broken", message, "compare it with a copy you have kept: fireside audit verify")]
    entries = sum(verdict.entries for verdict in found.values())
    return [SUBJECT.ok(f"the audit log is whole: {entries} entries")]


async def hosts(inputs: DoctorInputs) -> list[Diagnosis]:
    allowed = inputs.egress.settings.allow_hosts
    if not allowed:
        return [SUBJECT.ok("no outside host may be reached")]
    message = f"outside hosts that may be reached: {', '.join(allowed)}"
    return [SUBJECT.note("hosts-allowed", message, "take one back: fireside config set privacy.allow_hosts '[]'")]
