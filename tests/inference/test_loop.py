"""The worker's loop in this process: every request ends once, cancels and deadlines hold between two tokens."""

from __future__ import annotations

import queue
from hashlib import sha256

import pytest

from botbridge.answers import FinishReason, RequestId, Role, Sampling, Turn
from botbridge.errors import PromptTooLong
from botbridge.inference.engines.base import EngineInfo, EnginePrompt, EngineStats, TokenEvent
from botbridge.inference.loop import WorkerLoop
from botbridge.inference.protocol import (
    Cancel,
    DeltaMessage,
    Done,
    Failed,
    FailureKind,
    Forget,
    FromWorker,
    Generate,
    Shutdown,
    StartedMessage,
    ToWorker,
)


class ScriptedEngine:
    """Says one word a step and ends after three; between two steps it does what the test scripted."""

    def __init__(self, jobs: queue.Queue[ToWorker]) -> None:
        self.jobs = jobs
        self.script: list[ToWorker | None] = []
        self.said: dict[RequestId, int] = {}
        self.calls: list[str] = []
        self.samplings: list[Sampling] = []

    def prompt(self, system: str, turns: tuple[Turn, ...], max_new_tokens: int) -> EnginePrompt:
        """Refuse what is too long or broken."""
        if turns[-1].text == "too long":
            raise PromptTooLong("too long")
        if turns[-1].text == "broken":
            raise IndexError("broken")
        return EnginePrompt((1, 2, 3), len(turns), min(max_new_tokens, 9))

    def submit(
        self,
        request_id: RequestId,
        conversation: str,
        prompt: EnginePrompt,
        sampling: Sampling,
        adapter: str | None = None,
    ) -> int:
        """Note it."""
        if adapter is not None:
            raise ValueError(f"there is no adapter {adapter!r}")
        self.said[request_id] = 0
        self.samplings.append(sampling)
        return 2

    def step(self) -> list[TokenEvent]:
        """Say a word, then let the next message of the script arrive; shut down after the last."""
        events = []
        for request_id in list(self.said):
            self.said[request_id] += 1
            count = self.said[request_id]
            reason = FinishReason.STOP if count == 3 else None
            events.append(
                TokenEvent(request_id, f"w{count}", count, (7,) * count if reason else (), finish_reason=reason)
            )
            if reason:
                del self.said[request_id]
        message = self.script.pop(0) if self.script else Shutdown() if not self.said else None
        if message is not None:
            self.jobs.put(message)
        return events

    def cancel(self, request_id: RequestId) -> tuple[int, ...]:
        """Let go."""
        self.calls.append(f"cancel {request_id}")
        return (7,) * self.said.pop(request_id)

    def forget(self, conversation: str) -> None:
        """Note it."""
        self.calls.append(f"forget {conversation}")

    def stats(self) -> EngineStats:
        """Nothing of interest."""
        return EngineStats(0)


def generate(
    name: str, text: str = "hi", *, deadline_s: float = 60, seed: int | None = 5, generation: int = 3
) -> Generate:
    """A request."""
    turns = (Turn(Role.USER, text),)
    return Generate(RequestId(name), generation, "c", "", turns, Sampling(seed=seed), deadline_s)


def run(
    jobs: list[ToWorker], *script: ToWorker | None, slots: int = 1, words_every_s: float = 0
) -> tuple[list[FromWorker], ScriptedEngine]:
    """Everything that a loop sends for these jobs, with `script` arriving between steps."""
    arriving: queue.Queue[ToWorker] = queue.Queue()
    for job in jobs:
        arriving.put(job)
    results: queue.Queue[FromWorker] = queue.Queue()
    engine = ScriptedEngine(arriving)
    engine.script = list(script)
    info = EngineInfo("scripted", "1", 100)
    WorkerLoop(
        engine,  # type: ignore[arg-type]  # it needs no `load`
        info,
        generation=3,
        slots=slots,
        model="m",
        revision="r",
        jobs=arriving,  # type: ignore[arg-type]  # a queue within one process
        results=results,  # type: ignore[arg-type]
        words_every_s=words_every_s,
    ).run()
    return [results.get() for _ in range(results.qsize())], engine


def test_a_request_is_started_answered_and_done() -> None:
    """In this order, with all of its provenance."""
    sent, _ = run([generate("a")])
    assert sent[:4] == [
        StartedMessage(3, RequestId("a"), 3, 2, 1),
        DeltaMessage(3, RequestId("a"), "w1", 1),
        DeltaMessage(3, RequestId("a"), "w2", 2),
        DeltaMessage(3, RequestId("a"), "w3", 3),
    ]
    done = sent[4]
    assert isinstance(done, Done)
    assert done.finish_reason is FinishReason.STOP
    origin = done.provenance
    assert (origin.model, origin.revision, origin.engine, origin.engine_version) == ("m", "r", "scripted", "1")
    assert (origin.prompt_tokens, origin.cached_tokens, origin.used_turns) == (3, 2, 1)
    assert origin.completion_ids == (7, 7, 7)
    assert origin.sampling == Sampling(seed=5, max_new_tokens=9)
    assert origin.prompt_hash == sha256(b"".join(n.to_bytes(8, "little") for n in (1, 2, 3))).hexdigest()


