"""What an answer will cost and how long it will take, guessed from those that were given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import structlog

from botbridge.answers import GeneratorState, GeneratorStatus
from botbridge.conversation.line import PersonKey
from botbridge.conversation.rates import GUESSED_REPLY_TOKENS, Observation, Rates, blended, decode_rates, encode_rates
from botbridge.errors import StorageError
from botbridge.ports import State

STATE_NAME = "rates"
SAVED_EVERY_ANSWERS = 10
MOST_PEOPLE = 1000
"""Of so many people the length of their answers is remembered, in memory only; of the others the mean is taken."""

log = structlog.get_logger(__name__)


class Estimates:
    """Learns from every answer; what was learnt of the machine outlives the process, what of people does not."""

    def __init__(self, state: State, measured: Mapping[str, Rates] | None = None) -> None:
        """Begin with what was measured before.

        Args:
            state: Where the rates are kept.
            measured: What a benchmark of this machine found with the model in use, by engine.
        """
        self._state = state
        self._measured = measured or {}
        self._stored: str | None = None
        self._status = GeneratorStatus(GeneratorState.STARTING)
        self._rates = Rates()
        self._reply_tokens: OrderedDict[PersonKey, float] = OrderedDict()
        self._unsaved = 0

    @property
    def rates(self) -> Rates:
        """What is known of the machine."""
        return self._rates

    async def load(self) -> None:
        """Read what an earlier process learnt."""
        self._stored = await self._state.get(STATE_NAME)

    def suit(self, status: GeneratorStatus) -> None:
        """Take the rates of the model and engine that answer now: each as learnt, else as measured, else a guess."""
        if status.state is not GeneratorState.READY:
            return
        if _what_runs(status) != _what_runs(self._status):
            learnt = decode_rates(self._stored, *_what_runs(status)) or Rates()
            self._rates = learnt.beside(self._measured.get(status.engine, Rates()))
        self._status = status

    def cost(self, text: str, person: PersonKey, max_new_tokens: int) -> float:
        """What the answer to a message is thought to cost, in reply tokens.

        What was said before it is counted as known from then.
        """
        reply = self._reply_tokens.get(person, self._rates.reply_tokens or GUESSED_REPLY_TOKENS)
        return 1.0 + self._rates.prompt_tokens(len(text)) * self.prompt_weight() + min(reply, max_new_tokens)

    def prompt_weight(self) -> float:
        """What a prompt token costs, in reply tokens."""
        return self._rates.prompt_weight(self._status.slots)

    async def learn(self, person: PersonKey, seen: Observation) -> None:
        """Take an answer into account; every tenth time what is known is stored."""
        self._rates = self._rates.learn(seen)
        self._reply_tokens[person] = blended(self._reply_tokens.get(person), seen.completion_tokens)
        self._reply_tokens.move_to_end(person)
        if len(self._reply_tokens) > MOST_PEOPLE:
            self._reply_tokens.popitem(last=False)
        self._unsaved += 1
        if self._unsaved >= SAVED_EVERY_ANSWERS:
            await self._save()

    async def _save(self) -> None:
        self._unsaved = 0
        self._stored = encode_rates(self._rates, *_what_runs(self._status))
        try:
            await self._state.put(STATE_NAME, self._stored)
        except StorageError as error:
            log.warning("rates not stored", error=str(error))


def _what_runs(status: GeneratorStatus) -> tuple[str, str, str]:
    return status.model, status.revision, status.engine
