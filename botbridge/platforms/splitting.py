"""Markdown cut into parts that a platform takes.

A cut falls at the end of a paragraph if it can, else of a line, a sentence, a
word, a grapheme. A code fence that is cut is closed before the cut and opened
again after it.

Not covered: bold or a link that is cut open shows its marks; what `fences` does
not take for a fence is cut like any other text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from enum import IntEnum

import regex

from botbridge.platforms.fences import Fence, Line, LineKind, Measure, lines, looks_like_fence

LEAST_LIMIT = 64
"""With less room there is no place for a fence, its closing and a word between."""

_GRAPHEME = regex.compile(r"\X")
# A blank that carries a combining mark is a visible character.
_BLANK = r"\s(?![\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}])"
_BLANKS = regex.compile(rf"(?:{_BLANK})+")
_SENTENCE_END = regex.compile(rf"[.!?…؟]+[\"'”’)\]*_]*(?={_BLANK})|[。！？]+[」』”’]*")


class _Level(IntEnum):
    """Where a cut falls, the best place first."""

    PARAGRAPH = 0
    LINE = 1
    SENTENCE = 2
    WORD = 3
    GRAPHEME = 4


def utf16_units(text: str) -> int:
    """Count as Telegram does: a character outside the basic plane is two.

    Source: https://core.telegram.org/api/entities#entity-length

    >>> utf16_units("a😀")
    3
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int, measure: Measure = len) -> tuple[str, ...]:
    r"""Cut Markdown into parts that each fit; nothing but blanks at the cuts is lost.

    The time grows with the length of the text and no faster. No grapheme is cut
    unless it alone is longer than the limit. Every part has its fences closed.

    Args:
        text: Markdown; text of nothing but blanks gives no part at all.
        limit: The most that `measure` may say of a part; 64 or more.
        measure: A length that adds up over pieces and is at least 1 for each
            character, such as `len` or `utf16_units`.

    Raises:
        ValueError: The limit is below 64.

    >>> code = "```py\n" + "call()\n" * 9 + "```"
    >>> split(code, 64)[1]
    '```py\ncall()\ncall()\n```'
    """
    if limit < LEAST_LIMIT:
        message = f"limit {limit} is below {LEAST_LIMIT}"
        raise ValueError(message)
    return tuple(_Walk(text, limit, measure).parts())