def test_words_that_come_close_together_are_sent_together() -> None:
    """The first at once, the rest when it is time or when the answer ends; none is lost."""
    sent, _ = run([generate("a")], words_every_s=3600)
    words = [(message.text, message.completion_tokens) for message in sent if isinstance(message, DeltaMessage)]
    assert words == [("w1", 1), ("w2w3", 3)]
    assert isinstance(sent[-1], Done)


def test_a_cancelled_answer_has_sent_all_its_words() -> None:
    """Those that waited for company, too."""
    sent, _ = run([generate("a")], None, Cancel(RequestId("a")), Shutdown(), words_every_s=3600)
    assert "".join(message.text for message in sent if isinstance(message, DeltaMessage)) == "w1w2"


def test_a_seed_is_drawn_where_none_is_given_and_told() -> None:
    """So that the answer can be computed again."""
    sent, engine = run([generate("a", seed=None)])
    done = sent[-1]
    assert isinstance(done, Done)
    assert done.provenance.sampling.seed is not None
    assert engine.samplings == [done.provenance.sampling]


def test_a_cancel_stops_a_running_request_before_its_next_token() -> None:
    """It arrives during the first token, and there is no second."""
    sent, engine = run([generate("a")], Cancel(RequestId("a")), Shutdown())
    assert [message.text for message in sent if isinstance(message, DeltaMessage)] == ["w1"]
    done = sent[-1]
    assert isinstance(done, Done)
    assert done.finish_reason is FinishReason.CANCELLED
    assert done.provenance.completion_ids == (7,)
    assert engine.calls == ["cancel a"]


def test_cancelling_a_waiting_request_leaves_the_running_one_alone() -> None:
    """It never reaches the engine."""
    sent, engine = run([generate("a"), generate("b")], Cancel(RequestId("b")))
    ends = {message.request_id: message.finish_reason for message in sent if isinstance(message, Done)}
    assert ends == {"a": FinishReason.STOP, "b": FinishReason.CANCELLED}
    assert engine.calls == []


def test_cancelling_what_is_unknown_or_done_is_ignored() -> None:
    """The cancel and the end may cross."""
    sent, _ = run([Cancel(RequestId("x")), generate("a")], None, None, Cancel(RequestId("a")), Shutdown())
    assert sum(isinstance(message, Done) for message in sent) == 1


def test_a_request_whose_deadline_passed_in_the_line_is_not_begun() -> None:
    """Nobody waits for it any more."""
    sent, _ = run([generate("a", deadline_s=0)])
    assert [(type(message), getattr(message, "kind", None)) for message in sent] == [(Failed, FailureKind.DEADLINE)]


@pytest.mark.parametrize(("text", "kind"), [("too long", FailureKind.PROMPT_TOO_LONG), ("broken", FailureKind.ENGINE)])
def test_a_request_that_cannot_be_begun_fails_alone(text: str, kind: FailureKind) -> None:
    """The next one is answered."""
    sent, _ = run([generate("a", text), generate("b")])
    assert isinstance(sent[0], Failed)
    assert sent[0].kind is kind
    assert isinstance(sent[-1], Done)


def test_a_request_of_another_generation_is_dropped() -> None:
    """Its waiter was told when that generation ended."""
    sent, _ = run([generate("old", generation=2), generate("a")])
    assert {getattr(message, "request_id", None) for message in sent} == {"a"}


def test_no_more_than_the_slots_run_side_by_side() -> None:
    """The third request begins when the first has ended."""
    sent, _ = run([generate("a"), generate("b"), generate("c")], None, None, None, slots=2)
    kinds = [(type(message).__name__[:4], getattr(message, "request_id", "")) for message in sent]
    assert kinds.index(("Star", "c")) > kinds.index(("Done", "a"))
    assert kinds.index(("Star", "b")) < kinds.index(("Done", "a"))


def test_forgetting_reaches_the_engine() -> None:
    """Between two tokens."""
    _, engine = run([generate("a")], Forget("c"))
    assert engine.calls == ["forget c"]


def test_an_adapter_that_the_engine_does_not_have_fails_the_request() -> None:
    """Better no answer than one of the bare model."""
    job = Generate(RequestId("a"), 3, "c", "", (Turn(Role.USER, "hi"),), Sampling(), 60, adapter="poet")
    sent, _ = run([job, generate("b")])
    assert isinstance(sent[0], Failed)
    assert sent[0].kind is FailureKind.ADAPTER
    assert "poet" in sent[0].detail


def test_a_shutdown_ends_the_loop_in_the_middle_of_an_answer() -> None:
    """Finishing nothing."""
    sent, _ = run([generate("a")], Shutdown())
    assert not any(isinstance(message, Done | Failed) for message in sent)
