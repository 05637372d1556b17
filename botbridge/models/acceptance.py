"""Which licences the operator has accepted: one small file a model.

    HOME/acceptances/<model, quoted>.json       mode 0600, whole or not there

What cannot be read counts as not accepted, so that the question is asked again.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from botbridge.errors import ModelError
from botbridge.models.licences import Licence
from botbridge.models.manifest import sync_to_disk
from botbridge.models.uses import Use

FOLDER: Final = "acceptances"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """That somebody accepted a licence for a use.

    Attributes:
        model: Its id in the catalogue.
        licence: Id of the licence.
        version: Of its text.
        accepted_at: In UTC.
        accepted_by: Who they say they are; None where they do not say.
    """

    model: str
    licence: str
    version: str
    use: Use
    accepted_at: datetime
    accepted_by: str | None = None

    def is_of(self, licence: Licence) -> bool:
        """Whether it was this licence, in this version."""
        return (self.licence, self.version) == (licence.id, licence.version)

    def covers(self, licence: Licence, use: Use) -> bool:
        """Whether it lets the model be used so under this licence."""
        return self.is_of(licence) and self.use.includes(use)

    def as_json(self) -> dict[str, str | None]:
        """Return it as JSON values."""
        return {**asdict(self), "accepted_at": self.accepted_at.isoformat(timespec="seconds")}


def acceptance_path(home: Path, model: str) -> Path:
    """Return where the acceptance of a model is kept.

    >>> acceptance_path(Path("home"), "org/name").as_posix()
    'home/acceptances/org%2Fname.json'
    """
    return home / FOLDER / f"{quote(model, safe='')}.json"


def read_acceptance(home: Path, model: str) -> Acceptance | None:
    """Return what was accepted for a model; None where there is nothing that this version understands."""
    try:
        found = _from_json(json.loads(acceptance_path(home, model).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.model == model else None


def write_acceptance(home: Path, acceptance: Acceptance) -> Path:
    """Keep an acceptance in place of the former one.

    Raises:
        ModelError: The file cannot be written; it names why.
    """
    path = acceptance_path(home, acceptance.model)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(acceptance.as_json(), indent=2) + "\n")
        sync_to_disk(Path(unfinished))
        Path(unfinished).replace(path)
        sync_to_disk(path.parent)
    except OSError as error:
        raise ModelError(f"the acceptance cannot be kept in {path}: {error.strerror}") from error
    return path


def _from_json(found: Mapping[str, Any]) -> Acceptance:
    """Read what `as_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
    accepted_at = datetime.fromisoformat(found["accepted_at"])
    if accepted_at.tzinfo is None:
        raise ValueError("a time without its zone")
    by = found["accepted_by"]
    return Acceptance(
        model=str(found["model"]),
        licence=str(found["licence"]),
        version=str(found["version"]),
        use=Use(found["use"]),
        accepted_at=accepted_at,
        accepted_by=None if by is None else str(by),
    )
