"""The text of an answer, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
"""What a decoder puts where bytes do not (yet) form a character."""


class AnswerText:
    """Turns an answer's tokens into text that is never taken back.

    Joined, the pieces are the decoded answer, cut at the first stop string,
    without white space around it. A piece never holds a part of a character, a
    part of a stop string, or white space that the end of the answer would drop.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop_strings: Sequence[str] = ()) -> None:
        """Begin an empty answer.

        Args:
            decode: Ids to text, without special tokens.
            stop_strings: Each ends the answer and does not belong to it.
        """
        self._decode = decode
        self._stop_strings = tuple(stop_strings)
        self._ids: list[int] = []
        self._told_from = 0  # ids from here are decoded together: a word's form may depend on the one before
        self._told_to = 0
        self._held = ""  # decoded and not given out
        self._begun = False
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Take the next token; return the text that it completes, often empty.

        `stopped` is true when it completed a stop string; no more may follow then.
        """
        self._ids.append(token_id)
        text = self._decode(self._ids[self._told_from :])
        if text.endswith(REPLACEMENT):
            return ""
        return self._give(self._decoded(text))

    def finish(self) -> str:
        """Return what was held back, now that no token follows."""
        if self.stopped:
            return ""
        text = self._decode(self._ids[self._told_from :]).rstrip(REPLACEMENT)
        piece = (self._give(self._decoded(text)) + self._held).rstrip()
        self._held = ""
        return piece if self._begun else piece.lstrip()

    def _decoded(self, text: str) -> str:
        """Return what `text`, the decoded recent ids, holds beyond what was decoded before."""
        known = self._decode(self._ids[self._told_from : self._told_to])
        if len(text) <= len(known):
            return ""
        self._told_from, self._told_to = self._told_to, len(self._ids)
        return text[len(known) :]

    def _give(self, text: str) -> str:
        """Add decoded text; return what of it is safe."""
        self._held += text
        found = [place for place in map(self._held.find, self._stop_strings) if place >= 0]
        if found:
            self.stopped = True
            safe = self._held[: min(found)].rstrip()
            self._held = ""
        else:
            cut = len(self._held) - self._unsafe_length()
            safe, self._held = self._held[:cut], self._held[cut:]
        if not self._begun:
            safe = safe.lstrip()
            self._begun = bool(safe)
        return safe

    def _unsafe_length(self) -> int:
        """How many characters at the end may turn out to be a stop string or the white space before the end."""
        longest = max((len(stop) for stop in self._stop_strings), default=1)
        partial = next(
            (
                size
                for size in range(min(longest - 1, len(self._held)), 0, -1)
                if any(stop.startswith(self._held[-size:]) for stop in self._stop_strings)
            ),
            0,
        )
        return len(self._held) - len(self._held[: len(self._held) - partial].rstrip())
