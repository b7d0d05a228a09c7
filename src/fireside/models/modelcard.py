"""A model's story: where it comes from, what it learnt from, what it is worth. Kept beside it as data and as a page to read.

Model cards: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019; the head is what the Hugging Face hub reads. Knows no file.
"""

import time
from collections.abc import Iterator, Mapping

import msgspec

FORMAT = 1


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One score. ``low``, ``high``: its 95 % interval; ``n``: cases. ``who``: empty = the model, else who was measured beside it."""

    suite: str
    name: str
    value: float
    low: float
    high: float
    n: int
    unit: str = ""
    who: str = ""


class ModelStory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``sha256``: of the contents it is about. ``parent``: the model it is to replace; ``base``: what an adapter is laid over.

    ``data``: a digest of what it was trained on; ``documents``, ``bytes``: how much; ``licences``: SPDX expression -> files, an empty one =
    unknown. ``figures``: measured; ``facts``: of the stages, by name; ``recipe``: their settings; ``manifests``: stage -> fingerprint.
    ``notes``: what a reader should know. ``made``: seconds since 1970.
    """

    name: str = ""
    sha256: str = ""
    about: str = ""
    licence: str = ""
    parent: str = ""
    base: str = ""
    data: str = ""
    documents: int = 0
    bytes: int = 0
    licences: dict[str, int] = {}
    figures: tuple[Figure, ...] = ()
    facts: dict[str, dict[str, float | str | bool]] = {}
    recipe: dict[str, dict[str, object]] = {}
    seed: int = 0
    versions: dict[str, str] = {}
    manifests: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    made: float = 0.0
    format: int = FORMAT


def as_markdown(story: ModelStory) -> str:
    """The card as a page, with the head the hub reads."""
    parts = [_head(story), f"# {story.name}", story.about]
    parts += ["\n".join(f"- {note}" for note in story.notes)] if story.notes else []
    parts += [_section("Where it comes from", _origin(story)), _section("Training data", _data(story))]
    parts += [_section("Measured", _figures(story)), _section("Training", _stages(story))]
    parts += [_section("To make it again", _again(story))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(story: ModelStory) -> str:
    lines = ["---", f"license: {story.licence.lower()}" if story.licence else ""]
    lines += [f"base_model: {_word(story.base)}" if story.base else "", "library_name: gguf", "tags: [fireside, code]"]
    return "\n".join(line for line in [*lines, "---"] if line)


def _origin(story: ModelStory) -> Iterator[str]:
    told = {
        "made": time.strftime("%Y-%m-%d", time.gmtime(story.made)) if story.made else "",
        "an adapter over": story.base,
        "parent": story.parent,
        "licence": story.licence,
        "sha256": story.sha256,
    }
    yield from (f"- {key}: {value}" for key, value in told.items() if value)


def _data(story: ModelStory) -> Iterator[str]:
    if story.documents:
        yield f"- {story.documents:,} rows, {story.bytes:,} bytes of text"
    if story.data:
        yield f"- digest of the shards: `{story.data}`"
    if story.licences:
        yield "\n| licence | files |\n|---|---|"
        ordered = sorted(story.licences.items(), key=lambda entry: (-entry[1], entry[0]))
        yield from (f"| {licence or 'unknown'} | {count:,} |" for licence, count in ordered)


def _figures(story: ModelStory) -> Iterator[str]:
    if story.figures:
        yield "With 95 % intervals; n is the number of cases.\n\n| suite | who | what | value | interval | n |\n|---|---|---|---|---|---|"
    for one in story.figures:
        unit = f" {one.unit}" if one.unit else ""
        who = one.who or "this model"
        yield f"| {one.suite} | {who} | {one.name} | {one.value:.4g}{unit} | {one.low:.4g} to {one.high:.4g} | {one.n} |"


def _stages(story: ModelStory) -> Iterator[str]:
    for stage, facts in story.facts.items():
        told = ", ".join(f"{key} {_plain(value)}" for key, value in facts.items())
        if told:
            yield f"- **{stage}**: {told}"


def _again(story: ModelStory) -> Iterator[str]:
    if story.recipe:
        yield f"Seed {story.seed}. The settings of each stage:\n\n```json"
        yield msgspec.json.format(msgspec.json.encode(story.recipe)).decode()
        yield "```"
    if story.versions:
        yield "\nVersions: " + ", ".join(f"{name} {version}" for name, version in story.versions.items()) + "."
    if story.manifests:
        yield "\nFingerprints: " + ", ".join(f"{name} `{value}`" for name, value in story.manifests.items()) + "."


def _section(title: str, lines: Iterator[str]) -> str:
    found = "\n".join(lines)
    return f"## {title}\n\n{found}" if found else ""


def _plain(value: float | str | bool) -> str:
    if isinstance(value, bool | str):
        return str(value)
    # A whole number comes back from JSON as one with a point.
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"


def _word(text: str) -> str:
    return msgspec.json.encode(text).decode()


def scalars(facts: Mapping[str, object]) -> dict[str, float | str | bool]:
    """Of what a stage counted, what fits on a line."""
    return {key: value for key, value in facts.items() if isinstance(value, int | float | str | bool) and value != ""}
