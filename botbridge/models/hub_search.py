"""Looking for models on a hub, quickly or not at all.

`HfApi.list_models` waits without limit and tries six times, half a minute in all, before it says that there is no
network. Here its request is made once, with a limit, by the library's own session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlencode

from botbridge.errors import DownloadFailed
from botbridge.models.hub import TOKEN_VARIABLE, Hub, be_quiet

SEARCH_TIMEOUT_S: Final = 6.0
"""For the connection, and for each wait of the answer."""

SEARCH_LIMIT: Final = 20
"""How many models are asked for."""

CLASS_MARGIN: Final = 1.1
"""The hub counts parameters exactly, people by classes: one of 7.24 B is a 7 B."""

_TASKS: Final = {
    "chat": "text-generation",
    "logic": "text-generation",
    "maths": "text-generation",
    "multilingual": "text-generation",
    "arabic": "text-generation",
    "code": "text-generation",
}
"""The hub's names of our tasks, where they differ. Source: https://huggingface.co/tasks."""


class Sort(StrEnum):
    """What the hub puts first."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class HubQuery:
    """What is looked for; None and the empty string ask for nothing.

    Attributes:
        task: The hub's name of a task, or one of ours.
        max_b: Largest class, in thousand millions of parameters.
    """

    task: str | None = None
    tag: str | None = None
    text: str = ""
    max_b: float | None = None
    sort: Sort = Sort.DOWNLOADS

    def parameters(self) -> dict[str, str]:
        """Return the query of the hub's API. Source: huggingface_hub 2.4, HfApi.list_models."""
        return {
            name: value
            for name, value in (
                ("pipeline_tag", None if self.task is None else hub_task(self.task)),
                ("filter", self.tag),
                ("search", self.text),
                ("num_parameters", None if self.max_b is None else f"max:{self.max_b * CLASS_MARGIN:g}B"),
                ("sort", "createdAt" if self.sort is Sort.CREATED else str(self.sort)),
            )
            if value
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A model of the hub, as far as the hub says something of it.

    Attributes:
        gated: The hub gives its files only to accounts that accepted something.
        not_verified: Which of these facts the catalogue has from memory; the hub has none so.
        parameters_are_round: They are the publisher's round number.
    """

    id: str
    task: str | None
    parameters: int | None
    licence: str | None
    gated: bool | None
    downloads: int | None
    likes: int | None
    not_verified: tuple[str, ...] = ()
    parameters_are_round: bool = False


def hub_task(task: str) -> str:
    """Return the hub's name of a task.

    >>> hub_task("chat"), hub_task("translation")
    ('text-generation', 'translation')
    """
    return _TASKS.get(task.casefold(), task.casefold())


def address(query: HubQuery, endpoint: str) -> str:
    """Return the page of the hub that answers the same question.

    >>> address(HubQuery(task="chat", max_b=7), "https://huggingface.co")
    'https://huggingface.co/models?pipeline_tag=text-generation&num_parameters=max%3A7.7B&sort=downloads'
    """
    asked = query.parameters()
    if "filter" in asked:
        asked["other"] = asked.pop("filter")
    return f"{endpoint}/models?{urlencode(asked)}"


def search(query: HubQuery, hub: Hub, *, timeout_s: float = SEARCH_TIMEOUT_S) -> tuple[Found, ...]:
    """Ask the hub, once.

    Args:
        timeout_s: For the connection, and for each wait of the answer.

    Raises:
        DownloadFailed: It cannot be reached, is switched off, or does not answer as a hub does; the sentence says
            which.
    """
    be_quiet()
    import httpx2  # noqa: PLC0415 - heavy, and its switches are read when huggingface_hub is imported
    from huggingface_hub import errors, get_session  # noqa: PLC0415

    wanted: Mapping[str, str | int | Sequence[str]] = {
        "limit": SEARCH_LIMIT,
        "expand": _EXPANDED,
        **query.parameters(),
    }
    try:
        answer = get_session().get(
            f"{hub.endpoint}/api/models",
            params=wanted,
            headers={"authorization": f"Bearer {hub.token}"} if hub.token else {},
            timeout=timeout_s,
        )
        found = answer.json() if answer.is_success else None
    except errors.OfflineModeIsEnabled as error:
        raise DownloadFailed("HF_HUB_OFFLINE is set, so the hub is not asked") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise DownloadFailed(f"{hub.endpoint} cannot be reached") from error
    except ValueError as error:
        raise DownloadFailed(f"{hub.endpoint} does not answer as a hub does") from error
    if answer.status_code in (401, 403):
        raise DownloadFailed(f"{hub.endpoint} does not accept the token in {TOKEN_VARIABLE}")
    if not answer.is_success:
        raise DownloadFailed(f"{hub.endpoint} answered {answer.status_code}")
    if not isinstance(found, list):
        raise DownloadFailed(f"{hub.endpoint} does not answer as a hub does")
    return tuple(_within(query, found))


_EXPANDED: Final = ("downloads", "gated", "likes", "pipeline_tag", "safetensors", "tags")


def _within(query: HubQuery, found: list[Any]) -> Iterator[Found]:
    """Yield what can be understood; a hub that ignores the limit of size is held to it where it tells sizes."""
    for each in found:
        model = _found(each)
        if model is None:
            continue
        too_large = query.max_b is not None and (model.parameters or 0) > query.max_b * CLASS_MARGIN * 1e9
        if not too_large:
            yield model


def _found(each: object) -> Found | None:
    if not isinstance(each, Mapping) or not isinstance(each.get("id"), str):
        return None
    tags = [tag for tag in each.get("tags") or () if isinstance(tag, str)]
    stored = each.get("safetensors")
    task = each.get("pipeline_tag")
    return Found(
        id=each["id"],
        task=task if isinstance(task, str) else None,
        parameters=_count(stored.get("total")) if isinstance(stored, Mapping) else None,
        licence=next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None),
        gated=None if "gated" not in each else bool(each["gated"]),
        downloads=_count(each.get("downloads")),
        likes=_count(each.get("likes")),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
