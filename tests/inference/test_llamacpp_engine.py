"""llama.cpp as an engine: memory of streams and of what is parked, sliding windows, and what it refuses."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from botbridge.answers import RequestId, Sampling
from botbridge.inference.engines.base import EnginePrompt
from botbridge.inference.engines.batch import BESIDE_ANSWERS, BatchEngine
from botbridge.inference.engines.loaders import loader
from botbridge.inference.engines.step import SequenceId
from botbridge.inference.options import EngineOptions
from botbridge.inference.sampling import Logits
from botbridge.models.files import ModelFiles
from botbridge.resources import usable_cores
from tests.fakes.scripted_step_model import scripted
from tests.fakes.tiny_gguf import write_gguf_of, write_long_rope_gguf, write_recurrent_gguf, write_windowed_gguf
from tests.fakes.tiny_models import tiny_llama

if TYPE_CHECKING:
    from botbridge.inference.engines.llamacpp_model import LlamaCppModel
    from botbridge.inference.engines.llamacpp_native import Context

pytestmark = pytest.mark.skipif(
    find_spec("llama_cpp") is None, reason="the engine llamacpp is not installed; `make native` adds it"
)

SLOTS = 4
CONTEXT_TOKENS = 512
SPELLINGS = [f"<{number}>" for number in range(300)]
WINDOW = 16


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A tiny model as a GGUF, with its tokenizer."""
    files = tiny_llama(tmp_path_factory.mktemp("llama"))
    model = AutoModelForCausalLM.from_pretrained(files.directory, dtype=torch.float32)
    write_gguf_of(model, AutoTokenizer.from_pretrained(files.directory), files.directory / "tiny.gguf")
    return files


def options(slots: int = SLOTS, cache_bytes: int = 2**20) -> EngineOptions:
    """Little of everything."""
    return EngineOptions(engine="llamacpp", device="cpu", threads=1, slots=slots, cache_bytes=cache_bytes)


def talk(engine: BatchEngine, conversations: Iterable[int], tokens: int) -> list[int]:
    """Let conversations ask one after another; how many tokens of each prompt were known."""
    known, sampling = [], Sampling(max_new_tokens=4, seed=1)
    for number in conversations:
        ids = tuple((7 * number + 3 * place) % 250 for place in range(tokens))
        request = RequestId(f"{number}")
        known.append(engine.submit(request, f"{number}", EnginePrompt(ids, 1, 4, 0), sampling))
        while not any(event.is_last for event in engine.step()):
            pass
    return known


