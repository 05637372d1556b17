"""The tree of errors is drawn as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from botbridge import errors
from botbridge.errors import BotBridgeError

BRANCH = re.compile(r"^    (?P<trunk>(?:│   |    )*(?:[├└]── )?)(?P<name>\w+)", re.MULTILINE)
"""A line of the drawing: four columns a level."""


def drawn(doc: str) -> list[tuple[int, str]]:
    """Each error of a drawing with its depth, in the drawing's order."""
    return [(len(line["trunk"]) // 4, line["name"]) for line in BRANCH.finditer(doc)]


def defined(kind: type[BotBridgeError], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Each error with its depth, in the order in which they are defined."""
    yield depth, kind.__name__
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from defined(child, depth + 1)


def test_each_error_is_drawn_where_it_stands_and_no_other_is() -> None:
    assert drawn(errors.__doc__ or "") == list(defined(BotBridgeError))
