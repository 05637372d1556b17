"""The models on this machine's disk.

    HOME/models/<model>/<revision>/     the files, and manifest.json with their sizes and hashes
    HOME/models/<model>/refs/<name>     which revision a branch or tag of the hub meant when it was pulled
    HOME/models/<model>/.lock           held by whoever pulls, and by the processes that it started
    HOME/models/<model>/.staging-<...>  an unfinished pull, taken up or removed by the next

A revision's directory appears by one rename of a finished, synced directory: it
is whole or it is not there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from botbridge.errors import ModelDamaged, ModelNotFound
from botbridge.models.manifest import MANIFEST_NAME, Manifest, check_files, read_manifest, sync_to_disk, write_manifest
from botbridge.models.names import DirectorySource, HubSource, NamedModel

STAGING_PREFIX: Final = ".staging-"
REPLACED_PREFIX: Final = ".replaced-"
FAST_SUFFIX: Final = "q4_0"
"""Ends the name of a GGUF whose quantization the engines have their fastest kernels for."""

FINGERPRINT_BYTES: Final = 2**20
"""What of each file enters a directory's fingerprint: all of its JSON, and the header of its weights."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A verified model on disk, ready to be loaded.

    Attributes:
        model: Catalogue id or hub id.
        revision: The exact revision: a hub commit, or the hash of the source file.
        directory: Holds config.json, *.safetensors, tokenizer.json, ...
    """

    model: str
    revision: str
    directory: Path

    @property
    def gguf(self) -> Path | None:
        """The model as one GGUF file, where it is here in this form, too; the fast one if there are several."""
        found = sorted(self.directory.glob("*.gguf"), key=lambda path: (not path.stem.endswith(FAST_SUFFIX), path.name))
        return found[0] if found else None

    @property
    def has_safetensors(self) -> bool:
        """Whether the model's weights are here as safetensors."""
        return any(self.directory.glob("*.safetensors"))


