"""The list of a model's files with size and SHA-256, written when it is pulled and held against them ever after."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from botbridge.errors import ModelDamaged
from botbridge.sentences import Sentence

MANIFEST_NAME: Final = "manifest.json"

QUICK_LIMIT_BYTES: Final = 16 * 2**20
"""Files up to this size are hashed at every start (config, tokenizer: some milliseconds); of the weights, which
take a second per gigabyte, a start checks the size alone, and `models verify` the hash as well."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file has to be."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AdapterBase:
    """The model that an adapter was made for.

    Attributes:
        model: As its maker wrote it: a hub id, or a path on the maker's machine.
        revision: A commit, a branch or a tag; None where the maker says none.
    """

    model: str
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The identity of a model or an adapter and its files, by name within its directory.

    Attributes:
        base: What an adapter was made for; None for a model.
    """

    model: str
    revision: str
    files: Mapping[str, FileFacts]
    base: AdapterBase | None = None

    @property
    def kind(self) -> Literal["model", "adapter"]:
        """Which of the two it is."""
        return "model" if self.base is None else "adapter"

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(facts.size_bytes for facts in self.files.values())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(directory: Path, model: str, revision: str, base: AdapterBase | None = None) -> Manifest:
    """Hash every file of a directory, write the list beside them and force all of it to the disk."""
    names = sorted(path.name for path in directory.iterdir() if path.is_file() and path.name != MANIFEST_NAME)
    files = {name: FileFacts((directory / name).stat().st_size, sha256_of(directory / name)) for name in names}
    manifest = Manifest(model, revision, files, base)
    (directory / MANIFEST_NAME).write_text(_json(manifest), encoding="utf-8")
    for path in [*(directory / name for name in names), directory / MANIFEST_NAME, directory]:
        sync_to_disk(path)
    return manifest


def add_file(directory: Path, name: str, content: str) -> None:
    """Put a file beside those of a list and on it; whoever checks the directory meanwhile finds nothing wrong.

    Args:
        directory: Holds a list that does not name the file yet.
        name: Of the file.
        content: Its text.

    Raises:
        ModelDamaged: The list cannot be read.
    """
    manifest = read_manifest(directory)
    assert name not in manifest.files, f"{name} is on the list already"
    (directory / name).write_text(content, encoding="utf-8")
    added = FileFacts((directory / name).stat().st_size, sha256_of(directory / name))
    unfinished = directory / f"{MANIFEST_NAME}.new"
    unfinished.write_text(_json(replace(manifest, files={**manifest.files, name: added})), encoding="utf-8")
    for path in (directory / name, unfinished):
        sync_to_disk(path)
    unfinished.replace(directory / MANIFEST_NAME)
    sync_to_disk(directory)


def read_manifest(directory: Path) -> Manifest:
    """Read the list of a directory.

    Raises:
        ModelDamaged: It is missing or is not such a list.
    """
    path = directory / MANIFEST_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        files = {name: FileFacts(int(facts["size_bytes"]), facts["sha256"]) for name, facts in raw["files"].items()}
        base = raw.get("base")  # unknown to earlier versions, which stored no adapters
        return Manifest(
            raw["model"], raw["revision"], files, base and AdapterBase(str(base["model"]), base["revision"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelDamaged(f"{path} cannot be read: {error}") from error


def check_files(directory: Path, manifest: Manifest, *, thorough: bool) -> None:
    """Hold the files against their list.

    Args:
        thorough: Hash every file; otherwise large ones are only measured, see `QUICK_LIMIT_BYTES`.

    Raises:
        ModelDamaged: A file is missing or differs; it is named.
    """
    for name, facts in manifest.files.items():
        path = directory / name
        try:
            size_bytes = path.stat().st_size
            if size_bytes != facts.size_bytes:
                raise ModelDamaged(
                    Sentence(
                        "{path} holds {found} bytes, not {wanted}", path=path, found=size_bytes, wanted=facts.size_bytes
                    )
                )
            if (thorough or size_bytes <= QUICK_LIMIT_BYTES) and sha256_of(path) != facts.sha256:
                raise ModelDamaged(Sentence("{path} does not have the SHA-256 that it was pulled with", path=path))
        except OSError as error:
            raise ModelDamaged(Sentence("{path} cannot be read: {error}", path=path, error=error.strerror)) from error


def _json(manifest: Manifest) -> str:
    return json.dumps({"kind": manifest.kind, **asdict(manifest)}, indent=2) + "\n"


def sync_to_disk(path: Path) -> None:
    """Force a file or a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
