"""What a model writes arrives as Telegram takes it; TDLib, Telegram's own parser, is the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.messages import Part
from botbridge.platforms.splitting import utf16_units
from botbridge.platforms.telegram.render import clip, render, unformatted
from tests.fakes.telegram.entities import checked, detected

MARKS = st.sampled_from(
    [
        *("*", "**", "_", "__", "`", "```\n", "~~", "||", "# ", "> ", "- ", "1. ", "---\n", "$x$", "\\", "|"),
        *("[a](http://b.c)", "[a](tg://user?id=1)", "![i](x)", "[", "](", "<b>", "</b>", "<", "&"),
        *("\n", "\n\n", " ", "word", "سلام", "😀", "\ud800", "\x00", "\x1b["),
    ]
)


def entities_of(part: Part) -> list[dict[str, Any]]:
    """The entities as they go out."""
    return json.loads(part.markup) if part.markup else []


@given(st.lists(MARKS, max_size=40).map("".join) | st.text())
def test_whatever_a_model_writes_telegram_takes(text: str) -> None:
    """Every part fits, shows something, and has entities that TDLib accepts."""
    for part in render(text):
        assert part.text.strip()
        assert utf16_units(part.text) <= 4096
        checked(part.text, entities_of(part))


def test_what_cannot_be_encoded_or_shown_is_replaced() -> None:
    """Lone halves of a character, NUL and the escapes with which a terminal could be steered."""
    assert render("a\ud800 b\x00\x1b[31m") == (Part("a\ufffd b[31m"),)


def test_formatting_becomes_entities() -> None:
    (part,) = render("**bold** `code`\n\n```py\nx = 1\n```")
    assert part.text == "bold code\n\nx = 1"
    assert [entity["type"] for entity in entities_of(part)] == ["bold", "code", "pre"]


@pytest.mark.parametrize(
    "text", ["List<String> x", "#include <stdio.h>", "<div>\n<p>hi</p>\n</div>", "a < b > c", "<!-- note -->"]
)
def test_html_is_shown_as_it_was_written(text: str) -> None:
    assert "".join(part.text for part in render(text)).split() == text.split()


@pytest.mark.parametrize("url", ["tg://user?id=42", "javascript:alert(1)", "file:///etc/passwd", "http://["])
def test_a_link_that_leads_nowhere_on_the_web_is_plain_text(url: str) -> None:
    """A model could call somebody with a `tg://user` link."""
    (part,) = render(f"[see]({url}) **b**")
    assert [entity["type"] for entity in entities_of(part)] == ["bold"]


def test_code_that_is_shown_as_plain_text_calls_nobody_either() -> None:
    (part,) = render("run `@robert` or\n```\n@alice\n```")
    assert [found["type"] for found in detected(part.text)] == ["mention", "mention"]
    assert detected(unformatted(part.text)) == []
    longest = "@robert " * 512
    assert unformatted(longest) == longest


CALLS = st.sampled_from(
    ["@robert", "/@robert", "https://example.org/@robert", "x.org/@robert", "a@robert.org", "@@robert", "(@12345)", "@"]
)


@given(st.lists(MARKS | CALLS, max_size=40).map("".join))
def test_no_name_in_an_answer_calls_anybody(text: str) -> None:
    """TDLib finds mentions by itself, but in code, where it looks for nothing."""
    for part in render(text):
        code = [entity for entity in entities_of(part) if entity["type"] in ("code", "pre")]
        for found in detected(part.text):
            is_code = any(of["offset"] <= found["offset"] < of["offset"] + of["length"] for of in code)
            assert found["type"] != "mention" or is_code
    assert "mention" not in {found["type"] for found in detected(clip(text))}


def test_a_name_is_shown_as_it_was_and_an_address_leads_where_it_led() -> None:
    (part,) = render("ask **@robert** at https://example.org/@robert: `@robert`, a@robert.org")
    bold, code = entities_of(part)
    assert part.text == "ask @\u2060robert at https://example.org/%40robert: @robert, a@robert.org"
    assert [part.text[entity["offset"] :][: entity["length"]] for entity in (bold, code)] == [
        "@\u2060robert",
        "@robert",
    ]


@pytest.mark.parametrize("blank", ["", "  ", "\n", "\x00", "[](http://a.b)"])
def test_there_is_always_something_to_send(blank: str) -> None:
    (part,) = render(blank)
    assert part.text.strip()


def test_2049_emoji_are_two_messages() -> None:
    """4,098 UTF-16 units, though only 2,049 characters."""
    assert [utf16_units(part.text) for part in render("😀" * 2049)] == [4096, 2]


def test_a_fence_over_the_cut_is_code_in_both_messages() -> None:
    parts = render("```python\n" + "print('hello')\n" * 400 + "```")
    assert len(parts) == 2
    for part in parts:
        (entity,) = entities_of(part)
        assert (entity["type"], entity["language"], entity["length"]) == ("pre", "python", utf16_units(part.text))
    assert sum(part.text.count("print") for part in parts) == 400


def test_what_grows_while_it_is_formatted_is_split_smaller() -> None:
    """A rule of three dashes is shown as eight."""
    parts = render("---\n" * 1000)
    assert len(parts) > 1
    assert sum(part.text.count("————————") for part in parts) == 1000


def test_a_status_is_one_plain_message() -> None:
    assert clip("**short**") == "**short**"
    assert clip("") == "…"
    long = clip("word " * 2000)
    assert utf16_units(long) <= 4096
    assert long.endswith("word…")
