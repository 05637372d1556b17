"""The models and adapters on this machine's disk.

    HOME/models/<model>/<revision>/     the files, and manifest.json with their sizes and hashes
    HOME/models/<model>/refs/<name>     which revision a branch or tag of the hub meant when it was pulled
    HOME/models/<model>/.lock           held by whoever pulls, and by the processes that it started
    HOME/models/<model>/.staging-<...>  an unfinished pull, taken up or removed by the next

A revision's directory appears by one rename of a finished, synced directory: it
is whole or it is not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from botbridge.errors import AdapterMismatch, ModelDamaged, ModelNotFound
from botbridge.models.adapters import read_base
from botbridge.models.choosing import ADAPTER_CONFIG
from botbridge.models.files import AdapterFiles, ModelFiles, check_base
from botbridge.models.manifest import (
    MANIFEST_NAME,
    AdapterBase,
    Manifest,
    add_file,
    check_files,
    read_manifest,
    sync_to_disk,
    write_manifest,
)
from botbridge.models.names import DirectorySource, GgufSource, HubSource, NamedModel, parse_name
from botbridge.models.own import MODEL_CONFIG, check_directory, check_gguf_file, check_whole, files_of, fingerprint
from botbridge.sentences import Sentence

STAGING_PREFIX: Final = ".staging-"
REPLACED_PREFIX: Final = ".replaced-"
NOTICE_NAMES: Final = ("NOTICE", "NOTICE.licence")
"""A Notice file of ours: the second name where the publisher's own file has the first."""


class ModelStore:
    """Finds models and adapters, and publishes what a pull has fetched.

    Args:
        home: The data directory; nothing is created before the first pull.
    """

    def __init__(self, home: Path) -> None:
        self._root = home / "models"

    def find(self, named: NamedModel, *, thorough: bool = False) -> ModelFiles:
        """Return the model's files after a check of a few milliseconds.

        Args:
            named: The model.
            thorough: Hash the weights too, about a second per gigabyte; in a directory of the operator's own, of which
                nobody has a hash, look whether they are whole.

        Raises:
            ModelNotFound: It is not here, with the command that pulls it; or it is an adapter.
            ModelDamaged: A file differs from what was pulled; it is named.
        """
        found = self.find_any(named, thorough=thorough)
        if isinstance(found, AdapterFiles):
            raise ModelNotFound(
                Sentence("{name} is an adapter for {model}, not a model", name=named.name, model=found.base.model)
            )
        return found

    def find_with_adapters(self, named: NamedModel) -> ModelFiles:
        """Return the model's files with every adapter in this store; errors as of `find`."""
        return replace(self.find(named), adapters=self.every_adapter())

    def find_any(self, named: NamedModel, *, thorough: bool = False) -> ModelFiles | AdapterFiles:
        """Return what is here under a name, model or adapter; errors as of `find`."""
        with _readable(self._root):
            return self._look_up(named, thorough=thorough)

    def _look_up(self, named: NamedModel, *, thorough: bool) -> ModelFiles | AdapterFiles:
        if isinstance(named.source, DirectorySource):
            own = _own(named.source.path)
            if thorough:
                check_whole(own)
            return own
        revision = self._revision(named)
        directory = None if revision is None else self._folder(named.model) / revision
        if revision is None or directory is None or not directory.is_dir():
            raise ModelNotFound(*_absent(named))
        try:
            manifest = read_manifest(directory)
            check_files(directory, manifest, thorough=thorough)
        except ModelDamaged as error:
            raise ModelDamaged(error.reason, _again(named)) from error
        return _files(manifest, named, directory)

    def adapters(self, base: ModelFiles) -> list[AdapterFiles]:
        """Return the adapters in this store that were made for a model, in the order of their names."""
        fitting = []
        for adapter in self._adapter_revisions():
            try:
                check_base(adapter, base)
            except AdapterMismatch:
                continue
            fitting.append(adapter)
        return fitting

    def every_adapter(self) -> tuple[AdapterFiles, ...]:
        """Return each adapter in this store once: the revision that its plain name means, else the newest here."""
        newest: dict[str, AdapterFiles] = {}
        for adapter in self._adapter_revisions():
            other = newest.get(adapter.adapter)
            if other is None or self._age(adapter) > self._age(other):
                newest[adapter.adapter] = adapter
        return tuple(newest.values())

    def _adapter_revisions(self) -> Iterator[AdapterFiles]:
        for manifest, directory in self.installed():
            if manifest.base is not None:
                yield AdapterFiles(manifest.model, manifest.revision, directory, manifest.base)

    def _age(self, adapter: AdapterFiles) -> tuple[bool, int]:
        """Rank revisions of one adapter: the one that is meant without naming any, then by when it was made here."""
        named = parse_name(adapter.adapter)
        is_meant = isinstance(named.source, HubSource) and self._noted_revision(named, named.source) == adapter.revision
        return is_meant, adapter.directory.stat().st_mtime_ns

    def installed(self) -> list[tuple[Manifest, Path]]:
        """Return every revision that is here, with its directory; unreadable ones are left out.

        Raises:
            ModelDamaged: The store itself cannot be read, so that nobody knows what is here.
        """
        found = []
        with _readable(self._root), contextlib.suppress(FileNotFoundError):
            next(self._root.iterdir(), None)  # `glob` passes over what it may not read
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

    def publish(
        self, finished: Path, named: NamedModel, revision: str, base: AdapterBase | None = None
    ) -> ModelFiles | AdapterFiles:
        """Make a finished directory the files of this revision, in one step. Call it with the lock held.

        Args:
            finished: Becomes the revision's directory.
            named: The model or adapter.
            revision: The exact revision.
            base: What an adapter was made for; None for a model.
        """
        folder = self._folder(named.model)
        directory = folder / revision
        manifest = write_manifest(finished, named.model, revision, base)
        if directory.exists():
            directory.rename(folder / f"{REPLACED_PREFIX}{revision}")
        finished.rename(directory)
        sync_to_disk(folder)
        self.remember(named, revision)
        for leftover in (folder / f"{STAGING_PREFIX}{revision}", folder / f"{REPLACED_PREFIX}{revision}"):
            shutil.rmtree(leftover, ignore_errors=True)
        return _files(manifest, named, directory)

    def add_notice(self, directory: Path, text: str) -> None:
        """Lay a Notice file beside the weights of a revision, unless one says it already. Call it with the lock held.

        Args:
            directory: Of a revision that was published.
            text: What the licence wants said.
        """
        listed = read_manifest(directory).files
        notices = [name for name in listed if name.upper().startswith(NOTICE_NAMES[0])]
        if any(text in (directory / name).read_text(encoding="utf-8", errors="replace") for name in notices):
            return
        add_file(directory, next(name for name in NOTICE_NAMES if name not in listed), f"{text}\n")

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

    def _revision(self, named: NamedModel) -> str | None:
        match named.source:
            case GgufSource(path=path):
                return check_gguf_file(path)
            case HubSource() as source if named.pinned_revision is None:
                return self._noted_revision(named, source)
            case _:
                return named.pinned_revision

    def _noted_revision(self, named: NamedModel, source: HubSource) -> str | None:
        try:
            return self._reference(named.model, source).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            reason = Sentence("the note of {model}'s revision cannot be read", model=named.name)
            raise ModelDamaged(reason, _again(named)) from error

    def _reference(self, model: str, source: HubSource) -> Path:
        return self._folder(model) / "refs" / quote(source.revision, safe="")

    def _folder(self, model: str) -> Path:
        return self._root / folder_name(model)


