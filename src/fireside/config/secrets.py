"""Secrets by name: from the environment, else from the operating system's keyring, never from a file.

Knows where a secret is kept, not what it opens. A value leaves only through ``get`` and ``Secret.reveal``.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from fireside.config.notation import MASK
from fireside.core.errors import Invalid, NotPermitted

SERVICE = "fireside"
PREFIX = "FIRESIDE_SECRET_"
NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Secret:
    """A value that does not show itself: ``str`` and ``repr`` are ``***``. ``origin``: a variable's name, or ``keyring``."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self.origin = origin

    def __repr__(self) -> str:
        return MASK

    def reveal(self) -> str:
        return self._value


class Secrets:
    """``known``: the variable a name has elsewhere (``openai``: ``OPENAI_API_KEY``); ``FIRESIDE_SECRET_<NAME>`` goes before it.

    ``trouble``: why the keyring did not answer the last time it was asked, "" when it did.
    """

    def __init__(self, environ: Mapping[str, str], known: Mapping[str, str] = MappingProxyType({})) -> None:
        self._environ = environ
        self._known = known
        self.trouble = ""

    def find(self, name: str) -> Secret | None:
        """The secret and where it is. A keyring that is missing or locked holds none."""
        for variable in self.variables(name):
            if value := self._environ.get(variable, "").strip():
                return Secret(value, variable)
        kept = self._from_keyring(name)
        return Secret(kept, "keyring") if kept else None

    def get(self, name: str) -> str | None:
        """The secret itself, for the request that needs it."""
        found = self.find(name)
        return found.reveal() if found else None

    def origin(self, name: str) -> str | None:
        """The variable a secret comes from, or ``keyring``; ``None`` where there is none."""
        found = self.find(name)
        return found.origin if found else None

    def variables(self, name: str) -> list[str]:
        """The variables looked at for a name, in their order. Raises ``Invalid`` for what is not a name."""
        if not NAME.fullmatch(name):
            # The text itself may be the secret, given in the wrong place: it is not repeated.
            raise Invalid(
                "that is not the name of a secret: small letters, digits, - and _",
                remedy="fireside config secret set openai  (the value is asked for afterwards)",
            )
        own = PREFIX + name.upper().replace("-", "_")
        return [own, self._known[name]] if name in self._known else [own]

    def names(self) -> list[str]:
        """The names known beforehand and those that are in the environment; a keyring cannot be asked for all of its own."""
        own = [variable.removeprefix(PREFIX).lower() for variable in self._environ if variable.startswith(PREFIX)]
        return sorted({*self._known, *filter(NAME.fullmatch, own)})

    def set(self, name: str, value: str) -> None:
        """Keep a secret in the keyring. Raises ``Invalid`` for an empty one, ``NotPermitted`` where the keyring does not take it."""
        variables = self.variables(name)
        if not value.strip():
            raise Invalid(f"the secret {name} is empty", remedy=f"fireside config secret set {name}")
        import keyring

        try:
            keyring.set_password(SERVICE, name, value.strip())
            kept = keyring.get_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001  keyring's back-ends are plug-ins and raise errors of their own (D-Bus, ctypes)
            raise NotPermitted(
                f"the keyring did not take it: {_reason(error)}", remedy=f"set the variable {variables[0]} instead"
            ) from None
        # keyring's "null" back-end takes everything and keeps nothing.
        if kept != value.strip():
            raise NotPermitted("this system's keyring keeps nothing", remedy=f"set the variable {variables[0]} instead")

    def delete(self, name: str) -> None:
        """Take a secret out of the keyring. Raises ``Invalid`` where it has none of that name."""
        variables = self.variables(name)
        if self._from_keyring(name) is None:
            why = f" ({self.trouble})" if self.trouble else ""
            held = next((variable for variable in variables if self._environ.get(variable)), "")
            remedy = f"it comes from the environment: unset {held}" if held else "fireside config secret list"
            raise Invalid(f"the keyring has no secret {name}{why}", remedy=remedy)
        import keyring

        try:
            keyring.delete_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001  see set
            raise NotPermitted(f"the keyring did not delete {name}: {_reason(error)}", remedy="unlock it") from None

    def _from_keyring(self, name: str) -> str | None:
        import keyring

        try:
            value = keyring.get_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001  see set; without a keyring the environment still works
            self.trouble = f"keyring: {_reason(error)}"
            return None
        self.trouble = ""
        return value


def mask(value: str) -> str:
    """What may be shown of a secret: how long it is, which tells a cut-off paste from a whole one."""
    return f"{MASK} ({len(value)} characters)"


def _reason(error: Exception) -> str:
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, NoKeyringError):
        return "this system has none"
    if isinstance(error, KeyringLocked):
        return "it is locked"
    # Not the error's own text: a back-end may quote what it was given.
    return type(error).__name__
