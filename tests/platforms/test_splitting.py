"""Markdown is cut so that every part fits, reads well and lost nothing."""

from __future__ import annotations

import time

import pytest
import regex
from hypothesis import assume, example, given
from hypothesis import strategies as st

from botbridge.platforms.fences import Measure
from botbridge.platforms.splitting import split, utf16_units

FENCE = regex.compile(r"[ \t]{0,32}(?P<marker>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)$")


def fence_open_at_end(text: str) -> bool:
    """Read a part as CommonMark does and say whether a fence is left open."""
    marker = ""
    for line in text.split("\n"):
        found = FENCE.match(line)
        if not marker:
            marker = found["marker"] if found else ""
        elif set(line.strip()) == {marker[0]} and len(line.strip()) >= len(marker):
            marker = ""
    return bool(marker)


def has_ordinary_fences(text: str, limit: int) -> bool:
    """False for marks that are longer than an eighth of the limit, which are never taken for a fence."""
    runs = regex.finditer(r"[ \t]*(`{3,}|~{3,})", text)
    return all(len(run[0]) <= limit // 8 for run in runs)


def visible(text: str) -> list[str]:
    """The graphemes that can be seen, fences left out: these a split must keep."""
    kept = [line for line in text.split("\n") if not FENCE.match(line)]
    return [grapheme.strip() for grapheme in regex.findall(r"\X", "\n".join(kept)) if grapheme.strip()]


PIECES = st.sampled_from(
    [
        "word", "longer-word", "a", " ", "  ", "\n", "\n\n", "    ", "\t", ". ", "! ", "؟ ", "。", "**bold**", "`x`",
        "\n```py\n", "\n```\n", "\n~~~\n", "\n````md\n", "```", "``", "~~~", "\n   ```\n", "\n- item\n  ```sh\n",
        "x" * 70, "سلام ", "e\u0301", "👨\u200d👩\u200d👧\u200d👦", "🇩🇪", "😀", "漢字", "\r\n", " \u0301", "\n> ",
    ]
)  # fmt: skip
LONG_LANGUAGE = "\n```" + "i" * 40 + "\n"
MARKDOWN = st.lists(PIECES, max_size=60).map("".join)


@given(text=MARKDOWN | st.text(max_size=400), limit=st.integers(64, 300), measure=st.sampled_from([len, utf16_units]))
@example(text=LONG_LANGUAGE + "code\n", limit=64, measure=len)
@example(text="~~~ ~~~", limit=64, measure=len)
@example(text="~~~ ~~~x\n" + "code\n" * 20, limit=64, measure=len)
@example(text="~~~ " + "~" * 100, limit=64, measure=len)
@example(text="```" + "x" * 100 + "`", limit=64, measure=len)
@example(text="word " * 11 + "      ```more words here and there", limit=64, measure=len)
def test_every_part_fits_shows_something_and_has_its_fences_closed(text: str, limit: int, measure: Measure) -> None:
    """Whatever comes in, what goes out is taken by the platform."""
    assume(has_ordinary_fences(text, limit))
    for part in split(text, limit, measure):
        assert 0 < measure(part) <= limit
        assert part.strip()
        assert not fence_open_at_end(part)


@given(text=MARKDOWN, limit=st.integers(64, 300), measure=st.sampled_from([len, utf16_units]))
def test_nothing_that_can_be_seen_is_lost_and_no_grapheme_is_cut(text: str, limit: int, measure: Measure) -> None:
    """Joined, the parts hold the same graphemes in the same order; what is made a block has tests of its own."""
    assume(has_ordinary_fences(text, limit))
    marked = [line for line in text.split("\n") if line.lstrip().startswith(("```", "~~~"))]
    assume(all(utf16_units(line) <= (16 if FENCE.match(line) else 64) for line in marked))
    assert visible("\n".join(split(text, limit, measure))) == visible(text.replace("\r\n", "\n"))


@pytest.mark.parametrize(
    "unit",
    [
        "x",
        "x ",
        "\n",
        " ",
        "`",
        "```\n",
        "\n\n",
        "```a\n\n",
        "e\u0301",
        "\u0301",
        "😀",
        "~~~ ```\n",
        "a. ",
        "\t`",
        "` ``` ",
    ],
)
def test_a_hundred_thousand_characters_of_anything_take_time_in_proportion(unit: str) -> None:
    """Ten times the text costs about ten times the processor, where a quadratic walk would cost a hundred.

    One round of five is enough: a busy machine makes a round look worse, never better.
    """

    def cpu_s(length: int) -> float:
        text = (unit * length)[:length]
        start = time.process_time()
        parts = split(text, 4096, utf16_units)
        took_s = time.process_time() - start
        assert all(utf16_units(part) <= 4096 for part in parts)
        return took_s

    assert any(cpu_s(100_000) < 40 * max(cpu_s(10_000), 0.005) for _ in range(5))


def test_short_text_stays_whole() -> None:
    """What fits is not touched, indentation included."""
    assert split("  - a\n  - b", 64) == ("  - a\n  - b",)


@pytest.mark.parametrize("blank", ["", " ", "\n\n", "\r\n\t "])
def test_blank_text_gives_no_part(blank: str) -> None:
    """There is nothing to send."""
    assert split(blank, 64) == ()


def test_a_limit_without_room_for_a_fence_is_refused() -> None:
    """Better a clear error than parts that cannot keep the promise."""
    with pytest.raises(ValueError, match="below 64"):
        split("text", 63)


def test_the_cut_prefers_paragraph_to_line_to_sentence_to_word() -> None:
    """Each level is used only when the better one has no place in the second half."""
    one, two = "a" * 40, "b" * 40
    assert split(f"{one}\n\n{two[:10]}\n{two}", 64) == (one, f"{two[:10]}\n{two}")
    assert split(f"{one}. x\n{two}", 64) == (f"{one}. x", two)
    assert split(f"{one}. more {two}", 64) == (f"{one}.", f"more {two}")
    assert split(f"{one} {two}", 64) == (one, two)
    assert split("c" * 100, 64) == ("c" * 64, "c" * 36)


def test_a_cut_fence_is_closed_and_opened_again_with_its_language() -> None:
    """Both parts show as code."""
    first, second = split("Look:\n```python\n" + "call(1)\n" * 10 + "```\nDone.", 80)
    assert first.startswith("Look:\n```python\ncall(1)\n")
    assert first.endswith("call(1)\n```")
    assert second.startswith("```python\ncall(1)\n")
    assert second.endswith("```\nDone.")


def test_a_fence_that_fits_is_not_cut() -> None:
    """A block that would not fit any more moves whole into the next part."""
    text = "p" * 40
    code = "```py\n" + "x = 1\n" * 4 + "```"
    assert split(f"{text}\n{code}", 64) == (text, code)


def test_a_language_that_is_too_long_becomes_code() -> None:
    """An info string of 200 characters is nothing to repeat in every part."""
    parts = split("```" + "i" * 200 + "\ncode\n```", 64)
    assert all(part.startswith("```\n") and part.endswith("\n```") for part in parts)
    assert "".join(parts).count("i") == 200


def test_code_in_one_line_stays_as_it_is_while_it_fits_and_becomes_a_block_when_it_must_be_cut() -> None:
    """What follows is prose in both cases."""
    short, long = "```" + "call() " * 7 + "```", "```" + "call() " * 20 + "```"
    assert split(f"{short}\nDone soon.", 64) == (short, "Done soon.")
    *blocks, end = split(f"{long}\n\n{'Done. ' * 10}", 64)
    assert all(block.startswith("```\ncall()") and block.endswith("\n```") for block in blocks)
    assert end.startswith("Done.")


def test_an_open_fence_is_closed() -> None:
    """A half-streamed answer is sound Markdown, too."""
    assert split("```py\nx = 1", 64) == ("```py\nx = 1\n```",)


def test_a_fence_in_a_list_is_closed_at_its_own_indentation_and_opened_again_at_the_margin() -> None:
    """The list is gone in the second part, and with it the reason to indent."""
    first, second = split("- item\n     ```sh\n" + "     run\n" * 9 + "     ```", 80)
    assert first.endswith("\n     ```")
    assert second.startswith("```sh\n     run")
    assert second.endswith("\n```")


def test_2049_emoji_are_two_telegram_messages_and_two_discord_messages() -> None:
    """4,098 UTF-16 units do not fit 4,096; 2,049 characters do not fit 2,000."""
    text = "😀" * 2049
    assert [utf16_units(part) for part in split(text, 4096, utf16_units)] == [4096, 2]
    assert [len(part) for part in split(text, 2000)] == [2000, 49]


def test_a_family_is_not_torn_apart() -> None:
    """A grapheme of seven code points goes over the cut whole."""
    family = "👨\u200d👩\u200d👧\u200d👦"
    parts = split(family * 30, 64, utf16_units)
    assert all(set(regex.findall(r"\X", part)) == {family} for part in parts)


def test_a_single_grapheme_beyond_the_limit_is_cut_between_code_points() -> None:
    """A base with 5,000 marks on it is somebody's joke, and still arrives."""
    text = "a" + "\u0301" * 5000
    parts = split(text, 4096, utf16_units)
    assert "".join(parts) == text
    assert len(parts) == 2
