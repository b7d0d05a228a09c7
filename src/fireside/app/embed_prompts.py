"""What a model that embeds wants to be told before a question and before a passage. Knows names of model families, asks nobody.

A model trained with such words finds clearly less without them; a model trained without them is disturbed by them. The words are those of
the cards that the makers published with the models.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbedPrompt:
    """What is put before a question and before a passage."""

    query: str = ""
    passage: str = ""


TASK = "Given a question about a code base, retrieve the code that answers it"
SENTENCE = "Represent this sentence for searching relevant passages: "
CODE_QUERY = "Represent this query for searching relevant code: "

# In order: the first pattern found in the name decides, so what is special stands before what is general. Sources: the models' cards.
PROMPTS: tuple[tuple[str, EmbedPrompt], ...] = (
    (r"nomic-embed-code|coderankembed", EmbedPrompt(CODE_QUERY)),
    (r"nomic-embed", EmbedPrompt("search_query: ", "search_document: ")),
    (r"e5.*(instruct|mistral)", EmbedPrompt(f"Instruct: {TASK}\nQuery: ")),
    (r"(^|[-/_])e5-", EmbedPrompt("query: ", "passage: ")),
    (r"bge-(m3|multilingual|code|en-icl|reranker)", EmbedPrompt()),
    (r"bge-.*en", EmbedPrompt(SENTENCE)),
    (r"(^|/)bge-(small|base|large)", EmbedPrompt(SENTENCE)),
    (r"mxbai-embed", EmbedPrompt(SENTENCE)),
    (r"arctic-embed-?(2|.*v2)", EmbedPrompt("query: ")),
    (r"arctic-embed", EmbedPrompt(SENTENCE)),
    (r"qwen-?3-embedding", EmbedPrompt(f"Instruct: {TASK}\nQuery:")),
    (r"embedding-?gemma", EmbedPrompt("task: code retrieval | query: ", "title: none | text: ")),
    (
        r"jina-code-embeddings",
        EmbedPrompt("Find the most relevant code snippet given the following query:\n", "Candidate code snippet:\n"),
    ),
)


def prompt_of(model: str) -> EmbedPrompt:
    """The words for a model by its name, as engines spell it (``nomic-embed-text:latest``, ``BAAI/bge-base-en-v1.5``)."""
    name = model.casefold()
    return next((prompt for pattern, prompt in PROMPTS if re.search(pattern, name)), EmbedPrompt())
