"""Words by which a text that looks like a tool call is recognised as one that is only shown: an example, a format, a record.

Wrong both ways costs something, not the same: a call that stays text is seen and asked for again; one that was only shown would be run.
"""

import re

SHOWN = (
    r"e\.g|for instance|such as|illustrat\w*|demonstrat\w*|looks? like|looking like|like th(?:is|ese)|as follows"
    r"|would|could|might|hypothetical\w*|if (?:you|i|the model|a model)|prints|emits|writes"
    r"|(?:is|are|be|gets?) (?:written|printed|formatted|encoded|emitted|wrapped|rendered)"
    r"|you (?:can|should|must|may|need|have|call|use|send|get|see|write|want)|mean(?:s|ing)|explain\w*|explanation"
    r"|beispiel\w*|exemples?|ejemplos?|esempi\w*|пример\w*|例"
)
# An example is shown, an example file is worked on.
NOUNS = r"examples?|samples?|syntax|templates?|placeholders?"
OBJECTS = r"files?|folder|director\w+|project|repo\w*|app|code|scripts?|tests?|pages?|modules?|packages?|class\w*|functions?|config\w*|data"
# In a fence anything may stand, so more words make it doubtful.
DOUBTFUL = (
    r"format\w*|config\w*|schemas?|json|payloads?|responses?|return\w*|results?|outputs?|logs?|logged|record\w*|documentation|docs?"
    r"|spec(?:s|ification)?|defin\w*|describ\w*|represent\w*|was|were|earlier|previous\w*|history|received|sent|said|snippet"
    r"|contains?|structure is|fixtures?|mock\w*"
)
SHOWING = re.compile(rf"\b(?:{SHOWN}|(?:{NOUNS})(?!\s+(?:{OBJECTS})\b))\b", re.IGNORECASE)
SHOWING_FENCED = re.compile(rf"\b(?:{SHOWN}|{NOUNS}|{DOUBTFUL})\b", re.IGNORECASE)
# How Llama introduces a call, because its template asks for one in these words.
MEANT = re.compile(r"\bjson (?:for|of) (?:the|a|this|my) (?:tool|function)[ -]call\b", re.IGNORECASE)


def shows(prose: str) -> bool:
    """Whether the line before an envelope says that it is only shown."""
    return SHOWING.search(prose.rstrip().rpartition("\n")[2]) is not None


def shows_fenced(prose: str) -> bool:
    """Whether the prose before a fence says so."""
    return SHOWING_FENCED.search(MEANT.sub("", prose)) is not None
