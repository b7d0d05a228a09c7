import json

from fireside.engines.llama_calls import call_schema
from support.llama import EDIT, NOW


def test_the_schema_of_a_call_takes_references_along() -> None:
    assert "#/properties/arguments/$defs/range" in json.dumps(call_schema((EDIT,)))
    assert "#/anyOf/1/properties/arguments/$defs/range" in json.dumps(call_schema((NOW, EDIT)))
