"""A stored answer computed again: same prompt, seed and sampling, same model, revision, engine and version.

What an answer was computed from is more than its prompt: most of that was
known from the turns before it, which had been computed in pieces of their own,
a prompt in large ones, an answer token by token. Arithmetic in other shapes
differs in the last bits. So the answers that it went on from are computed again
first, one after another, as they were then.

What is promised: an answer comes out again token by token, on the same machine
with the same settings, when it ran alone, and those that it went on from did,
too, with nothing in between that was not stored: a question that was stopped or
failed, an answer that was empty. Others, beside which more was computed, come
out the same unless a choice was closer than what that changes. Whether an answer
ran alone is therefore not stored: the margin at the first difference tells, and
which of those before it was the first to come out otherwise.

Covered: a setting of the system text that was changed since (the one of then is
stored); a database in use; turns that were erased; restarts between turns, and
memory that was short, after which nothing or the system text only was known.
Not covered: adapters that are not here any more, processors of another kind,
another number of threads; the few words that a cut history happens to begin
with as the one before did.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from botbridge.answers import Completion, Prompt, Provenance, RequestId, Started
from botbridge.chosen import engine_options
from botbridge.control import SOCKET_NAME, ControlClient
from botbridge.errors import GenerationFailed, ModelNotFound, NotReplayable, TurnNotFound
from botbridge.inference.choice import AUTO, NEEDED_MODULES, adding_engine, installed_engines
from botbridge.inference.client import WorkerClient
from botbridge.inference.readiness import until_ready
from botbridge.inference.replay import Again, Divergence, changes, first_astray, first_divergence, goes_on, made_by
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import clear
from botbridge.models.files import ModelFiles
from botbridge.models.store import ModelStore
from botbridge.settings import Settings
from botbridge.storage.turns import StoredAnswer, read_answer


@dataclass(frozen=True, slots=True)
class Replayed:
    """An answer and its second computation.

    Attributes:
        now: Where the second one came from.
        answers_before: How many answers before it were computed again first.
        astray: The first of these that came out otherwise (`first_astray`); None if none.
        changes: What is another than it was, each as a clause; empty unless forced.
        divergence: None when every token is the same.
        directory: Where the model's tokenizer lies; None for an engine without a model.
    """

    stored: StoredAnswer
    now: Provenance
    answers_before: int
    astray: int | None
    changes: tuple[str, ...]
    divergence: Divergence | None
    directory: Path | None

    @property
    def has_same_prompt(self) -> bool:
        """Whether the model read the same tokens."""
        return self.now.prompt_hash == self.stored.provenance.prompt_hash

    @property
    def is_identical(self) -> bool:
        """Whether nothing differs, neither in the prompt nor in the answer."""
        return self.has_same_prompt and self.divergence is None


async def replay_answer(
    settings: Settings, turn_id: int | None, *, force: bool, told: Callable[[str], None]
) -> Replayed:
    """Compute an answer again, in a worker of its own.

    Args:
        settings: Where the database and the model lie, and how the model is run.
        turn_id: The id of the assistant's turn; None is the newest answer of all.
        force: Go on although something is another than it was.
        told: Receives what the operator should know meanwhile.

    Raises:
        NotReplayable: It cannot be computed as it was; the sentence says why.
        StorageError: It cannot be read.
        ModelError: The model is not here, or its licence was not accepted.
        InferenceError: There was no answer this time.
    """
    *before, stored = await _course(settings.database_path, turn_id)
    origin = stored.provenance
    engine = _engine(stored, force=force)
    files = _files(settings, origin) if engine in {AUTO, *NEEDED_MODULES} else None
    if files is not None:
        _refuse(stored, changes(made_by(origin), {"revision": files.revision}), force=force)
        if await ControlClient(settings.home / SOCKET_NAME).is_served():
            told("the bot is running: the model is loaded a second time, which takes its memory once more")
    async with _worker(files, settings, engine) as generator:
        differing = changes(made_by(origin), made_by(await until_ready(generator), origin.adapter))
        _refuse(stored, differing, force=force)
        if differing:
            before = []  # they would come out otherwise as well
        if before:
            told(f"it went on from what the {len(before)} before it had left: computing these first")
        course = [await _compute(generator, answer, settings) for answer in (*before, stored)]
    now = course[-1].now
    parted = first_divergence(origin.completion_ids, now.completion_ids, now.margins)
    directory = None if files is None else files.directory
    return Replayed(stored, now, len(before), first_astray(course), differing, parted, directory)


async def _course(path: Path, turn_id: int | None) -> list[StoredAnswer]:
    """Return an answer behind those that it went on from, the oldest of which went on from none."""
    course = [await read_answer(path, turn_id)]
    while (before_id := course[0].before_id) is not None:
        try:
            earlier = await read_answer(path, before_id)
        except TurnNotFound:  # erased, or turns that it was computed from; then it began elsewhere
            break
        if earlier.system != course[0].system or not goes_on(course[0].provenance, earlier.provenance):
            break
        course.insert(0, earlier)
    return course


def _engine(stored: StoredAnswer, *, force: bool) -> str:
    """Return the engine that answered then; one that is not here becomes any that is, if that is forced."""
    engine = stored.provenance.engine
    if not stored.provenance.completion_ids:
        raise NotReplayable(f"turn {stored.id} cannot be computed again: the engine {engine} tells no tokens")
    if engine not in NEEDED_MODULES or engine in installed_engines():
        return engine
    if force:
        return AUTO
    raise NotReplayable(
        f"turn {stored.id} was computed by the engine {engine}, which is not installed here; "
        f"`{adding_engine(engine)}` adds it"
    )


def _files(settings: Settings, origin: Provenance) -> ModelFiles:
    """Return the model's files, adapters beside it: of the very revision if that is here, else of the one that is."""
    catalogue, store = load_catalogue(home=settings.home), ModelStore(settings.home)
    named = catalogue.resolve(origin.model)
    clear(named, catalogue=catalogue, home=settings.home, declared=settings.licence.use, likely=settings.likely_use)
    try:
        return store.find_with_adapters(catalogue.resolve(f"{origin.model}@{origin.revision}"))
    except ModelNotFound:
        return store.find_with_adapters(named)


