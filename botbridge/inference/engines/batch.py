"""Many answers from one model, a step at a time: ragged continuous batching over any `StepModel`.

Each step is one forward pass: one token for every answer in the making, and a
piece of every prompt that still has to be read. Requests join and leave between
any two steps.

The system text, which all conversations begin with, is read once and kept, where
there is room for it: in passes of its own, by turns with those of all others,
and in pieces of one size. So what everybody's words hang on is the same to the
last bit whoever else was there when it was read.

Covered: no padding; a long prompt never holds up the words of others; sampling
with a seed per request; a request that fails ends alone (those beside it with
it, where a model cannot take back what it computed); what was computed
serves the conversation's next turn (`prefix`).
Not covered: who is let in and how many at once (the worker's loop), and what
the people in line see (the service).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from botbridge.answers import RequestId, Sampling, Turn
from botbridge.inference.engines.base import EngineInfo, EnginePrompt, EngineStats, TokenEvent, describe
from botbridge.inference.engines.dialogue import GrowingAnswer
from botbridge.inference.engines.prefix import Lease, PrefixCache, shared_key
from botbridge.inference.engines.process_memory import give_back_freed, in_large_pages
from botbridge.inference.engines.step import LoadedModel, LoadModel
from botbridge.inference.options import EngineOptions
from botbridge.inference.sampling import Logits, choose_token
from botbridge.models.files import ModelFiles

BESIDE_ANSWERS = 4
"""While answers are in the making, a step reads this many times less of the prompts: the pause between words.

Of the system text it always does, so that its pieces have one size.
"""

OLDEST_SHARE = 0.25
"""The prompt that has waited longest gets a quarter of what a step reads, however many shorter ones come."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request:
    """A request in the batch; its sequence holds the first `computed` of `ids`.

    Attributes:
        conversation: None once it was forgotten: nothing is kept then.
        awaits_shared: The system text is still to be read by itself, or a copy
            of it is waited for that somebody else reads.
    """

    conversation: str | None
    prompt: EnginePrompt
    adapter: str | None
    lease: Lease
    sampling: Sampling
    random: np.random.Generator
    answer: GrowingAnswer
    ids: list[int]
    computed: int
    awaits_shared: bool = False

    @property
    def pending(self) -> int:
        """How many tokens have to be computed before the next one can be chosen."""
        return len(self.ids) - self.computed

    @property
    def readable(self) -> int:
        """How many of these may be computed in one go."""
        return (self.prompt.shared_tokens if self.awaits_shared else len(self.ids)) - self.computed