class _Walk:
    """One pass over a text, from cut to cut."""

    def __init__(self, text: str, limit: int, measure: Measure) -> None:
        self._limit = limit
        self._measure = measure
        self._lines = list(lines(text.replace("\r\n", "\n").replace("\r", "\n"), limit, measure))
        self._text = "".join(line.text for line in self._lines)
        self._starts = [line.start for line in self._lines]

    def parts(self) -> Iterator[str]:
        position = self._resume(0)
        while position < len(self._text):
            fence = self._line_at(position).fence
            reopening = "" if fence is None else f"{fence.opening}\n"
            cut = self._cut(position, self._limit - self._measure(reopening))
            if not self._text[position:cut].isspace():
                yield reopening + self._body(position, cut, fence)
            position = self._resume(cut)

    def _index_at(self, position: int) -> int:
        # The last line is empty and begins where the text ends.
        return bisect_right(self._starts, position) - 1

    def _line_at(self, position: int) -> Line:
        return self._lines[self._index_at(position)]

    def _body(self, position: int, cut: int, reopened: Fence | None) -> str:
        """The text between two cuts, with the fence that the second one cuts closed.

        A fence that was opened again stands at the margin, so its closing must too.
        """
        body = self._text[position:cut]
        if reopened is not None:
            body = self._closed_at_margin(position, cut)
        open_fence = self._line_at(cut).fence
        if open_fence is None:
            return body.rstrip()
        indent = "" if open_fence is reopened else open_fence.indent
        return body.removesuffix("\n") + f"\n{indent}{open_fence.marker}"

    def _closed_at_margin(self, position: int, cut: int) -> str:
        for index in range(self._index_at(position), len(self._lines)):
            line = self._lines[index]
            if line.start >= cut:
                break
            if line.kind is LineKind.CLOSING:
                return self._text[position : line.start] + line.text.lstrip() + self._text[line.end : cut]
        return self._text[position:cut]

    def _resume(self, cut: int) -> int:
        """Where the next part begins: behind blanks, but with the indentation of its line.

        A fence that would be opened again only to be closed is not opened.
        """
        line = self._line_at(cut)
        if line.kind is LineKind.CLOSING and cut == line.start:
            cut = line.end
        if self._line_at(cut).fence is not None:
            return cut
        blanks = _BLANKS.match(self._text, cut)
        if blanks is None:
            return cut
        newline = self._text.rfind("\n", cut, blanks.end())
        if newline >= 0:
            return newline + 1
        return cut if cut == self._line_at(cut).start else blanks.end()

    def _cut(self, position: int, room: int) -> int:
        """The best place to end a part that begins at `position` and holds `room` at most."""
        sizes = self._sizes(position, room)
        if self._fits(len(self._text), sizes, room):
            return len(self._text)
        places = self._places(position, sizes)
        for least in (room // 2, 0):
            for level in _Level:
                if level is _Level.GRAPHEME and least:
                    continue
                for place in reversed(places[level]):
                    if sizes[place] < least:
                        break
                    if self._fits(place, sizes, room) and self._is_clean(place, position):
                        return place
        return self._forced_cut(position, room)

    def _sizes(self, position: int, room: int) -> dict[int, int]:
        """The graphemes' ends that lie within the room, with what they measure from `position` on."""
        sizes: dict[int, int] = {}
        total = 0
        # One character further than there is room for shows where the last grapheme ends.
        for grapheme in _GRAPHEME.finditer(self._text, position, min(len(self._text), position + room + 1)):
            total += self._measure(grapheme[0])
            if total > room:
                break
            sizes[grapheme.end()] = total
        return sizes

    def _closing_size(self, place: int) -> int:
        fence = self._line_at(place).fence
        return 0 if fence is None else self._measure(f"\n{fence.indent}{fence.marker}")

    def _fits(self, place: int, sizes: dict[int, int], room: int) -> bool:
        return place in sizes and sizes[place] + self._closing_size(place) <= room

    def _places(self, position: int, sizes: dict[int, int]) -> dict[_Level, list[int]]:
        """All places where a part may end, by level, in ascending order."""
        places: dict[_Level, list[int]] = {level: [] for level in _Level}
        end = max(sizes, default=position)
        for index in range(self._index_at(position), len(self._lines)):
            line = self._lines[index]
            if line.start > end:
                break
            if line.start > position and self._lines[index - 1].kind is not LineKind.OPENING:
                places[_line_level(self._lines[index - 1], line)].append(line.start)
            if line.is_breakable:
                _note_inner(places, line, self._text, max(position, line.start), min(end, line.end))
        places[_Level.GRAPHEME] = [place for place in sizes if self._line_at(place).is_breakable]
        return {level: [place for place in found if place in sizes] for level, found in places.items()}

    def _is_clean(self, place: int, position: int) -> bool:
        """False for a cut that would make a fence out of a piece of a line."""
        line = self._line_at(place)
        if place == line.start:
            return True
        if position <= line.start and place - line.start < line.least_head:
            return False
        following = self._resume(place)
        return following == self._line_at(following).start or not looks_like_fence(self._text, following)

    def _forced_cut(self, position: int, room: int) -> int:
        """The furthest character that fits, for one grapheme that is longer than a part."""
        total, best = 0, position + 1
        for place in range(position + 1, min(len(self._text), position + room) + 1):
            total += self._measure(self._text[place - 1])
            if total + self._closing_size(place) > room:
                break
            if self._line_at(place).is_breakable:
                best = place
        return best


def _line_level(before: Line, line: Line) -> _Level:
    outside = line.fence is None
    at_border = before.text.isspace() or before.kind is LineKind.CLOSING or line.kind is LineKind.OPENING
    return _Level.PARAGRAPH if outside and at_border else _Level.LINE


def _note_inner(places: dict[_Level, list[int]], line: Line, text: str, start: int, end: int) -> None:
    if line.kind is LineKind.PROSE:
        places[_Level.SENTENCE].extend(found.end() for found in _SENTENCE_END.finditer(text, start, end))
        places[_Level.WORD].extend(
            found.start() for found in _BLANKS.finditer(text, start, end) if found.start() > start
        )
    else:
        places[_Level.WORD].extend(found.end() for found in _BLANKS.finditer(text, start, end))