def _refuse(stored: StoredAnswer, differing: tuple[str, ...], *, force: bool) -> None:
    if differing and not force:
        what = "; ".join(differing)
        raise NotReplayable(f"turn {stored.id} cannot be computed as it was: {what}; --force goes on all the same")


def _worker(files: ModelFiles | None, settings: Settings, engine: str) -> WorkerClient:
    async def prepare() -> ModelFiles:
        assert files is not None
        return files

    # Slots and memory as the service has them: the room for a prompt may depend on them.
    return WorkerClient(None if files is None else prepare, replace(engine_options(settings), engine=engine))


def _prompt(stored: StoredAnswer, settings: Settings) -> Prompt:
    return Prompt(
        request_id=RequestId(f"replay-{stored.id}"),
        conversation="replay",
        system=settings.inference.system if stored.system is None else stored.system,
        turns=stored.turns,
        sampling=stored.provenance.sampling,
        deadline_s=settings.limits.wait_s,
        adapter=stored.provenance.adapter,
    )


async def _compute(generator: WorkerClient, stored: StoredAnswer, settings: Settings) -> Again:
    """Compute an answer from no more than was known of its prompt then."""
    prompt, then = _prompt(stored, settings), stored.provenance
    now = await _answer(generator, prompt, then.cached_tokens)
    if now is not None:
        return Again(stored.id, then, now)
    # What is known now had been given up by then, or had ended with its worker.
    await generator.forget(prompt.conversation)
    now = await _answer(generator, prompt, then.prompt_tokens)
    if now is None:
        raise GenerationFailed("the answer had no end")
    return Again(stored.id, then, now, begins_anew=True)


async def _answer(generator: WorkerClient, prompt: Prompt, most_known_tokens: int) -> Provenance | None:
    """Answer a prompt; None, and nothing is computed, where more of it is known than that."""
    async with aclosing(generator.stream(prompt)) as events:
        async for event in events:
            if isinstance(event, Started) and event.cached_tokens > most_known_tokens:
                break
            if isinstance(event, Completion):
                return event.provenance
    return None
