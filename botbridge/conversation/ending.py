"""How an answer that ran out of room ends: at a sentence, or marked as cut."""

from __future__ import annotations

import re

CUT_MARK = " […]"

# A sentence ends with one of these, perhaps inside a closing quote or bracket,
# before white space or the end. U+061F and U+06D4 end sentences in Arabic script.
_SENTENCE_END = re.compile(r"[.!?…؟۔。！？][\"'»”’)\]*_]*(?=\s|$)")  # noqa: RUF001  (full-width forms are meant)
_LEAST_SHARE_KEPT = 0.5


def end_cut_answer(text: str) -> str:
    """The answer up to its last whole sentence, or all of it with a mark.

    Text is only given up for a sentence's sake when more than half of it is
    kept; inside an open code block it never is.

    >>> end_cut_answer("Paris is the capital. It lies on the")
    'Paris is the capital.'
    >>> end_cut_answer("One. And then a very long clause without an")
    'One. And then a very long clause without an […]'
    """
    text = text.rstrip()
    if text.count("```") % 2:
        return f"{text}\n```\n{CUT_MARK.strip()}"
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if not _is_list_number(text, match.start())]
    if ends and ends[-1] >= _LEAST_SHARE_KEPT * len(text):
        return text[: ends[-1]]
    return text + CUT_MARK


def _is_list_number(text: str, dot: int) -> bool:
    """Whether a dot belongs to the number of a list item, as in `2. milk`."""
    line = text[text.rfind("\n", 0, dot) + 1 : dot]
    return line.strip().isdigit()
