"""Which calls in the product's source change something on a platform without a fault point around them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ASKED_FROM_TELEGRAM = "get_"
"""How the library names what changes nothing there."""

SAID_TO_DISCORD = ("send", "edit", "delete", "typing", "sync", "defer", "request")
"""What discord.py calls the things that change something there, as far as a bot that only talks has use for them."""

OF_THE_PORT = ("send", "edit", "typing")
"""What `ports.Platform` says: whoever calls it names a boundary, so that its implementations need none."""

BY_THE_PORT = (*OF_THE_PORT, "_send", "_edit", "_replace", "_call")
"""Functions of an adapter which nobody but these three reaches."""


def unbounded_calls(path: Path, source: str) -> Iterator[str]:
    """Name each such call as `file:line`.

    Args:
        path: Relative to the package; it says which library is spoken to.
        source: The text of the file.
    """
    reader = _Reader(path)
    reader.visit(ast.parse(source))
    yield from (f"{path.as_posix()}:{line}" for line in reader.found)


class _Reader(ast.NodeVisitor):
    """Walks through a file and knows in which function it is, and within how many `crossing`s."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._functions: list[str] = []
        self._crossings = 0
        self.found: list[int] = []

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Calls within it are not those of the function around it."""
        outside, self._crossings = self._crossings, 0
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()
        self._crossings = outside

    def visit_With(self, node: ast.With) -> None:
        """Whatever stands in it stands between `before` and `after`."""
        has_boundary = any("crossing(" in ast.unparse(item.context_expr) for item in node.items)
        self._crossings += has_boundary
        self.generic_visit(node)
        self._crossings -= has_boundary

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A method counts where it is named, because it may be called by a `partial`."""
        if not self._crossings and self._changes_something(node):
            self.found.append(node.lineno)
        self.generic_visit(node)

    def _changes_something(self, node: ast.Attribute) -> bool:
        whose, by_the_port = ast.unparse(node.value), bool({*self._functions} & {*BY_THE_PORT})
        if self._path.is_relative_to("platforms/telegram"):
            of_the_bot = whose in ("bot", "self._bot") and not node.attr.startswith((ASKED_FROM_TELEGRAM, "base_"))
            return (of_the_bot or node.attr == "do_request") and not by_the_port
        if self._path.is_relative_to("platforms/discord"):
            return node.attr in SAID_TO_DISCORD and not by_the_port
        return node.attr in OF_THE_PORT and "platform" in whose
