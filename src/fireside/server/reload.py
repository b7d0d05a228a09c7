"""Settings that change while the server runs: who is told of them, and which have to wait for the next start.

What changes them is the config's affair: a file that was edited, SIGHUP, or our own API. An invalid file leaves the old values in force.
"""

import logging
from collections.abc import Callable

from fireside.app.fireside import Fireside
from fireside.core.errors import FiresideError
from fireside.server.app import App
from fireside.server.gates import Gates

log = logging.getLogger("fireside.server")
LOOK_SECONDS = 1.0
# Opened once, when the server starts.
FIXED = (
    *("server.host", "server.port", "server.workers", "server.redis", "server.log_format", "server.traces_endpoint"),
    *("server.traces_ratio", "records.database", "records.usage", "audit.file_mb"),
)


class Reload:
    """Hands changed settings on. Engines and models are ``Fireside.obey``'s."""

    def __init__(self, fireside: Fireside, app: App, gates: Gates) -> None:
        self._fireside, self._app, self._gates = fireside, app, gates
        self._unwatch: Callable[[], None] = lambda: None
        self._refused = ""

    def open(self) -> None:
        self._unwatch = self._fireside.config.watch(self.obey)

    def close(self) -> None:
        self._unwatch()

    def now(self) -> None:
        """Read the files again, changed or not, and say what came of it."""
        self._refused = ""
        try:
            changed = self._fireside.config.reload()
        except FiresideError as error:
            self.refuse(error)
        else:
            if not changed:
                log.info("settings read anew: nothing changed")

    async def follow(self) -> None:
        """Look for changed files until cancelled."""
        await self._fireside.follow(LOOK_SECONDS, self.refuse)

    def refuse(self, error: FiresideError) -> None:
        """Say once what is wrong with a file."""
        if error.message != self._refused:
            self._refused = error.message
            log.error("the settings stay as they were: %s; try: %s", error.message, error.remedy)

    def obey(self, changed: frozenset[str]) -> None:
        settings = self._fireside.config.settings
        self._refused = ""
        try:
            self._app.configure(settings.server)
        except FiresideError as error:
            self.refuse(error)
            return
        self._gates.configure(settings.server, settings.audit)
        self._gates.records.audit.note("config_changed", keys=", ".join(sorted(changed)))
        log.info("settings changed: %s", ", ".join(told(changed)))
        later = sorted(key for key in changed if key.startswith(FIXED))
        if later:
            log.warning("%s: in force from the next start on", ", ".join(later))


def told(changed: frozenset[str]) -> list[str]:
    """The names of what changed; an engine that came or went is one name, and not one for each of its settings."""
    whole = {key.removesuffix(".kind") for key in changed if key.startswith("engines.") and key.endswith(".kind")}
    parts = {key for key in changed if key.rpartition(".")[0] not in whole}
    return sorted(whole | {key for key in parts if not any(other.startswith(f"{key}.") for other in parts)})
