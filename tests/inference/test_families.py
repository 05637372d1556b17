"""Every family of models through the transformers engine: right logits, an end to each turn, a prefix that stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from botbridge.answers import FinishReason, RequestId, Role, Sampling, Turn
from botbridge.inference.engines.base import TokenEvent
from botbridge.inference.engines.batch import BatchEngine
from botbridge.inference.engines.step import LoadedModel, SequenceId, StepModel
from botbridge.inference.engines.transformers_loading import load_transformers
from botbridge.inference.engines.transformers_plain import PlainModel
from botbridge.inference.engines.transformers_proof import distance
from botbridge.inference.engines.transformers_ragged import RaggedModel
from botbridge.inference.options import EngineOptions
from botbridge.inference.sampling import Logits
from tests.fakes.tiny_models_by_family import FAMILIES, Family, tiny_model

OPTIONS = EngineOptions(device="cpu", dtype="float32", prefill_tokens=16)
SAMPLING = Sampling(temperature=0, max_new_tokens=6, repetition_penalty=1.0, seed=0)
TEXT = np.random.default_rng(3).integers(0, 256, 48).tolist()
TOLERANCE = 1e-4
"""In float32 the same sums in another order; `distance` counts in shares of the logits' own spread."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model of a family, as the engine loads it and as the library computes it."""

    family: Family
    loaded: LoadedModel
    expected: Logits
    """(T, V): what may follow each token of TEXT, by one plain pass."""


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    family = FAMILIES[request.param]
    files = tiny_model(family, tmp_path_factory.mktemp(request.param))
    library = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)
    with torch.no_grad():
        expected = library(torch.tensor([TEXT])).logits[0].numpy()
    return Subject(family, load_transformers(files, OPTIONS), expected)


def check(subject: Subject, rows: Logits, ends: Sequence[int]) -> None:
    """Assert that rows are what follows the first so many tokens of TEXT."""
    for row, end in zip(rows, ends, strict=True):
        assert distance(row, subject.expected[end - 1]) < TOLERANCE


def test_logits_are_those_of_a_plain_pass_alone_in_a_batch_and_in_pieces(subject: Subject) -> None:
    """Of any length, beyond the windows too."""
    model = subject.loaded.model
    alone, a, b, c = (model.open() for _ in range(4))
    check(subject, model.forward([(alone, TEXT)]), [48])
    check(subject, model.forward([(a, TEXT[:1]), (b, TEXT[:20]), (c, TEXT[:30])]), [1, 20, 30])
    check(subject, model.forward([(c, TEXT[30:31]), (a, TEXT[1:12]), (b, TEXT[20:25])]), [31, 12, 25])
    check(subject, model.forward([(a, TEXT[12:13]), (b, TEXT[25:26]), (c, TEXT[31:32])]), [13, 26, 32])
    for sequence in (alone, a, b, c):
        model.close(sequence)


def test_a_cut_or_copied_sequence_goes_on_as_if_it_had_never_been_longer(subject: Subject) -> None:
    """Where the model can be cut at all."""
    if not subject.loaded.can_truncate:
        pytest.skip("nothing of such a model is reused")
    model = subject.loaded.model
    sequence = model.open()
    model.forward([(sequence, TEXT[:40])])
    model.truncate(sequence, 10)
    check(subject, model.forward([(sequence, TEXT[10:14])]), [14])
    copy = model.fork(sequence)
    assert model.truncate(copy, 12) == 12
    check(subject, model.forward([(sequence, TEXT[14:30]), (copy, TEXT[12:13])]), [30, 13])
    model.close(sequence)
    check(subject, model.forward([(copy, TEXT[13:40])]), [40])
    model.close(copy)


def test_sequences_are_computed_together_unless_the_proof_failed_and_that_is_said(subject: Subject) -> None:
    """BLOOM comes out wrong when they are, without any error."""
    notes = [note for note in subject.loaded.info.notes if "one after another" in note]
    if subject.family.ragged:
        assert isinstance(subject.loaded.model, RaggedModel)
        assert notes == []
    else:
        assert isinstance(subject.loaded.model, PlainModel)
        assert "logits come out different" in notes[0]


def test_its_own_template_is_used_or_the_supplied_one(subject: Subject) -> None:
    """The prompt ends where the answer begins."""
    dialogue = subject.loaded.dialogue
    prompt = dialogue.prompts.build("be kind", talk("hi", "ho", "go on"), 6)
    text = dialogue.decode(prompt.ids)
    if subject.family.template is None:
        assert text == "be kind\n\nUser: hi\nAssistant: ho\nUser: go on\nAssistant:"
    else:
        assert "User:" not in text
        assert len(dialogue.stop_ids) == 1
    assert [text.count(part) for part in ("be kind", "hi", "ho", "go on")] == [1, 1, 1, 1]


def test_its_stop_id_ends_the_turn(subject: Subject) -> None:
    """And is no part of the text."""
    stop_id = max(subject.loaded.dialogue.stop_ids)
    model = StoppingModel(subject.loaded.model, stop_id, token=3)
    engine = engine_over(replace(subject.loaded, model=model), replace(OPTIONS, prefill_tokens=256))
    engine.submit(RequestId("r"), "c", engine.prompt("", talk("hi"), 6), SAMPLING)
    text, end = finish(engine, RequestId("r"))
    assert (end.finish_reason, end.completion_tokens, end.completion_ids[-1]) == (FinishReason.STOP, 4, stop_id)
    assert subject.loaded.dialogue.decode(end.completion_ids[:-1]).strip().startswith(text.strip())


def test_a_dialogue_of_three_turns_keeps_its_prefix(subject: Subject) -> None:
    """Each prompt goes on where the last one ended."""
    engine = engine_over(subject.loaded)
    said: list[str] = []
    length = 0
    for question in ("hello", "and then?", "why?"):
        said.append(question)
        request_id = RequestId(question)
        prompt = engine.prompt("be kind", talk(*said), SAMPLING.max_new_tokens)
        reused = engine.submit(request_id, "c", prompt, SAMPLING)
        assert reused >= length
        text, _ = finish(engine, request_id)
        said.append(text or "-")
        length = len(prompt.ids)


class StoppingModel:
    """A model that never stops, and then must: when it reads the token of this number of its answer."""

    def __init__(self, model: StepModel, stop_id: int, token: int) -> None:
        self._model, self._stop_id, self._left = model, stop_id, token
        self.open, self.truncate, self.fork, self.close = model.open, model.truncate, model.fork, model.close

    def forward(self, work: Sequence[tuple[SequenceId, Sequence[int]]]) -> Logits:
        """Compute, and forbid or force the end."""
        self._left -= all(len(tokens) == 1 for _, tokens in work)  # pieces of the prompt are longer
        logits = self._model.forward(work).copy()
        logits[:, self._stop_id] = -1e6 if self._left else 1e6
        return logits


def engine_over(loaded: LoadedModel, options: EngineOptions = OPTIONS) -> BatchEngine:
    """An engine that drives a model which was loaded before."""
    engine = BatchEngine(lambda files, options: loaded)
    engine.load(None, options)
    return engine


def talk(*texts: str) -> tuple[Turn, ...]:
    """Turns of person and model in turn."""
    return tuple(Turn((Role.USER, Role.ASSISTANT)[place % 2], text) for place, text in enumerate(texts))


def finish(engine: BatchEngine, request_id: RequestId) -> tuple[str, TokenEvent]:
    """Step until the answer has ended."""
    text = ""
    while True:
        for event in engine.step():
            assert (event.request_id, event.failure) == (request_id, None)
            text += event.text
            if event.is_last:
                return text, event
