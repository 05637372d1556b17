"""What is measured of an answer while it is made."""

from __future__ import annotations

from botbridge.answers import Completion, Delta, FinishReason, Provenance, Sampling, Started
from botbridge.conversation.progress import Progress
from botbridge.conversation.rates import Observation
from tests.fakes.asking import prompt_of


def completed(*ids: int, uncounted_tokens: int = 0) -> Completion:
    """The end of an answer of these tokens."""
    origin = Provenance("m", "r", "e", "1", Sampling(), "0" * 64, 40, 10, 1, ids, uncounted_tokens=uncounted_tokens)
    return Completion(FinishReason.STOP, origin)


def test_an_answer_is_measured_from_its_start_over_its_first_words_to_its_end() -> None:
    progress = Progress()
    prompt = prompt_of("too old", "to be used", "12345", system="123")
    progress.begin(prompt, Started(prompt_tokens=40, cached_tokens=10, used_turns=1), prompt_weight=0.1, now_s=100.0)
    assert progress.spent == 3.0
    progress.add(Delta("a", 2), streams=1, now_s=101.0)
    progress.add(Delta("b", 7), streams=3, now_s=102.0)
    assert progress.spent == 10.0
    seen = progress.end(completed(*range(12)), streams=5, now_s=106.0)
    assert seen == Observation(
        prompt_chars=8,
        prompt_tokens=40,
        computed_tokens=30,
        prefill_s=1.0,
        completion_tokens=12,
        decode_tokens=10,
        decode_s=5.0,
        streams=3,
    )
    assert progress.spent == 15.0


def test_an_answer_without_words_measures_no_speed() -> None:
    progress = Progress()
    progress.begin(prompt_of("x"), Started(5, 0, 1), prompt_weight=1.0, now_s=0.0)
    seen = progress.end(completed(2), streams=1, now_s=9.0)
    assert (seen.prefill_s, seen.decode_tokens, seen.decode_s, seen.streams) == (0.0, 0, 0.0, 1)


def test_an_answer_without_ids_is_as_long_as_its_server_says() -> None:
    progress = Progress()
    progress.begin(prompt_of("x"), Started(5, 0, 1), prompt_weight=1.0, now_s=0.0)
    progress.add(Delta("a", 1), streams=1, now_s=1.0)
    assert progress.end(completed(uncounted_tokens=30), streams=1, now_s=2.0).completion_tokens == 30
