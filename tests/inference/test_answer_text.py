"""Text comes out token by token and is never taken back."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from botbridge.inference.answer_text import AnswerText


def decode(ids: Sequence[int]) -> str:
    """One token a byte."""
    return bytes(ids).decode("utf-8", "replace")


def pieces_of(text: str | bytes, *stop_strings: str) -> tuple[list[str], bool]:
    """What comes out for each byte, and at the end, and whether it stopped."""
    answer = AnswerText(decode, stop_strings)
    pieces = []
    for byte in text.encode() if isinstance(text, str) else text:
        pieces.append(answer.push(byte))
        if answer.stopped:
            break
    return [*pieces, answer.finish()], answer.stopped


@given(st.text())
def test_joined_the_pieces_are_the_text_without_white_space_around_it(text: str) -> None:
    """For any text, cut anywhere."""
    assert "".join(pieces_of(text)[0]) == text.strip()


@given(
    st.text(alphabet="ab \n🙂", max_size=30), st.lists(st.text("ab\n ", min_size=1, max_size=4), min_size=1, max_size=3)
)
def test_joined_the_pieces_end_before_the_first_stop_string(text: str, stop_strings: list[str]) -> None:
    """However the stop string is split into tokens, nothing of it is shown."""
    pieces, stopped = pieces_of(text, *stop_strings)
    places = [text.find(stop) for stop in stop_strings if stop in text]
    ends = [text.find(stop) + len(stop) for stop in stop_strings if stop in text]
    assert stopped == bool(places)
    read = text[: min(ends)] if ends else text
    cut = min((read.find(stop) for stop in stop_strings if stop in read), default=len(read))
    assert "".join(pieces) == read[:cut].strip()


@given(st.text())
def test_no_piece_holds_half_a_character(text: str) -> None:
    """A character of four bytes appears with the fourth."""
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces_of(text)[0])


def test_a_character_that_never_becomes_whole_is_left_out() -> None:
    """The length limit may cut an emoji in two."""
    assert "".join(pieces_of("good 🙂".encode()[:-2])[0]) == "good"


def test_white_space_is_held_back_until_something_follows() -> None:
    """An answer has no line ends at its end, and no gap is lost inside."""
    assert pieces_of(" a \nb \n")[0] == ["", "a", "", "", " \nb", "", "", ""]


def test_a_beginning_of_a_stop_string_is_given_out_when_it_was_none() -> None:
    """Held back, not lost."""
    assert pieces_of("a\nUsers", "\nUser:")[0] == ["a", "", "", "", "", "", "\nUsers", ""]
    assert pieces_of("a\nUse", "\nUser:")[0][-1] == "\nUse"


def test_an_answer_that_is_a_stop_string_is_empty() -> None:
    """And says that it stopped."""
    pieces, stopped = pieces_of("\nUser: and what", "\nUser:")
    assert "".join(pieces) == ""
    assert stopped
