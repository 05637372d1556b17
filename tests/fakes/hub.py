"""A model hub on loopback that the real `huggingface_hub` talks to through its endpoint setting.

Kept as the hub does it: branches and tags resolve to a commit; large files
carry their SHA-256 in `X-Linked-Etag` and are served by a second host behind a
redirect; others carry git's blob hash; ranges are honoured; a gated repository
shows its file list to everybody and its files to accepted tokens only.
The list of models is filtered by words, task, tag and size, sorted and cut, as its API does.
Not kept: Xet, pagination, private repositories.

Source: huggingface_hub 2.4 file_download.py (get_hf_file_metadata, http_get), utils/_http.py (hf_raise_for_status)
and hf_api.py (list_models).
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

LARGE_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf")


def commit_of(files: dict[str, bytes]) -> str:
    """A commit id of 40 hex digits that depends on the content."""
    digest = hashlib.sha1()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


@dataclass
class Repository:
    """A repository: `branches` maps branches and tags to commits, `commits` these to their files."""

    name: str
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Put files on a branch and return their commit."""
        sha = commit_of(files)
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """Return the commit of a branch, tag or commit."""
        return revision if revision in self.commits else self.branches.get(revision)


@dataclass(frozen=True)
class Request:
    """One request as the ledger keeps it."""

    method: str
    path: str
    range: str | None
    token: str | None


