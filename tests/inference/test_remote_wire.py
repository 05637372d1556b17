"""What a server's refusals mean, and when it wants to be asked again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from botbridge.answers import Role, Sampling, Turn
from botbridge.inference.remote_answer import Question, RemoteAnswer
from botbridge.inference.remote_options import base_url
from botbridge.inference.remote_wire import Chunk, Fault, RemoteFault, fault_of_status, in_short, pause_of

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "name", "message", "says_when", "fault"),
    [
        (401, "", "Invalid API Key", False, Fault.REFUSED),
        (402, "", "Payment Required", False, Fault.REFUSED),
        (403, "", "Country not supported", False, Fault.REFUSED),
        (404, "", "The model `x` does not exist.", False, Fault.REFUSED),
        (429, "insufficient_quota insufficient_quota", "You exceeded your current quota", True, Fault.REFUSED),
        (429, "rate_limit_exceeded", "", False, Fault.BUSY),
        (503, "", "", True, Fault.BUSY),
        (503, "unavailable_error", "Loading model", False, Fault.NOT_READY),
        (500, "", "context length", False, Fault.FAILED),
        (504, "", "", False, Fault.FAILED),
        (408, "", "", False, Fault.FAILED),
        (400, "", "`inputs` tokens + `max_new_tokens` must be <= 4096", False, Fault.TOO_LONG),
        (413, "", "Please reduce the length of the messages", False, Fault.TOO_LONG),
        (400, "", "Conversation roles must alternate", False, Fault.REJECTED),
        (422, "", "extra fields not permitted", False, Fault.REJECTED),
        (307, "", "", False, Fault.REJECTED),
    ],
)
def test_a_refusal_says_what_may_be_done_about_it(
    status: int, name: str, message: str, says_when: bool, fault: Fault
) -> None:
    assert fault_of_status(status, name, message, says_when=says_when) is fault


@pytest.mark.parametrize(
    ("told", "pause_s"),
    [
        ("7", 7),
        (" 0.5 ", 0.5),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 11:59:00 GMT", 0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("9" * 30, None),
    ],
)
def test_a_pause_is_read_in_seconds_or_as_a_date_and_nonsense_is_none(told: str, pause_s: float | None) -> None:
    assert pause_of({"retry-after": told}, NOW) == pause_s
    assert pause_of({}, NOW) is None


@pytest.mark.parametrize(
    ("server_now", "pause_s"), [("Fri, 02 Jan 2026 12:00:00 GMT", 30), ("noon", 86_430)], ids=["told", "untold"]
)
def test_a_date_is_held_against_the_servers_own_clock_where_it_tells_that(server_now: str, pause_s: float) -> None:
    """C9: of a clock that is a day behind, ours here, would come a pause of a day."""
    headers = {"retry-after": "Fri, 02 Jan 2026 12:00:30 GMT", "date": server_now}
    assert pause_of(headers, NOW) == pause_s


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({}, ""),
        ({"choices": None, "usage": None, "model": None}, ""),
        ({"choices": [], "usage": {}}, ""),
        ({"choices": [{"delta": {"role": "assistant", "content": None}}]}, ""),
        ({"choices": [{"delta": {"reasoning_content": "hm"}}]}, ""),
        ({"choices": [{"delta": None, "finish_reason": "stop"}]}, ""),
        ({"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 1, "prompt_tokens_details": None}}, "a"),
    ],
)
def test_events_with_missing_and_null_fields_are_read(event: dict[str, object], text: str) -> None:
    assert Chunk.model_validate(event).text == text


def test_a_long_message_is_cut_to_one_short_line() -> None:
    assert in_short("a\n\n  b\tc") == "a b c"
    assert len(in_short("x" * 10_000)) == 201


def test_an_address_with_a_path_is_taken_as_it_is() -> None:
    assert base_url("http://host:8000") == "http://host:8000/v1"
    assert base_url("http://host:8000/") == "http://host:8000/v1"
    assert base_url("http://[::1]:8000/api") == "http://[::1]:8000/api"


def test_an_answer_that_is_too_long_is_not_whole_though_it_ends_in_the_same_event() -> None:
    turns = (Turn(Role.USER, "hello"),)
    question = Question("m", "k", "", turns, Sampling(max_new_tokens=10), max_tokens=10)
    answer = RemoteAnswer(question, "http://server", "1", tokens_per_char=0.25)
    event = {"choices": [{"delta": {"content": "x" * 10_000}, "finish_reason": "stop"}]}
    with pytest.raises(RemoteFault, match="longer answer than it was asked for"):
        answer.take(Chunk.model_validate(event))
    assert not answer.is_whole
