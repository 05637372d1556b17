"""Which lines of a Markdown text are code, and which fence they stand in.

Not covered: fences inside block quotes are plain lines; a fence whose marks and
indentation are longer than the caller allows is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

import regex

Measure = Callable[[str], int]

# Indentation is bounded, so that looking for a fence behind blanks takes constant time.
_OPENING = regex.compile(r"(?P<indent>[ \t]{0,32})(?P<marker>`{3,}|~{3,})(?P<info>.*)", regex.DOTALL)
_RUN = regex.compile(r"[ \t]{0,32}(?:`{3,}|~{3,})")
_BEGINNING = regex.compile(r"[ \t]{0,32}(?:```|~~~)")


class LineKind(Enum):
    """What a line is to a fence."""

    PROSE = auto()
    OPENING = auto()
    CODE = auto()
    CLOSING = auto()


@dataclass(frozen=True, slots=True)
class Fence:
    """The marks around a block of code; `info` is its language."""

    indent: str
    marker: str
    info: str

    @property
    def opening(self) -> str:
        """The line that opens it, without indentation and newline."""
        # Tildes may be a language, too, and must not make the marks longer.
        gap = " " if self.info.startswith(self.marker[0]) else ""
        return f"{self.marker}{gap}{self.info}"

    def is_closed_by(self, line: str) -> bool:
        """True for a line of nothing but at least as many of the same marks."""
        stripped = line.strip()
        return len(stripped) >= len(self.marker) and not stripped.strip(self.marker[0])


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its newline, and the fence that is open where it begins.

    Attributes:
        least_head: How many characters a first piece of the line needs so as
            not to be taken for a fence.
    """

    text: str
    start: int
    kind: LineKind
    fence: Fence | None
    least_head: int

    @property
    def end(self) -> int:
        """Where the next line begins."""
        return self.start + len(self.text)

    @property
    def is_breakable(self) -> bool:
        """False for the lines of a fence itself, which lose their meaning in two pieces."""
        return self.kind in (LineKind.PROSE, LineKind.CODE)


def looks_like_fence(text: str, position: int) -> bool:
    """True when a line that began at this position would open or close a fence."""
    return _BEGINNING.match(text, position) is not None


def lines(text: str, limit: int, measure: Measure) -> Iterator[Line]:
    """Yield the lines of a text, then an empty one that says what is open at the end.

    The lines of a fence itself come out tidied: no blanks at their end, as many
    closing marks as opening ones, and what is too long for a language becomes
    the first line of the code.

    Args:
        limit: A fence's indentation and marks take an eighth of this at most,
            its marks and language a quarter.
    """
    position = 0
    fence: Fence | None = None
    for raw in text.split("\n"):
        for line, kind, after in _classified(raw + "\n", fence, limit, measure):
            yield Line(line, position, kind, fence, _least_head(line, kind))
            position += len(line)
            fence = after
    yield Line("", position, LineKind.PROSE if fence is None else LineKind.CODE, fence, 0)


def _classified(
    raw: str, fence: Fence | None, limit: int, measure: Measure
) -> Iterator[tuple[str, LineKind, Fence | None]]:
    """Yield a line, or several for a fence with an overlong language, each with the fence that is open after it."""
    if fence is not None:
        if fence.is_closed_by(raw):
            indent = raw[: len(raw) - len(raw.lstrip())][: len(fence.indent)]
            yield f"{indent}{fence.marker}\n", LineKind.CLOSING, None
        else:
            yield raw, LineKind.CODE, fence
        return
    found = _OPENING.match(raw)
    if found is None or measure(found["indent"] + found["marker"]) > limit // 8:
        yield raw, LineKind.PROSE, None
        return
    indent, marker, info = found["indent"], found["marker"], found["info"].strip()
    # Code in one line, as in ```x```. Only if it must be cut is it made a block.
    if marker[0] == "`" and "`" in info and (measure(raw) <= limit or "`" in info[: limit // 4]):
        yield raw, LineKind.PROSE, None
        return
    bare = Fence(indent, marker, "")
    # Nothing but more marks is no language, and as a line of code it would close the fence.
    fence = bare if bare.is_closed_by(info) else Fence(indent, marker, info)
    if measure(fence.opening) <= limit // 4:
        yield f"{indent}{fence.opening}\n", LineKind.OPENING, fence
    else:
        code = info.removesuffix(marker)
        yield f"{indent}{marker}\n", LineKind.OPENING, bare
        yield f"{code}\n", LineKind.CODE, bare
        if code != info:
            yield f"{indent}{marker}\n", LineKind.CLOSING, None


def _least_head(line: str, kind: LineKind) -> int:
    run = _RUN.match(line)
    if run is None:
        return 0
    rest = line[run.end() :]
    if kind is LineKind.CODE:
        return run.end() + len(rest) - len(rest.lstrip()) + 1
    return run.end() + rest.find("`") + 1