class FakeHub:
    """The server, in a thread with a loop of its own; use it as a context manager.

    Attributes:
        requests: Everything that was asked, in order.
        cut_after_bytes: Next downloads of a file break off after so many bytes, one entry each.
        accepted_tokens: May read gated repositories.
        known_tokens: May not, but belong to somebody.
        stall_after_bytes: Downloads stop there until `release`; None lets them through.
        corrupt: Names of files that are served with other bytes than announced.
        listing: What the list of models holds, as the hub writes it.
        listing_answer: Status and text of the list's answer instead of it.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.cut_after_bytes: list[int] = []
        self.stall_after_bytes: int | None = None
        self.accepted_tokens: set[str] = set()
        self.known_tokens: set[str] = set()
        self.corrupt: set[str] = set()
        self.listing: list[Any] = []
        self.listing_answer: tuple[int, str] | None = None
        self.endpoint = ""
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-hub", daemon=True)

    def repository(self, name: str, *, gated: bool = False) -> Repository:
        """Create a repository."""
        return self.repositories.setdefault(name, Repository(name, gated=gated))

    def downloads(self, file: str) -> list[Request]:
        """Return every request for the bytes of a file."""
        return [each for each in self.requests if each.method == "GET" and each.path.endswith(f"/{file}")]

    def served(self, file: str) -> list[Request]:
        """Return every request for the bytes of a large file that reached the storage host."""
        return [each for each in self.downloads(file) if each.path.startswith("/storage/")]

    def release(self) -> None:
        """Let downloads that have stopped go on."""
        self._loop.call_soon_threadsafe(self._released.set)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self) -> None:
        application = web.Application(middlewares=[self._note])
        application.router.add_get("/api/models", self._list)
        application.router.add_get("/api/models/{org}/{name}/revision/{revision:.+}", self._info)
        application.router.add_get("/{org}/{name}/resolve/{revision}/{file:.+}", self._resolve)
        application.router.add_get("/storage/{org}/{name}/{commit}/{file:.+}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.endpoint = f"http://127.0.0.1:{self._port}"

    async def _stop(self) -> None:
        self._released.set()
        await self._runner.cleanup()

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(Request(request.method, request.path, request.headers.get("Range"), _token(request)))
        return await handler(request)

    async def _info(self, request: web.Request) -> web.StreamResponse:
        repository, commit, refusal = self._find(request)
        if repository is None or commit is None:
            return refusal
        siblings = []
        for name, content in repository.commits[commit].items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": _blob_sha1(content)}
            if name.endswith(LARGE_SUFFIXES):
                entry["lfs"] = {"sha256": _sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        gated = "manual" if repository.gated else False
        return web.json_response(
            {"id": repository.name, "sha": commit, "private": False, "gated": gated, "tags": [], "siblings": siblings}
        )

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if self.listing_answer is not None:
            status, text = self.listing_answer
            return web.Response(status=status, text=text, content_type="application/json")
        token = _token(request)
        if token is not None and token not in self.accepted_tokens | self.known_tokens:
            return _refuse(401, None, "Invalid credentials in Authorization header")
        asked = request.query
        most = float(asked.get("num_parameters", "max:infB").removeprefix("max:").removesuffix("B")) * 1e9

        def fits(model: Any) -> bool:
            return (
                asked.get("search", "").casefold() in model["id"].casefold()
                and asked.get("pipeline_tag", model.get("pipeline_tag")) == model.get("pipeline_tag")
                and set(asked.getall("filter", [])) <= set(model.get("tags", []))
                and model.get("safetensors", {}).get("total", 0) <= most
            )

        found = [model for model in self.listing if not isinstance(model, dict) or fits(model)]
        if (by := asked.get("sort")) is not None:
            found.sort(key=lambda model: model.get(by, 0) if isinstance(model, dict) else 0, reverse=True)
        return web.json_response(found[: int(asked.get("limit", "1000"))])

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repository, commit, refusal = self._find(request)
        if repository is None or commit is None:
            return refusal
        if repository.gated and _token(request) not in self.accepted_tokens:
            status = 401 if _token(request) is None else 403
            return _refuse(status, "GatedRepo", f"Access to model {repository.name} is restricted.")
        name = request.match_info["file"]
        if name not in repository.commits[commit]:
            return _refuse(404, "EntryNotFound", "Entry not found")
        content = repository.commits[commit][name]
        if not name.endswith(LARGE_SUFFIXES):
            return await self._send(
                request, name, content, {"X-Repo-Commit": commit, "ETag": f'"{_blob_sha1(content)}"'}
            )
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{_sha256(content)}"',
            "X-Linked-Size": str(len(content)),
            # Another host, as the real one: the client must not follow it for the metadata.
            "Location": f"http://localhost:{self._port}/storage/{repository.name}/{commit}/{name}",
        }
        return web.Response(status=302, headers=headers)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        repository = self.repositories[f"{request.match_info['org']}/{request.match_info['name']}"]
        name = request.match_info["file"]
        content = repository.commits[request.match_info["commit"]][name]
        return await self._send(request, name, content, {"ETag": f'"{_sha256(content)}"'})

    async def _send(
        self, request: web.Request, name: str, content: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        if name in self.corrupt:
            content = bytes(len(content))
        asked = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
        start = int(asked) if asked else 0
        body = content[start:]
        if asked:
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        response = web.StreamResponse(status=206 if asked else 200, headers={**headers, "Accept-Ranges": "bytes"})
        response.content_length = len(body)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if name.endswith(LARGE_SUFFIXES) and self.cut_after_bytes:
            await response.write(body[: self.cut_after_bytes.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        if name.endswith(LARGE_SUFFIXES) and (stop := self.stall_after_bytes) is not None:
            await response.write(body[:stop])
            await self._released.wait()
            body = body[stop:]
        await response.write(body)
        return response

    def _find(self, request: web.Request) -> tuple[Repository | None, str | None, web.StreamResponse]:
        token = _token(request)
        if token is not None and token not in self.accepted_tokens | self.known_tokens:
            return None, None, _refuse(401, None, "Invalid credentials in Authorization header")
        repository = self.repositories.get(f"{request.match_info['org']}/{request.match_info['name']}")
        if repository is None:
            status = 401 if token is None else 404
            return None, None, _refuse(status, "RepoNotFound", "Repository not found")
        commit = repository.resolve(request.match_info["revision"])
        return repository, commit, _refuse(404, "RevisionNotFound", "Invalid rev id")


def _refuse(status: int, code: str | None, message: str) -> web.Response:
    headers = {"X-Error-Message": message} | ({} if code is None else {"X-Error-Code": code})
    return web.json_response({"error": message}, status=status, headers=headers)


def _token(request: web.Request) -> str | None:
    return request.headers.get("Authorization", "").removeprefix("Bearer ") or None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
