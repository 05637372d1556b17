"""Models from a hub that speaks Hugging Face's protocol: with `hub_search` all that knows `huggingface_hub`.

What is fetched, `choosing` decides. Every file is held against the hash that
the hub publishes for the pinned commit.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from botbridge.errors import DownloadFailed, ModelDamaged, ModelError, ModelGated, ModelNotFound
from botbridge.models.choosing import Choice, Form, choose
from botbridge.models.manifest import sha256_of
from botbridge.models.names import HubSource
from botbridge.models.progress import Progress, watching

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

PART_SUFFIX: Final = ".part"
TOKEN_VARIABLE: Final = "BOTBRIDGE_HUB__TOKEN"  # noqa: S105 - a name, not a token
REQUEST_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Hub:
    """Where models are fetched from.

    Attributes:
        endpoint: `https://host`, without a path.
        token: Sent with every request; None asks as nobody, whatever token
            other programs have stored on this machine.
    """

    endpoint: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"Hub({self.endpoint!r})"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit, with the hash that the hub publishes for it.

    Attributes:
        name: Its path in the repository; here it lies under the last part of it.
        sha256: Of files in large file storage.
        blob_sha1: Git's hash, of all others.
    """

    name: str
    size_bytes: int
    sha256: str | None
    blob_sha1: str | None


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """One commit of a repository and what of it is wanted."""

    repo: str
    commit: str
    form: Form
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        """All wanted files together."""
        return sum(file.size_bytes for file in self.files)


def look_up(source: HubSource, hub: Hub) -> RemoteModel:
    """Resolve a branch or tag to its commit, and choose the files.

    Raises:
        ModelNotFound: No such repository or revision, or it has no weights in the form that was asked for.
        ModelGated: The hub wants a token or an accepted licence.
        DownloadFailed: The hub does not answer.
    """
    be_quiet()
    from huggingface_hub import HfApi  # noqa: PLC0415 - heavy, and its switches are read when it is imported

    api = HfApi(endpoint=hub.endpoint, token=hub.token or False)
    with translated_errors(source, hub):
        info = api.model_info(source.repo, revision=source.revision, files_metadata=True, timeout=REQUEST_TIMEOUT_S)
    if info.sha is None:
        raise ModelNotFound(f"the hub names no commit of {source.repo}")
    choice = choose(source, [sibling.rfilename for sibling in info.siblings or ()])
    return RemoteModel(source.repo, info.sha, choice.form, tuple(_remote_files(info, choice)))


def fetch(model: RemoteModel, source: HubSource, hub: Hub, staging: Path, progress: Progress) -> Path:
    """Return a directory below `staging` with all files of the commit, each checked.

    What an interrupted call left is resumed.

    Raises:
        ModelGated: The hub wants a token or an accepted licence.
        DownloadFailed: The connection was lost for good, or the disk is full.
        ModelDamaged: A file came with another hash than the hub publishes; it is removed.
    """
    be_quiet()
    directory = staging / "files"
    directory.mkdir(exist_ok=True)
    with translated_errors(source, hub), watching(directory, model.repo, model.size_bytes, progress):
        for file in model.files:
            _download(model, file, hub, directory)
    return directory


def _download(model: RemoteModel, file: RemoteFile, hub: Hub, directory: Path) -> None:
    """Fetch one file, from where an earlier call broke off; under its own name only whole and checked.

    `hf_hub_download` forgets what it has of a file when its process ends, so
    the part is kept here and its plain HTTP downloader continues it.
    """
    from huggingface_hub import hf_hub_url  # noqa: PLC0415 - as in `look_up`
    from huggingface_hub.file_download import http_get  # noqa: PLC0415

    finished = directory / PurePosixPath(file.name).name
    if finished.exists() and is_intact(finished, file):
        return
    part = finished.with_name(f"{finished.name}{PART_SUFFIX}")
    with part.open("ab") as content:
        if content.tell() > file.size_bytes:
            content.seek(0)
            content.truncate()
        http_get(
            hf_hub_url(model.repo, file.name, revision=model.commit, endpoint=hub.endpoint),
            content,
            resume_size=content.tell(),
            headers={"authorization": f"Bearer {hub.token}"} if hub.token else {},
            expected_size=file.size_bytes,
        )
    if not is_intact(part, file):
        part.unlink()
        raise ModelDamaged(f"{file.name} came with other bytes than the hub publishes; they were removed, pull again")
    part.rename(finished)


def is_intact(path: Path, file: RemoteFile) -> bool:
    """Hold a fetched file against the size and the hash that the hub publishes for it."""
    if path.stat().st_size != file.size_bytes:
        return False
    if file.sha256 is not None:
        return sha256_of(path) == file.sha256
    return file.blob_sha1 is None or blob_sha1_of(path) == file.blob_sha1


def blob_sha1_of(path: Path) -> str:
    """Return git's hash of a file's content. Source: git-hash-object(1)."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def translated_errors(source: HubSource, hub: Hub) -> Iterator[None]:
    """Turn every failure of the hub's library into one of ours; the first row that fits counts."""
    import httpx2  # noqa: PLC0415 - as in `look_up`
    from huggingface_hub import errors  # noqa: PLC0415

    name = f"{source.repo}@{source.revision}"
    gated = (
        f"{source.repo} is gated: accept its licence at {hub.endpoint}/{source.repo}, "
        f"then set {TOKEN_VARIABLE} to an access token of that account"
    )
    rows: tuple[tuple[type[Exception], type[ModelError], str], ...] = (
        # GatedRepoError is a RepositoryNotFoundError, so it stands first.
        (errors.GatedRepoError, ModelGated, gated),
        (
            errors.RepositoryNotFoundError,
            ModelNotFound,
            f"the hub has no {source.repo}, or none that the token may see",
        ),
        (errors.RevisionNotFoundError, ModelNotFound, f"{source.repo} has no revision {source.revision}"),
        (errors.RemoteEntryNotFoundError, ModelNotFound, f"{name} lacks a file that its own list names"),
        (errors.HFValidationError, ModelNotFound, f"{source.repo} is no name that a hub can have"),
        (errors.OfflineModeIsEnabled, DownloadFailed, "HF_HUB_OFFLINE is set, so nothing can be fetched"),
    )
    try:
        yield
    except tuple(row[0] for row in rows) as error:
        ours, message = next((row[1], row[2]) for row in rows if isinstance(error, row[0]))
        raise ours(message) from error
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise ModelGated(
                f"the hub does not accept the token in {TOKEN_VARIABLE} for {source.repo}"
                if hub.token
                else f"the hub shows {source.repo} to nobody without a token: set {TOKEN_VARIABLE}"
            ) from error
        raise DownloadFailed(f"the hub answered {error.response.status_code} for {name}; try again") from error
    except (httpx2.HTTPError, errors.EntryNotFoundError) as error:
        raise DownloadFailed(f"{hub.endpoint} cannot be reached or broke off; pull again to go on from here") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DownloadFailed(f"the disk is full; {name} was not fetched completely") from error
        raise DownloadFailed(f"{name} was not fetched completely ({error}); pull again to go on from here") from error


def be_quiet() -> None:
    """Switch telemetry and foreign progress bars off; the library reads this once, when it is first imported."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


def _remote_files(info: ModelInfo, choice: Choice) -> Iterator[RemoteFile]:
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    for name in choice.names:
        sibling = siblings[name]
        sha256 = sibling.lfs.sha256 if sibling.lfs is not None else None
        yield RemoteFile(name, sibling.size or 0, sha256, sibling.blob_id)
