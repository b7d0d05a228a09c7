"""What of the project goes with a question: the lines that search finds, and the map where the question is about the whole.

Knows questions and the project; not how a prompt is put together. A question that refers back is looked up together with the one before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fireside.context import repomap
from fireside.context.builder import Attachment
from fireside.context.meaning import Resolved
from fireside.context.mentions import Mention, without
from fireside.context.project import Project
from fireside.context.screen import Screen
from fireside.context.spans import merged
from fireside.core.errors import FiresideError
from fireside.core.turns import Citation
from fireside.index.chunks import Hit
from fireside.index.lexical import STOP_WORDS, WORD

# Of these many more are looked up than are shown: some turn out to be shown already.
SPARE = 2
SHORT = 1
LONG = 6
MOST_TOPIC = 600
MOST_SCOPES = 3
WHOLE_TOKENS = 1024
# A question (not a greeting) whose words the project does not have, perhaps in another language: where to look at all.
LOST_TOKENS = 512
LEAST_QUESTION = 12
README_LINES = 60
MAP = "map of the project"
# What people say around a thing they have named.
AROUND = """
explain describe summarise summarize summary review check tell help understand please look read now also think right wrong correct good
change changed changes anything problem problems bug bugs mistake mistakes
"""
ASKING = frozenset(AROUND.split())
COURTEOUS = "thanks thank ok okay yes no hello hi hey great cool nice good perfect bye danke merci gracias"
COURTESY = frozenset(COURTEOUS.split())
THE_WHOLE = """
project codebase base repo repository program app application library tool architecture overview structure big picture entry point points
entrypoint entrypoints start begin work works structured organised organized laid built explain describe introduce about walk through whole
"""
WHOLE_WORDS = ASKING | frozenset(THE_WHOLE.split())
BACK = re.compile(
    r"^\W*(?:and|but|or|so|then|also|what about|how about|und|aber|et|mais|y)\b"
    r"|\b(?:it|its|they|them|their|former|latter|above|previous|instead)\b"
    r"|\b(?:that|this|these|those)(?:\W*$| (?:ones?|is|does|do|works?|means?|happens?|function|method|class|file|case|error|value)\b)"
    r"|(?<!is )(?<!are )\bthere\W*$",
    re.IGNORECASE,
)
# A question may be one name; then it says enough.
NAME = re.compile(r"[a-z0-9][A-Z]|\w_\w|\w(?:\.|::)\w")
SAME_THING = (
    r"(?:this|the|your|our|that) (?:whole |entire )?"
    r"(?:project|code ?base|repo(?:sitory)?|program|app(?:lication)?|library|code|tool)"
)
WHOLE = re.compile(
    r"\b(?:architecture|overview|big picture|entry ?points?|project structure|code ?base)\b"
    rf"|\bwhat (?:is|does) {SAME_THING}(?: do| about| for)?\W*$|\b(?:what is|what's) this\W*$"
    rf"|\b(?:explain|describe|summari[sz]e|introduce|tell me about|walk me through) {SAME_THING}\W*$"
    rf"|\bhow (?:is|does) {SAME_THING} (?:work|structured|organi[sz]ed|laid out|built)\b"
    r"|\bwhere (?:do|should|can) (?:i|we|one) (?:start|begin)\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """``hits``: best first, more than will be shown. ``topic``: what was looked up, to be handed to the next question's look-up.

    ``whole``: the project in a page, for a question about all of it or one that nothing is found for.
    """

    hits: tuple[Hit, ...] = ()
    topic: str = ""
    whole: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()


def retrieve(
    question: str, project: Project, named: Resolved, *, topic: str = "", limit: int = 8, screen: Screen | None = None
) -> Retrieved:
    """Look up ``question``. ``named``: what its mentions mean. ``topic``: of the question before, "" for the first.

    ``limit``: how many hits will be shown.

    Hits are as the files are now, without what looks like a key; a file that is gone is left out and named.
    """
    screen = screen or Screen(project.workspace)
    query = query_of(question, named, topic)
    found = _search(project, query, named.scopes, limit) if query and limit else []
    hits, gone = _as_shown(found, screen)
    whole: tuple[Attachment, ...] = ()
    if about_whole(question):
        whole = (*_map(project, screen, WHOLE_TOKENS), *_readme(project, screen))
    elif query and not (hits or named.attachments or topic) and len(question.strip()) >= LEAST_QUESTION:
        whole = _map(project, screen, LOST_TOKENS)
    notes = tuple(f"{path}: it is gone, or kept out, since it was indexed" for path in gone)
    return Retrieved(tuple(merged(hits)), topic_of(question, named.taken, topic), whole, notes)


def query_of(question: str, named: Resolved, topic: str = "") -> str:
    """What to search for: the question without its mentions; with the question before where it refers back, and "" for no search."""
    words = without(question, named.taken).strip()
    told = _telling(words)
    if named.taken:
        # "explain @a.py": what is asked about is there already; of a definition, its uses are worth seeing.
        return words if told - ASKING else " ".join(named.symbols)
    if (told and told <= COURTESY) or (about_whole(words) and told <= WHOLE_WORDS):
        return ""
    return f"{words} {topic}".strip() if refers_back(words) else words


def topic_of(question: str, mentions: Sequence[Mention], topic: str = "") -> str:
    """What a question is about, for the next one: its words, those of the one before if it refers back, and what it names."""
    words = without(question, mentions).strip()
    told = _telling(words)
    if not mentions and told and told <= COURTESY:
        return topic
    named = " ".join(mention.name for mention in mentions)
    before = topic if refers_back(words) and not mentions else ""
    return " ".join(f"{named} {words} {before}".split())[:MOST_TOPIC]


def refers_back(question: str) -> bool:
    """Whether a question is too short to be looked up alone, or points at what was said before."""
    if about_whole(question):
        return False
    words = _telling(question) - ASKING
    if len(words) <= SHORT and NAME.search(question) is None:
        return True
    return len(words) <= LONG and BACK.search(question) is not None


def about_whole(question: str) -> bool:
    """Whether a question is about the project as a whole."""
    return WHOLE.search(question[:MOST_TOPIC]) is not None


def _telling(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text[:MOST_TOPIC])} - STOP_WORDS


def _search(project: Project, query: str, scopes: Sequence[str], limit: int) -> list[Hit]:
    """The best hits of the whole project, and those inside what was named first."""
    inside = [
        hit
        for scope in scopes[:MOST_SCOPES]
        for hit in project.search(query, limit=limit, path=scope).hits[: max(1, limit // 2)]
    ]
    return [*inside, *project.search(query, limit=SPARE * limit).hits]


def _as_shown(hits: Sequence[Hit], screen: Screen) -> tuple[list[Hit], list[str]]:
    """The hits as they may be shown, and the files of which nothing may be."""
    shown: list[Hit] = []
    gone: dict[str, None] = {}
    for hit in hits:
        chunk = screen.chunk(hit.chunk)
        if chunk is None:
            gone[hit.chunk.path] = None
        else:
            shown.append(Hit(chunk, hit.score, hit.reasons))
    return shown, list(gone)


def _map(project: Project, screen: Screen, tokens: int) -> tuple[Attachment, ...]:
    try:
        text = screen.text(repomap.build(project, tokens=tokens).text, MAP, numbered=False)
    except FiresideError:
        return ()
    return (Attachment(MAP, text),) if text.strip() else ()


def _readme(project: Project, screen: Screen) -> tuple[Attachment, ...]:
    """The beginning of what the authors say about the whole."""
    found = (path for path in project.index.paths() if "/" not in path and path.lower().startswith("readme"))
    path = min(found, default="")
    text = (screen.lines(path, 1, README_LINES) or "").rstrip("\n") if path else ""
    place = Citation(path, 1, text.count("\n") + 1)
    return (Attachment(path, text, "markdown", place),) if text else ()
