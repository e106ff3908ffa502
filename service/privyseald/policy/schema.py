"""The policy file's form as JSON Schema, for editors and for checks elsewhere.

`policy.schema.json` beside this file holds the same text. It says what a file may look like; only
`privyseal policy check` says whether tags, operations, venues and conditions are right too.
"""

import json

from pydantic.json_schema import GenerateJsonSchema

from privyseald.policy.model import FileModel


def policy_schema() -> str:
    """Return the schema as JSON text."""
    schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        **FileModel.model_json_schema(),
        "title": "A policy of Privyseal",
    }
    return json.dumps(schema, indent=2) + "\n"
