"""Settings, environment variables and secrets: what is set and does not do what it seems to."""

import asyncio
from collections.abc import Iterator
from difflib import get_close_matches

from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs
from fireside.engines.endpoint import VARIABLES

OWN = frozenset(("FIRESIDE_HOME", "FIRESIDE_DEBUG", *(name for name in VARIABLES if name.startswith("FIRESIDE_"))))
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
LOOPBACK = ("localhost", "127.0.0.1", "*")


async def settings(inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject("settings")
    if inputs.problem is not None:
        return [subject.failed("config-invalid", inputs.problem)]
    file = inputs.paths.user_file
    return [subject.ok(str(file) if file.exists() else f"the defaults ({file} does not exist)")]


async def plugins(inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject("plug-ins")
    return [subject.failed("plugin-broken", error, "warning") for error in inputs.plugins]


async def variables(inputs: DoctorInputs) -> list[Diagnosis]:
    """A misspelt variable is never an error to anybody; it just does nothing."""
    subject = Subject("environment")
    found = [
        subject.warning("variable-unknown", f"{name} is set, and means nothing to Fireside", _meant(name, inputs))
        for name in sorted(inputs.environ)
        if name.startswith("FIRESIDE_") and not _means_something(name, inputs)
    ]
    found += _proxies(inputs)
    return found or [subject.ok("nothing in it is in the way")]


def _means_something(name: str, inputs: DoctorInputs) -> bool:
    # Those with two underscores are settings, and checked with the settings.
    return name in OWN | inputs.variables or name.startswith("FIRESIDE_SECRET_") or "__" in name


def _meant(name: str, inputs: DoctorInputs) -> str:
    close = get_close_matches(name, OWN | inputs.variables, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"unset {name}"


def _proxies(inputs: DoctorInputs) -> Iterator[Diagnosis]:
    lowered = {name.lower(): value for name, value in inputs.environ.items() if value}
    if not (set_ := [name for name in PROXIES if name in lowered]):
        return
    excepted = {host.strip() for host in lowered.get("no_proxy", "").split(",")}
    if not excepted & set(LOOPBACK):
        message = (
            f"{', '.join(set_)} is set and NO_PROXY leaves out localhost: other programs ask a proxy for your models"
        )
        message += " (Fireside itself uses none)"
        remedy = "export NO_PROXY=localhost,127.0.0.1,::1"
        yield Subject("environment").note("proxy-catches-localhost", message, remedy)


async def secrets(inputs: DoctorInputs) -> list[Diagnosis]:
    """A keyring may ask a bus that does not answer, so it is asked in a thread."""
    subject = Subject("secrets")
    found = []
    for engine, name in sorted(inputs.needs_secret.items()):
        origin = await asyncio.to_thread(inputs.secrets.origin, name)
        if origin is None:
            variable = inputs.secrets.variables(name)[-1]
            remedy = f"fireside config secret set {name}\nor set {variable}"
            found.append(subject.error("secret-missing", f"{engine} needs the secret {name}, which is nowhere", remedy))
        else:
            found.append(subject.ok(f"{name} for {engine}, from {origin}"))
    if not inputs.needs_secret:
        await asyncio.to_thread(inputs.secrets.origin, "doctor")
    if inputs.secrets.trouble:
        message = f"{inputs.secrets.trouble}; secrets come from environment variables alone"
        found.append(subject.note("keyring-unavailable", message, "that is enough; else install a keyring service"))
    return found or [subject.ok("none is needed")]
