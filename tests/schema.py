"""``docs/result.schema.json``: what commands say that they write, and whether they do."""

import json
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).resolve().parents[1] / "docs" / "result.schema.json"


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA.read_text()))


def problems(content: bytes | str) -> list[str]:
    """What a ``result.json`` holds that the schema does not allow, or lacks."""
    return [f"{error.json_path}: {error.message[:300]}" for error in _validator().iter_errors(json.loads(content))]
