"""In which language a command of the operator's explains things; light, because every command imports it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer


class Tongue(StrEnum):
    """The languages that these commands speak."""

    EN = "en"
    AR = "ar"


@dataclass
class Spoken:
    """The language of a command that was called; what goes wrong in it is told in this one, too."""

    tongue: Tongue = Tongue.EN


def _remember(context: typer.Context, tongue: Tongue) -> Tongue:
    context.ensure_object(Spoken).tongue = tongue
    return tongue


Lang = Annotated[Tongue, typer.Option("--lang", help="Language of labels and explanations.", callback=_remember)]
