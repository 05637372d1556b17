"""A history that was cut begins at the same place next time, whatever the service hands over."""

from __future__ import annotations

import itertools
import queue
import random

import pytest

from botbridge.answers import RequestId, Role, Sampling, Turn
from botbridge.inference.cuts import REMEMBERED_CUTS, Cuts
from botbridge.inference.engines.base import EngineInfo, TokenEvent
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.loop import WorkerLoop
from botbridge.inference.options import EngineOptions
from botbridge.inference.protocol import Forget, FromWorker, Generate, Shutdown, StartedMessage, ToWorker
from botbridge.storage.rules import PairBudget
from tests.fakes.scripted_step_model import ScriptedStepModel, scripted

HI, HO = Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "ho")


def test_a_prompt_begins_where_the_one_before_did() -> None:
    cuts = Cuts()
    cuts.remember("c", [HI, HO])
    older, other = Turn(Role.USER, "older"), Turn(Role.ASSISTANT, "other")
    assert cuts.apply("c", [older, HO, HI, HO, HI]) == (HI, HO, HI)
    assert cuts.apply("c", [HI, HO, HI, other, HI]) == (HI, HO, HI, other, HI)  # a question with another answer
    assert cuts.apply("c", [older]) == (older,)
    assert cuts.apply("d", [older, HO, HI, HO]) == (older, HO, HI, HO)
    cuts.forget("c")
    assert cuts.apply("c", [older, HO, HI, HO]) == (older, HO, HI, HO)


def test_of_equal_exchanges_the_one_is_meant_with_one_more_behind_it() -> None:
    cuts = Cuts()
    cuts.remember("c", [HI, HO, HI, HO, HI])
    assert cuts.apply("c", [HI, HO] * 5 + [HI]) == (HI, HO, HI, HO, HI, HO, HI)
    assert cuts.apply("c", [HI, HO, HI]) == (HI, HO, HI)  # some were erased


def test_one_question_again_and_again_loses_no_answer() -> None:
    cuts, turns = Cuts(), [Turn(Role.USER, "something long"), HO]
    for number in range(9):
        turns.append(HI)
        begun = cuts.apply("c", turns)
        if not number:
            begun = (HI,)  # no more had room beside it
        assert len(begun) == 2 * number + 1
        cuts.remember("c", begun)
        turns.append(Turn(Role.ASSISTANT, f"answer {number}"))


def test_a_question_that_stood_alone_is_found_with_its_answer() -> None:
    cuts = Cuts()
    cuts.remember("c", [HI])
    older, newest = Turn(Role.USER, "older"), Turn(Role.USER, "newest")
    assert cuts.apply("c", [older, HO, HI, HO, newest]) == (HI, HO, newest)


def test_cuts_are_remembered_without_words_and_not_for_ever() -> None:
    cuts = Cuts()
    for number in range(REMEMBERED_CUTS + 1):
        cuts.remember(str(number), [Turn(Role.USER, "secret words")])
    assert len(cuts._first) == REMEMBERED_CUTS
    assert "0" not in cuts._first
    assert not any(b"secret" in mark.question for mark in cuts._first.values())


class Ending(BatchEngine):
    """Ends its worker with the last answer."""

    jobs: queue.Queue[ToWorker]
    answered = 0

    def step(self) -> list[TokenEvent]:
        events = super().step()
        self.answered += sum(event.is_last for event in events)
        if self.answered == TURNS:
            self.jobs.put(Shutdown())
        return events


CONTEXT_TOKENS, TURNS, SETTLED = 400, 80, 30


def worker_of(
    engine: BatchEngine, jobs: queue.Queue[ToWorker], results: queue.Queue[FromWorker] | None = None
) -> WorkerLoop:
    """A worker's loop in this process."""
    return WorkerLoop(
        engine,
        EngineInfo("scripted", "1", CONTEXT_TOKENS),
        generation=1,
        slots=1,
        model="m",
        revision="r",
        jobs=jobs,  # type: ignore[arg-type]  # a queue within one process
        results=results or queue.Queue(),  # type: ignore[arg-type]
    )


def started(limit_chars: int, *, repeats: int = TURNS) -> list[StartedMessage]:
    """What a worker says of each turn of a long conversation, of which the service hands over so much."""
    chance = random.Random(3)

    def said(least: int, most: int) -> str:
        return " ".join(str(chance.randint(100, 999)) for _ in range(chance.randint(least, most)))

    once = [(said(3, 12), said(10, 30)) for _ in range(repeats)]
    talk = list(itertools.islice(itertools.cycle(once), TURNS))
    jobs: queue.Queue[ToWorker] = queue.Queue()
    for number, (question, _) in enumerate(talk):
        window = PairBudget(limit_chars)
        window.take(reversed(talk[:number]))
        turns = (*window.turns, Turn(Role.USER, question))
        sampling = Sampling(temperature=0, max_new_tokens=64, seed=1)
        jobs.put(Generate(RequestId(str(number)), 1, "c", "", turns, sampling, 600))
    engine = Ending(lambda _files, _options: scripted(ScriptedStepModel(lambda _ids: 0), context_tokens=CONTEXT_TOKENS))
    engine.jobs = jobs
    engine.load(None, EngineOptions(cache_bytes=10**6))
    results: queue.Queue[FromWorker] = queue.Queue()
    worker_of(engine, jobs, results).run()
    told = [results.get() for _ in range(results.qsize())]
    return [message for message in told if isinstance(message, StartedMessage)][SETTLED:]


def test_what_is_forgotten_leaves_no_trace() -> None:
    jobs: queue.Queue[ToWorker] = queue.Queue()
    loop = worker_of(BatchEngine(lambda _files, _options: scripted(ScriptedStepModel(lambda _ids: 0))), jobs)
    loop._engine.load(None, EngineOptions())
    loop._cuts.remember("c", [HI, HO])
    jobs.put(Forget("c"))
    jobs.put(Shutdown())
    loop.run()
    assert loop._cuts.apply("c", [HO, HI, HO]) == (HO, HI, HO)


def known(turns: list[StartedMessage]) -> float:
    """The share of all prompts that was computed before."""
    return sum(turn.cached_tokens for turn in turns) / sum(turn.prompt_tokens for turn in turns)


@pytest.mark.parametrize("repeats", [TURNS, 7, 1], ids=["nothing twice", "all again and again", "the same for ever"])
def test_a_long_conversation_is_known_as_well_by_what_is_handed_over_as_by_all_of_it(repeats: int) -> None:
    """What is handed over begins later with each turn; eight characters a token, as the service has it."""
    windowed, whole = started(8 * CONTEXT_TOKENS, repeats=repeats), started(10**9, repeats=repeats)
    assert [turn.prompt_tokens for turn in windowed] == [turn.prompt_tokens for turn in whole]
    assert known(windowed) == known(whole) > 0.6
