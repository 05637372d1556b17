"""In which language a command of the operator's explains things; light, because every command imports it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Tongue(StrEnum):
    """The languages that these commands speak."""

    EN = "en"
    AR = "ar"


Lang = Annotated[Tongue, typer.Option("--lang", help="Language of labels and explanations.")]