def folder_name(model: str) -> str:
    """Return the directory of a model within the store; `--` occurs in no hub id, and paths may be of any length.

    >>> folder_name("org/name"), folder_name("org/name:Q4_0"), folder_name("/srv/model.gguf")
    ('org--name', 'org--name--Q4_0', 'file--95fdb4f3a956d76f')
    """
    if model.startswith("/"):
        return f"file--{hashlib.sha256(model.encode()).hexdigest()[:16]}"
    return model.replace("/", "--").replace(":", "--")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the system refuses into one sentence; it names the file, or this path where the system names none."""
    try:
        yield
    except OSError as error:
        unread, why = error.filename or path, error.strerror or str(error)
        raise ModelDamaged(Sentence("{path} cannot be read: {error}", path=unread, error=why)) from error


def _absent(named: NamedModel) -> tuple[Sentence, Sentence]:
    """Say that a model is not here, and what fetches it."""
    remedy = Sentence("fetch it with: {command}", command=named.pull_command)
    if isinstance(named.source, GgufSource):
        return Sentence("{model} is not prepared yet", model=named.name), remedy
    return Sentence("{model} is not on this machine", model=named.name), remedy


def _again(named: NamedModel) -> Sentence:
    return Sentence("fetch it again with: {command}", command=named.pull_command)


def _own(directory: Path) -> ModelFiles | AdapterFiles:
    """Return the model or adapter in a directory of the operator's own."""
    paths = files_of(directory)
    if {path.name for path in paths} & {ADAPTER_CONFIG, MODEL_CONFIG} == {ADAPTER_CONFIG}:
        return AdapterFiles(str(directory), fingerprint(paths), directory, read_base(directory, str(directory)))
    return ModelFiles(str(directory), check_directory(directory), directory)


def _files(manifest: Manifest, named: NamedModel, directory: Path) -> ModelFiles | AdapterFiles:
    if manifest.base is not None:
        return AdapterFiles(named.model, directory.name, directory, manifest.base)
    return ModelFiles(named.model, directory.name, directory, named.hub_id)