class ModelStore:
    """Finds models, and publishes what a pull has fetched.

    Args:
        home: The data directory; nothing is created before the first pull.
    """

    def __init__(self, home: Path) -> None:
        self._root = home / "models"

    def find(self, named: NamedModel, *, thorough: bool = False) -> ModelFiles:
        """Return the model's files after a check of a few milliseconds.

        Args:
            thorough: Hash the weights too, about a second per gigabyte.

        Raises:
            ModelNotFound: It is not here; the message holds the command that pulls it.
            ModelDamaged: A file differs from what was pulled; it is named.
        """
        if isinstance(named.source, DirectorySource):
            return own_directory(named.source.path)
        revision = self._revision(named, named.source)
        directory = None if revision is None else self._folder(named.model) / revision
        if revision is None or directory is None or not directory.is_dir():
            raise ModelNotFound(f"{named.name} is not on this machine; fetch it with: {named.pull_command}")
        try:
            check_files(directory, read_manifest(directory), thorough=thorough)
        except ModelDamaged as error:
            raise ModelDamaged(f"{error}; fetch it again with: {named.pull_command}") from error
        return ModelFiles(named.model, revision, directory)

    def installed(self) -> list[tuple[Manifest, Path]]:
        """Return every revision that is here, with its directory; unreadable ones are left out."""
        found = []
        for path in sorted(self._root.glob(f"[!.]*/[!.]*/{MANIFEST_NAME}")):
            try:
                found.append((read_manifest(path.parent), path.parent))
            except ModelDamaged:
                continue
        return found

    def verify_all(self) -> Iterator[tuple[Manifest, str | None]]:
        """Hash every file of every model that is here; yield what is wrong with each, None for nothing."""
        for manifest, directory in self.installed():
            try:
                check_files(directory, manifest, thorough=True)
            except ModelDamaged as error:
                yield manifest, str(error)
            else:
                yield manifest, None

    @contextmanager
    def locked(self, model: str, waiting: Callable[[], None]) -> Iterator[int]:
        """Hold the right to change a model's directories.

        Args:
            waiting: Called once when another pull has the lock.

        Yields:
            The lock's descriptor. A child process that inherits it keeps the
            lock as long as it lives, so that no orphan of a killed pull can
            write into the next one's files.
        """
        folder = self._folder(model)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def staging(self, model: str, revision: str) -> Path:
        """Return the directory of an unfinished pull of this revision, with what an earlier one left in it.

        Leftovers of other revisions are removed. Call it with the lock held.
        """
        folder = self._folder(model)
        staging = folder / f"{STAGING_PREFIX}{revision}"
        for leftover in [*folder.glob(f"{STAGING_PREFIX}*"), *folder.glob(f"{REPLACED_PREFIX}*")]:
            if leftover != staging:
                shutil.rmtree(leftover)
        staging.mkdir(exist_ok=True)
        return staging

    def publish(self, finished: Path, named: NamedModel, revision: str) -> ModelFiles:
        """Make a finished directory the model's files of this revision, in one step. Call it with the lock held."""
        folder = self._folder(named.model)
        directory = folder / revision
        write_manifest(finished, named.model, revision)
        if directory.exists():
            directory.rename(folder / f"{REPLACED_PREFIX}{revision}")
        finished.rename(directory)
        sync_to_disk(folder)
        self.remember(named, revision)
        for leftover in (folder / f"{STAGING_PREFIX}{revision}", folder / f"{REPLACED_PREFIX}{revision}"):
            shutil.rmtree(leftover, ignore_errors=True)
        return ModelFiles(named.model, revision, directory)

    def remember(self, named: NamedModel, revision: str) -> None:
        """Note which revision a branch or tag means; names that hold their revision need no note."""
        if not isinstance(named.source, HubSource) or named.pinned_revision is not None:
            return
        note = self._reference(named.model, named.source)
        note.parent.mkdir(exist_ok=True)
        unfinished = note.with_name(f"{note.name}.new")
        unfinished.write_text(revision, encoding="ascii")
        sync_to_disk(unfinished)
        unfinished.rename(note)
        sync_to_disk(note.parent)

    def _revision(self, named: NamedModel, source: object) -> str | None:
        if named.pinned_revision is not None or not isinstance(source, HubSource):
            return named.pinned_revision
        try:
            return self._reference(named.model, source).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelDamaged(
                f"the note of {named.name}'s revision cannot be read; fetch it again with: {named.pull_command}"
            ) from error

    def _reference(self, model: str, source: HubSource) -> Path:
        return self._folder(model) / "refs" / quote(source.revision, safe="")

    def _folder(self, model: str) -> Path:
        return self._root / model.replace("/", "--")


def own_directory(directory: Path) -> ModelFiles:
    """Return the model in a directory of the operator's own.

    Its revision is a fingerprint of names, sizes and the first mebibyte of each
    file: cheap enough for every start, and enough to tell two models apart; it
    does not prove the weights byte for byte.

    Raises:
        ModelNotFound: There is no model in safetensors form.
        ModelDamaged: A file cannot be read.
    """
    try:
        paths = sorted(path for path in directory.iterdir() if path.is_file() and path.suffix != ".lock")
    except OSError as error:
        raise ModelNotFound(f"{directory} is no directory with a model: {error.strerror}") from error
    names = {path.name for path in paths}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise ModelNotFound(f"{directory} holds no config.json with *.safetensors, the only form that is loaded")
    fingerprint = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                head = file.read(FINGERPRINT_BYTES)
            fingerprint.update(f"{path.name}\0{path.stat().st_size}\0".encode() + hashlib.sha256(head).digest())
        except OSError as error:
            raise ModelDamaged(f"{path} cannot be read: {error.strerror}") from error
    return ModelFiles(str(directory), fingerprint.hexdigest(), directory)
