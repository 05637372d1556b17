"""Thoughts are never shown, however the stream is cut, and all else is."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from botbridge.thoughts import CLOSING, OPENING, without_thoughts

PARTS = st.sampled_from([OPENING, CLOSING, "<", "<thin", "k>", "</think", ">", " ", "\n", "a", "ب"])
WORDS = st.lists(PARTS | st.text(max_size=3), max_size=12).map("".join)
THOUGHTS = WORDS.filter(lambda text: CLOSING not in text)
BLANKS = st.text(" \n\t", max_size=3)


def shown(text: str, cuts: list[int]) -> list[str]:
    """What is read after each piece of a stream that is cut at these places, and at its end."""
    ends = sorted(cut % (len(text) + 1) for cut in cuts)
    return [*(without_thoughts(text[:end], is_whole=False) for end in ends), without_thoughts(text, is_whole=True)]


@given(before=BLANKS, thoughts=THOUGHTS, between=BLANKS, answer=WORDS, cuts=st.lists(st.integers(0)))
def test_only_what_follows_the_thoughts_is_read(
    before: str, thoughts: str, between: str, answer: str, cuts: list[int]
) -> None:
    *_, last = shown(f"{before}{OPENING}{thoughts}{CLOSING}{between}{answer}", cuts)
    assert last == answer.lstrip()


@given(before=BLANKS, thoughts=THOUGHTS, cuts=st.lists(st.integers(0)))
def test_thoughts_without_an_end_are_no_answer(before: str, thoughts: str, cuts: list[int]) -> None:
    assert set(shown(f"{before}{OPENING}{thoughts}", cuts)) == {""}


@given(text=WORDS, cuts=st.lists(st.integers(0)))
def test_what_was_read_is_never_taken_back(text: str, cuts: list[int]) -> None:
    """Each text that was shown begins the next."""
    read = shown(text, cuts)
    assert all(later.startswith(earlier) for earlier, later in pairwise(read))


@given(text=WORDS.filter(lambda text: not text.lstrip().startswith(OPENING)))
def test_an_answer_that_begins_otherwise_is_read_whole(text: str) -> None:
    """A tag in its middle, too, and what might have become one."""
    assert without_thoughts(text, is_whole=True) == text


@given(text=st.text(min_size=1).filter(lambda text: text.lstrip()[:1] not in ("<", "")), end=st.integers(1))
def test_an_answer_that_cannot_become_thoughts_is_held_back_nowhere(text: str, end: int) -> None:
    piece = text.lstrip()[: 1 + end % len(text)]
    assert without_thoughts(piece, is_whole=False) == piece