@pytest.mark.parametrize("beside_streams_tokens", [700, 0])
def test_streams_and_what_is_parked_share_the_memory_and_a_quarter_is_for_what_is_parked(
    files: ModelFiles, beside_streams_tokens: int
) -> None:
    """Twelve conversations of 100 tokens; four lie in the streams."""
    token_bytes = loader("llamacpp")(files, options()).cache_bytes_per_token
    cache_bytes = (SLOTS * CONTEXT_TOKENS + beside_streams_tokens) * token_bytes
    engine = BatchEngine(loader("llamacpp"))
    engine.load(files, options(cache_bytes=cache_bytes))
    assert talk(engine, range(12), 100) == [0] * 12
    model: LlamaCppModel = engine._model  # type: ignore[assignment]
    states = [sequence.state.nbytes for sequence in model._sequences.values() if sequence.state is not None]
    room_bytes = max(cache_bytes - SLOTS * CONTEXT_TOKENS * token_bytes, cache_bytes // 4)
    assert room_bytes - 110 * token_bytes < sum(states) < 1.02 * room_bytes
    assert talk(engine, reversed(range(12 - SLOTS - len(states), 12)), 100) == [99] * (SLOTS + len(states))


def test_positions_are_turned_alike_in_streams_that_have_grown(tmp_path: Path) -> None:
    """LongRoPE turns them in another way beyond the original context: it is not grown over, and that is told."""
    files = tiny_llama(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    spellings = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    write_long_rope_gguf(tmp_path / "long.gguf", spellings, context_tokens=4096, original_tokens=1600)
    loaded = loader("llamacpp")(files, options(slots=2))
    assert loaded.info.context_tokens == 1536
    assert any("The context is 1536 tokens instead of 4096" in note for note in loaded.info.notes)
    ids = [(7 * place) % 250 for place in range(400)]
    expected, grown = loaded.model.open(), loaded.model.open()
    (alone,) = loaded.model.forward([(expected, ids)])
    loaded.model.forward([(grown, ids[:390])])
    loaded.model.forward([(loaded.model.open(), [5] * 1500)])
    (row,) = loaded.model.forward([(grown, ids[390:])])
    assert np.linalg.norm(row - alone) < 0.1 * np.linalg.norm(alone - alone.mean())


Ids = tuple[int, ...]


@pytest.mark.parametrize("system", [(), (*range(4, 44),)], ids=["no system text", "a system text"])
@pytest.mark.parametrize("becomes", ["stays", "is parked", "moves as the streams grow"])
def test_with_sliding_windows_what_cannot_be_cut_is_read_again_in_pieces_and_told(
    tmp_path: Path, becomes: str, system: Ids
) -> None:
    """The next question does not go on where the last answer ended; somebody else is being answered."""
    from botbridge.inference.engines.llamacpp_model import LlamaCppModel
    from botbridge.inference.engines.llamacpp_native import Context, Piece, Weights

    path = tmp_path / "windowed.gguf"
    write_windowed_gguf(path, SPELLINGS, window=WINDOW)
    weights = Weights(path)
    passes: list[list[int]] = []

    class WatchedContext(Context):
        """Notes how many tokens of each stream are computed."""

        def compute(self, pieces: Sequence[Piece]) -> Logits:
            passes.append([len(piece.tokens) for piece in pieces])
            return super().compute(pieces)

    def make_context(cells: int) -> Context:
        return WatchedContext(weights, streams=2, cells=cells, batch_tokens=66, threads=1)

    model = LlamaCppModel(make_context, make_context(512), most_cells=1024, pass_tokens=20, has_windows=True)
    engine = BatchEngine(lambda _files, _options: scripted(model))
    engine.load(None, replace(options(cache_bytes=10_000), prefill_tokens=64))

    def ask(name: str, ids: Ids, answer_tokens: int = 4) -> int:
        sampling = Sampling(max_new_tokens=answer_tokens, temperature=0, repetition_penalty=1.0, seed=1)
        asked = EnginePrompt((*system, *ids), 1, answer_tokens, len(system))
        return engine.submit(RequestId(name), name[0], asked, sampling)

    def finish(name: str) -> None:
        while not any(event.is_last and event.request_id == name for event in engine.step()):
            pass

    question = tuple(7 * place % 250 + 4 for place in range(300))
    ask("a", question)
    finish("a")
    if becomes == "is parked":
        for other in "bc":
            ask(other, (9,) * 40)
            finish(other)
    if becomes == "moves as the streams grow":
        ask("b", (9,) * 600)
        finish("b")
    ask("d", (11,) * 20, 200)
    engine.step()
    known = ask("a2", (*question, 5, 6, 7))
    assert known == len(system) + (len(question) if becomes == "stays" else 0)
    passes.clear()
    finish("a2")
    to_read = len(system) + len(question) + 3 - known
    assert sum(map(sum, passes)) == to_read + 3 + len(passes)  # its answer but for the last token; one a pass for d
    assert max(map(max, passes)) <= 64 // BESIDE_ANSWERS


def test_with_sliding_windows_whatever_becomes_of_a_sequence_it_goes_on_as_if_it_had_been_alone(tmp_path: Path) -> None:
    """Parked, cut, copied, grown: half of the layers have only the last tokens of what was parked."""
    from botbridge.inference.engines.llamacpp_model import LlamaCppModel
    from botbridge.inference.engines.llamacpp_native import Context, Piece, Weights

    path = tmp_path / "windowed.gguf"
    write_windowed_gguf(path, SPELLINGS, window=WINDOW)
    weights = Weights(path)
    assert weights.has_windows

    def make_context(cells: int, streams: int = 3) -> Context:
        return Context(weights, streams=streams, cells=cells, batch_tokens=64, threads=1)

    alone = make_context(1024, streams=1)

    def expected(ids: list[int]) -> Logits:
        alone.cut(0, 0)
        return alone.compute([Piece(0, 0, ids)])[0]

    model = LlamaCppModel(make_context, make_context(256), most_cells=1024, pass_tokens=20, has_windows=True)
    cut, long = model.open(), model.open()
    ids = list(range(4, 104))
    model.forward([(cut, ids)])
    model.forward([(long, [5] * 300)])  # the streams grow
    assert model.truncate(cut, 50) == 0
    assert np.abs(model.forward([(cut, [*ids[:50], 7])])[0] - expected([*ids[:50], 7])).max() < 5e-2
    assert model.truncate(cut, 20) == 20  # nothing was parked since it began anew
    assert model.truncate(model.fork(cut), 10) == 0

    chance = random.Random(6)
    model = LlamaCppModel(make_context, make_context(256), most_cells=1024, pass_tokens=20, has_windows=True)
    held: dict[SequenceId, list[int]] = {model.open(): [] for _ in range(5)}
    for _ in range(60):
        sequence = chance.choice(list(held))
        length = chance.randint(0, len(held[sequence]))
        match chance.choice(["cut", "copy", "go on", "go on", "go on"]):
            case "cut":
                left = model.truncate(sequence, length)
                assert left in {0, length}
                del held[sequence][left:]
            case "copy" if len(held) < 12:
                held[model.fork(sequence)] = list(held[sequence])
            case _:
                chosen = chance.sample(list(held), 3)
                work = [(each, [chance.randrange(4, 300) for _ in range(chance.choice([1, 5, 40]))]) for each in chosen]
                work = [(each, new if len(held[each]) < 400 else new[:1]) for each, new in work]
                for (each, new), row in zip(work, model.forward(work), strict=True):
                    held[each] += new
                    assert np.abs(row - expected(held[each])).max() < 5e-2
    assert max(map(len, held.values())) > 256


def test_a_memory_that_cannot_be_cut_is_not_reused(tmp_path: Path) -> None:
    from botbridge.inference.engines.llamacpp_native import Weights

    path = tmp_path / "recurrent.gguf"
    write_recurrent_gguf(path, SPELLINGS)
    assert not Weights(path).can_cut


def test_the_least_context_is_given_however_little_memory_is_set(files: ModelFiles) -> None:
    """It is 2,048 tokens, and the tiny model was made for 512."""
    assert loader("llamacpp")(files, options(cache_bytes=0)).info.context_tokens == CONTEXT_TOKENS


def test_more_answers_at_once_than_llamacpp_has_streams_are_refused(files: ModelFiles) -> None:
    from botbridge.inference.engines.llamacpp_native import MOST_STREAMS

    with pytest.raises(ValueError, match=f"at most {MOST_STREAMS} answers side by side"):
        loader("llamacpp")(files, options(slots=MOST_STREAMS + 1))


def test_a_tokenizer_that_is_not_the_models_is_refused(files: ModelFiles, tmp_path: Path) -> None:
    """By its size, or by how it spells."""
    from botbridge.inference.engines.llamacpp_loading import check_vocabulary
    from botbridge.inference.engines.llamacpp_native import Weights

    tokenizer = AutoTokenizer.from_pretrained(files.directory)
    few, others = tmp_path / "few.gguf", tmp_path / "others.gguf"
    write_windowed_gguf(few, SPELLINGS[:100], window=WINDOW)
    with pytest.raises(ValueError, match=r"few.gguf has 100 tokens and the tokenizer beside it \d+: not one model's"):
        check_vocabulary(Weights(few), tokenizer, few.name)
    write_windowed_gguf(others, [f"<{number}>" for number in range(len(tokenizer))], window=WINDOW)
    with pytest.raises(ValueError, match=r"others.gguf spells \d+ of \d+ tokens unlike the tokenizer beside it"):
        check_vocabulary(Weights(others), tokenizer, others.name)


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (None, usable_cores())])
def test_it_computes_with_as_many_threads_as_it_is_told_or_has_cores(
    files: ModelFiles, asked: int | None, given: int
) -> None:
    import llama_cpp

    model: LlamaCppModel = loader("llamacpp")(files, replace(options(), threads=asked)).model  # type: ignore[assignment]
    pointer = model._context._pointer
    assert (llama_cpp.llama_n_threads(pointer), llama_cpp.llama_n_threads_batch(pointer)) == (given, given)
