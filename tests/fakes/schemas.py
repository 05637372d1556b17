"""The published forms of what commands print as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def complaints(schema: str, printed: Any) -> list[str]:
    """What is wrong with something that was printed, by `docs/schemas/<schema>.json`; empty when nothing is."""
    form = json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(form)
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(form).iter_errors(printed)]