class BatchEngine:
    """An `Engine` that moves all its requests forward together."""

    def __init__(self, load_model: LoadModel) -> None:
        self._load_model = load_model
        self._requests: dict[RequestId, _Request] = {}
        self._tokens_total = 0
        self._read_shared_last = False

    def load(self, files: ModelFiles | None, options: EngineOptions) -> EngineInfo:
        """Load the model; any exception means that it is not possible."""
        with in_large_pages():
            loaded: LoadedModel = self._load_model(files, options)
        give_back_freed()
        self._model = loaded.model
        self._dialogue = loaded.dialogue
        self._can_truncate = loaded.can_truncate
        limit_bytes = options.cache_bytes if loaded.can_truncate else 0
        streams = loaded.streams if limit_bytes else None  # with 0 not even what lies in a stream anyway is kept
        self._cache = PrefixCache(loaded.model, limit_bytes // loaded.cache_bytes_per_token, streams)
        self._prefill_tokens = options.prefill_tokens
        return loaded.info

    def prompt(self, system: str, turns: tuple[Turn, ...], max_new_tokens: int) -> EnginePrompt:
        """Build the prompt ids.

        Raises:
            PromptTooLong: the newest turn alone leaves no room for an answer.
        """
        return self._dialogue.prompts.build(system, turns, max_new_tokens)

    def submit(
        self,
        request_id: RequestId,
        conversation: str,
        prompt: EnginePrompt,
        sampling: Sampling,
        adapter: str | None = None,
    ) -> int:
        """Take a request on, with what is known of its prompt; how many tokens that is.

        Raises:
            ValueError: there is no adapter of this name.
        """
        lease = self._cache.begin(conversation, prompt, adapter)
        wants_copy = lease.computed < prompt.shared_tokens and self._cache.shared_is_wanted(prompt, adapter)
        self._requests[request_id] = _Request(
            conversation,
            prompt,
            adapter,
            lease,
            sampling,
            np.random.default_rng(sampling.seed),
            GrowingAnswer(request_id, self._dialogue, sampling.max_new_tokens),
            list(prompt.ids),
            lease.computed,
            awaits_shared=wants_copy,
        )
        return lease.computed

    def step(self) -> list[TokenEvent]:
        """Advance every answer by one token, and the prompts by as much as a step may read."""
        events = self._advance(self._plan())
        for event in events:
            if event.is_last:
                self._let_go(event.request_id, keep=event.failure is None)
        return events

    def cancel(self, request_id: RequestId) -> tuple[int, ...]:
        """Let go of a request; what was computed is kept for the next turn."""
        ids = tuple(self._requests[request_id].answer.ids)
        self._let_go(request_id, keep=True)
        return ids

    def forget(self, conversation: str) -> None:
        """Drop what is kept for a conversation, now and when its answers end."""
        self._cache.forget(conversation)
        for request in self._requests.values():
            if request.conversation == conversation:
                request.conversation = None

    def stats(self) -> EngineStats:
        """How many tokens went through the model."""
        return EngineStats(self._tokens_total)

    def _plan(self) -> dict[RequestId, int]:
        """Decide how many tokens of each request the next step computes.

        Of those who wait for the system text one reads it, by turns with all others.
        """
        waiting = {request_id: request for request_id, request in self._requests.items() if request.awaits_shared}
        others = {request_id: request for request_id, request in self._requests.items() if not request.awaits_shared}
        self._read_shared_last = bool(waiting) and not (others and self._read_shared_last)
        piece = max(self._prefill_tokens // BESIDE_ANSWERS, 1)
        if self._read_shared_last:
            # Who is done with one piece comes first: there may be others with a long system text of their own.
            reader = min(waiting, key=lambda request_id: waiting[request_id].readable > piece)
            return {reader: min(waiting[reader].readable, piece)}
        reading = {request_id: request.readable for request_id, request in others.items() if request.pending > 1}
        answering = [request_id for request_id in others if request_id not in reading]
        return dict.fromkeys(answering, 1) | share_out(reading, piece if answering or waiting else self._prefill_tokens)

    def _advance(self, counts: dict[RequestId, int]) -> list[TokenEvent]:
        """Compute tokens of several requests in one pass; where that fails, one request after another."""
        if not counts:
            return []
        requests = {request_id: self._requests[request_id] for request_id in counts}
        try:
            logits = self._model.forward(
                [
                    (request.lease.sequence, request.ids[request.computed : request.computed + counts[request_id]])
                    for request_id, request in requests.items()
                ]
            )
        except Exception as error:  # noqa: BLE001 - whatever a model does wrong must end one request only
            if len(counts) == 1 or not self._can_truncate:
                return [TokenEvent(request_id, failure=describe(error)) for request_id in counts]
            for request in requests.values():
                request.computed = self._model.truncate(request.lease.sequence, request.computed)
            return [event for request_id, count in counts.items() for event in self._advance({request_id: count})]
        self._tokens_total += sum(counts.values())
        events = (
            self._follow_up(request_id, request, counts[request_id], row)
            for (request_id, request), row in zip(requests.items(), logits, strict=True)
        )
        return [event for event in events if event is not None]

    def _follow_up(self, request_id: RequestId, request: _Request, count: int, row: Logits) -> TokenEvent | None:
        """Note what was computed and, where nothing is left to read, choose the next token; `row` is (V,)."""
        request.computed += count
        if request.awaits_shared and not request.readable:
            request.awaits_shared = False
            self._copy_shared(request)
        if request.pending:
            return None
        try:
            choice = choose_token(row, request.answer.ids, request.sampling, request.random)
        except ValueError as error:
            return TokenEvent(request_id, failure=describe(error))
        request.ids.append(choice.token_id)
        return request.answer.push(choice)

    def _copy_shared(self, request: _Request) -> None:
        """Keep the system text for others, and let those who wait for it go on from a copy.

        Without the memory for one they compute it themselves.
        """
        if self._cache.shared_is_wanted(request.prompt, request.adapter):
            try:
                self._cache.keep_shared(request.lease.sequence, request.prompt, request.adapter)
            except Exception as error:  # noqa: BLE001 - whatever a model raises, this answer does not need the copy
                log.warning("no copy of the system text was kept: %s", describe(error))
        key = shared_key(request.prompt, request.adapter)
        for other in self._requests.values():
            if other.awaits_shared and not other.computed and shared_key(other.prompt, other.adapter) == key:
                other.lease = self._cache.begin_with(request.lease, other.lease, request.computed)
                other.computed = other.lease.computed
                other.awaits_shared = not other.computed

    def _let_go(self, request_id: RequestId, *, keep: bool) -> None:
        request = self._requests.pop(request_id)
        conversation = request.conversation if keep and request.computed and self._can_truncate else None
        self._cache.end(request.lease, conversation, request.ids[: request.computed], request.adapter)


def share_out(needs: dict[RequestId, int], budget: int) -> dict[RequestId, int]:
    """Divide what a step may read: a quarter to the oldest prompt, the rest to the shortest ones first.

    So a short question is read beside a long one instead of after it, and the
    long one still comes to its end.

    Args:
        needs: Tokens that each request can still read, the oldest request first.
        budget: Tokens for all of them; 1 or more.

    >>> share_out({"long": 1000, "short": 10, "middle": 100}, 64)
    {'long': 16, 'short': 10, 'middle': 38}
    """
    if not needs:
        return {}
    oldest = next(iter(needs))
    given = dict.fromkeys(needs, 0)
    given[oldest] = min(needs[oldest], max(int(OLDEST_SHARE * budget), 1))
    left = budget - given[oldest]
    for request_id in sorted(needs, key=needs.__getitem__):
        more = min(needs[request_id] - given[request_id], left)
        given[request_id] += more
        left -= more
    return {request_id: count for request_id, count in given.items() if count}
