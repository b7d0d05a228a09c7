"""One finding of the doctor."""

from dataclasses import dataclass
from typing import Literal

from fireside.core.errors import FiresideError

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``code``: for programs, never changes its meaning. ``subject``: what was looked at, a word or two.

    ``level``: ok; note (good to know); warning (works, but not as it should); error (does not work). ``remedy``: what to do, often a
    command; more than one line where there is a choice.
    """

    code: str
    level: Level
    subject: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Findings about one subject."""

    name: str

    def ok(self, message: str) -> Diagnosis:
        return Diagnosis("ok", "ok", self.name, message)

    def note(self, code: str, message: str, remedy: str) -> Diagnosis:
        return Diagnosis(code, "note", self.name, message, remedy)

    def warning(self, code: str, message: str, remedy: str) -> Diagnosis:
        return Diagnosis(code, "warning", self.name, message, remedy)

    def error(self, code: str, message: str, remedy: str) -> Diagnosis:
        return Diagnosis(code, "error", self.name, message, remedy)

    def failed(self, code: str, error: FiresideError, level: Level = "error") -> Diagnosis:
        """An error that says itself what it is and what to do."""
        return Diagnosis(code, level, self.name, error.message, error.remedy)
