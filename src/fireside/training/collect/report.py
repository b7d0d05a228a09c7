"""What was collected, counted: ``report.json``. Knows numbers; of a secret only the rule that found it, how often, and in which file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import Invalid
from fireside.models.disk import write_atomically
from fireside.training.collect.making import Made
from fireside.training.collect.origins import Listing, Origin
from fireside.training.rows import Row

FILE = "report.json"
MOST_FILES = 50


@dataclass(slots=True)
class Tally:
    """What came of one origin. ``bytes``: of the files that were kept."""

    origin: Origin
    files: int = 0
    bytes: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        one = self.origin
        facts = {
            "kind": one.kind,
            "name": one.name,
            "licence": one.licence,
            "commit": one.commit,
            "version": one.version,
        }
        counted = {"files": self.files, "bytes": self.bytes, "rows": dict(sorted(self.rows.items()))}
        return {key: value for key, value in facts.items() if value} | counted | {"left_out": dict(self.left_out)}


class Report:
    """Counts everything once, as it is kept or left out. ``listing``: what was left out unread is counted from the start."""

    def __init__(self, listing: Listing) -> None:
        self._origins = {one.origin: Tally(one.origin, left_out=Counter(one.left_out)) for one in listing.origins}
        self._languages: Counter[str] = Counter()
        self._licences: Counter[str] = Counter()
        self._secrets: dict[str, Counter[str]] = {}
        self._notes = listing.notes
        self.read = 0

    def left_out(self, origin: Origin, reasons: Mapping[str, int]) -> None:
        self._origins[origin].left_out.update(reasons)

    def kept(self, origin: Origin, made: Made, rows: Sequence[Row]) -> None:
        """``rows``: those of ``made`` that were written."""
        tally = self._origins[origin]
        tally.rows.update(row.kind for row in rows)
        if not made.edit:
            tally.files += 1
            tally.bytes += made.size
            self._languages[made.language] += made.size
            self._licences[made.licence or "unknown"] += 1
        for rule, count in made.secrets.items():
            self._secrets.setdefault(rule, Counter())[f"{origin.name}/{made.path}"] += count

    @property
    def rows(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for tally in self._origins.values():
            total.update(tally.rows)
        return total

    def facts(self) -> dict[str, Any]:
        """What the manifest and the model's card tell. Raises ``Invalid`` where nothing was left to train on."""
        left_out: Counter[str] = Counter()
        for tally in self._origins.values():
            left_out.update(tally.left_out)
        if not self.rows:
            why = ", ".join(f"{reason} {count}" for reason, count in left_out.most_common(3)) or "there is no file"
            raise Invalid(f"nothing is left to train on: {why}", remedy="name more repositories or packages")
        return {
            "files": sum(tally.files for tally in self._origins.values()),
            "bytes": sum(tally.bytes for tally in self._origins.values()),
            "bytes_read": self.read,
            "rows": dict(sorted(self.rows.items())),
            "languages": dict(self._languages.most_common()),
            "licences": dict(self._licences.most_common()),
            "left_out": dict(left_out.most_common()),
            "secrets": {rule: files.total() for rule, files in sorted(self._secrets.items())},
        }

    def write(self, folder: Path, shards: Mapping[str, int]) -> None:
        """``shards``: name -> rows."""
        told = self.facts() | {
            "origins": [tally.told() for tally in self._origins.values()],
            "secrets": {
                rule: {"count": files.total(), "files": dict(files.most_common(MOST_FILES))}
                for rule, files in sorted(self._secrets.items())
            },
            "shards": dict(shards),
            "notes": list(self._notes),
        }
        write_atomically(folder / FILE, orjson.dumps(told, option=orjson.OPT_INDENT_2))
