"""The journey of a message, from its arrival to the outbox.

`receive` commits it; `_admit` refuses it, obeys it or lets it wait; `_answer`
asks the model and stores the end. Everything is stored before it is told to
anybody, so the process may die between any two lines and the next one goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from functools import partial

import structlog

from botbridge.answers import Answer, Completion, Delta, GeneratorState, Started
from botbridge.conversation import scope
from botbridge.conversation.acts import Acts
from botbridge.conversation.asking import prompt_of
from botbridge.conversation.cleaning import cleaned
from botbridge.conversation.commands import IN_ORDER, Command, parse
from botbridge.conversation.delivery import Delivery
from botbridge.conversation.desk import Ask, Desk, Obeyed
from botbridge.conversation.estimates import Estimates
from botbridge.conversation.last_words import remembered, shown
from botbridge.conversation.limits import RATE_WINDOW_S, MessageRate, TokensSpent, excess
from botbridge.conversation.line import person_of
from botbridge.conversation.live import Live
from botbridge.conversation.notices import Reason, not_ready, place_in_line, refusal, unsupported
from botbridge.conversation.policy import Policy
from botbridge.conversation.room import OpenTurn, Room
from botbridge.conversation.stored import STORAGE_PAUSE_S, until_stored
from botbridge.conversation.sweep import Sweep
from botbridge.conversation.texts import Texts, failure, unforeseen
from botbridge.conversation.waits import Waits
from botbridge.errors import (
    AdapterUnusable,
    GenerationFailed,
    GenerationTimeout,
    InferenceError,
    ModelUnavailable,
    PromptTooLong,
    StorageError,
    WorkerDied,
)
from botbridge.faults import NO_FAULTS, Faults
from botbridge.messages import InboxId, InboxRow, InboxState, IncomingMessage, MessageKind, Outcome, PlatformName
from botbridge.ports import History, Inbox, Outbox, Platform, TextGenerator
from botbridge.tasks import Tasks, kept_going
from botbridge.thoughts import without_thoughts

CRASHES_BEFORE_QUARANTINE = 2
FIRST_WORDS_AFTER_S = 1.0
"""An answer that is finished sooner is sent whole, without a status message before it."""

PLACE_AFTER_S = 0.5
"""Whoever waits no longer than this needs no message that says so."""

TICK_S = 0.5
LOOK_EVERY_S = 0.25
"""Pause between two looks at those who wait: the line may be long and much may happen."""

log = structlog.get_logger(__name__)


class ConversationService:
    """Answers everybody, each once; adapters call `receive`, `run` does the rest."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        history: History,
        outbox: Outbox,
        generator: TextGenerator,
        platforms: Mapping[PlatformName, Platform],
        room: Room,
        desk: Desk,
        acts: Acts,
        delivery: Delivery,
        estimates: Estimates,
        waits: Waits,
        policy: Policy,
        texts: Texts,
        now_s: Callable[[], float],
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._inbox = inbox
        self._history = history
        self._outbox = outbox
        self._generator = generator
        self._platforms = platforms
        self._room = room
        self._desk = desk
        self._acts = acts
        self._delivery = delivery
        self._estimates = estimates
        self._waits = waits
        self._policy = policy
        self._texts = texts
        self._now_s = now_s
        self._faults = faults
        self._rate = MessageRate(policy.limits.messages_per_minute)
        self._spent = TokensSpent(policy.access.operators)
        self._look_at_s = now_s()
        self._is_draining = False
        self._admitted: set[InboxId] = set()
        self._sweep = Sweep(inbox, lambda: {*self._admitted, *(turn.row.id for turn in room.open_turns())})
        self._awake = asyncio.Event()
        self._tasks = Tasks()

    async def receive(self, incoming: IncomingMessage) -> None:
        """Take a message in; returns once it is committed, and never twice for the same one.

        Raises:
            StorageUnavailable: it was not stored, so the platform must not be told that it was.
        """
        row = await self._inbox.accept(cleaned(incoming), scope.key_for(incoming, self._policy.scopes))
        if row is not None:
            self._take_up(row)

    async def resume(self) -> None:
        """Take up what an earlier process left unfinished; call it before anything is received."""
        await self._estimates.load()
        self._spent.load(await self._history.spent(RATE_WINDOW_S), self._now_s())
        if put_back := await self._inbox.release():
            log.warning("answers that an earlier start began are begun again", messages=put_back)
        for row in await self._inbox.unfinished():
            if row.key.platform in self._platforms:
                self._take_up(row)
            else:
                log.warning("kept for later: its platform is off", inbox_id=row.id, platform=row.key.platform)

    async def run(self) -> None:
        """Answer until cancelled."""
        self._tasks.begin(kept_going(self._watch_the_model, "model watch"))
        try:
            while True:
                self._begin_what_can_begin()
                self._look_after_those_who_wait()
                if self._sweep.is_due(self._now_s()):
                    self._tasks.begin(self._find_the_lost())
                await self._something_happens()
        finally:
            await self._tasks.stop()

    def begin_no_more(self) -> None:
        """Keep what waits, and what still comes, for the next start."""
        self._is_draining = True

    async def drain(self, grace_s: float) -> None:
        """Begin no more answers, and let those in the making come to their end and be sent, for so long at most."""
        self.begin_no_more()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                if answers := [turn.task for turn in self._room.open_turns() if turn.task is not None]:
                    await asyncio.wait(answers)
                await self._delivery.settled()

    def _take_up(self, row: InboxRow) -> None:
        """Begin with a stored message; nothing happens when somebody has begun with it."""
        if row.id in self._admitted or self._room.turn(row.id) is not None:
            return
        if row.state is InboxState.RECEIVED:
            self._admitted.add(row.id)
            admission = self._tasks.begin(self._visibly(row, self._admit(row)))
            admission.add_done_callback(lambda _: self._admitted.discard(row.id))
        else:
            self._open(row)

    async def _admit(self, row: InboxRow) -> None:
        """Refuse a message, obey it, or let it wait."""
        incoming, language = row.incoming, self._texts.of(row.incoming)
        person = person_of(row)
        if not self._policy.access.may_talk(person):
            await self._refuse(row, "access")
        elif person not in self._policy.access.operators and not self._rate.admit(person, self._now_s()):
            await self._refuse(row, "rate")
        elif incoming.kind is MessageKind.UNSUPPORTED or not incoming.text.strip():
            await self._end(row, InboxState.ANSWERED, unsupported(language))
        elif (command := parse(incoming.text)) is not None:
            # Until its end is stored, too: a command that is taken up again shall not come after a later one.
            async with self._room.in_order(row) if command.name in IN_ORDER else nullcontext():
                await self._obey(row, command)
        else:
            await self._let_wait(row)

    async def _obey(self, row: InboxRow, command: Command) -> None:
        match await until_stored(partial(self._desk.obey, row, command), inbox_id=row.id):
            case Obeyed(state, text):
                await self._end(row, state, text)
            case Ask(question):
                asked = replace(row, incoming=replace(row.incoming, text=question))
                await self._let_wait(asked, reworded=question)

    async def _let_wait(self, row: InboxRow, *, reworded: str | None = None) -> None:
        incoming, limits, person = row.incoming, self._policy.limits, person_of(row)
        spent = self._spent.of(person, self._now_s())
        if (limit := excess(incoming.text, person, self._room.line, limits, spent_tokens=spent)) is not None:
            await self._end(row, InboxState.REFUSED, refusal(self._texts.of(incoming), incoming, limit, limits))
        else:
            self._open(row)
            await until_stored(partial(self._inbox.queued, row.id, text=reworded), inbox_id=row.id)

    async def _refuse(self, row: InboxRow, limit: Reason) -> None:
        """End a message of somebody who may not write, or not so often; each of them is told once a minute.

        A command that a platform gave us outside of the chat's messages (Discord) is answered each time: it shows
        that the bot is thinking until then, and to nobody but its sender.
        """
        told = refusal(self._texts.of(row.incoming), row.incoming, limit, self._policy.limits)
        is_due = self._rate.should_tell(person_of(row), self._now_s())
        is_awaited = row.incoming.address.interaction is not None
        await self._end(row, InboxState.REFUSED, told if is_due or is_awaited else "")

    async def _visibly(self, row: InboxRow, work: Awaitable[None]) -> None:
        """Do something for a message; a bug of ours ends it with a sentence, and keeps no place in the line."""
        try:
            await work
        except Exception as error:
            log.exception("unforeseen failure", inbox_id=row.id, exc_info=error)
            told = unforeseen(self._texts.of(row.incoming), reference=str(row.id))
            try:
                await self._end(row, InboxState.QUARANTINED, told)
            finally:
                self._room.leave(row.id)

    async def _answer(self, turn: OpenTurn) -> None:
        """Ask the model and store the end of the message; what fails is tried again or given up visibly."""
        with structlog.contextvars.bound_contextvars(request_id=f"{turn.row.id}-{turn.crashes}"):
            try:
                try:
                    await self._ask(turn)
                except InferenceError as error:
                    await self._give_up_or_retry(turn, error)
            except StorageError as error:
                log.error("database not usable, will answer later", error=str(error))
                await asyncio.sleep(STORAGE_PAUSE_S)
                self._room.rejoin(turn)
            finally:
                self._awake.set()

    async def _ask(self, turn: OpenTurn) -> None:
        if not await self._inbox.running(turn.row.id):
            self._room.leave(turn.row.id)
            return
        turn.live.typing()
        prompt = await prompt_of(turn, self._history, self._policy, self._generator.status().context_tokens)
        said, completion, person = "", None, person_of(turn.row)
        async with aclosing(self._generator.stream(prompt)) as events:
            async for event in events:
                now_s = self._now_s()
                match event:
                    case Started():
                        turn.progress.begin(prompt, event, self._estimates.prompt_weight(), now_s)
                        self._spent.add(person, turn.progress.computed_tokens, now_s)
                    case Delta():
                        said += event.text
                        turn.text = without_thoughts(said, is_whole=False)
                        self._spent.add(person, turn.progress.add(event, self._room.streams, now_s), now_s)
                        self._show_words(turn)
                    case Completion():
                        completion = event
        if completion is None:
            raise GenerationFailed("the answer had no end")
        turn.text = without_thoughts(said, is_whole=True)
        await self._conclude(turn, completion)

    async def _conclude(self, turn: OpenTurn, completion: Completion) -> None:
        row, reason = turn.row, completion.finish_reason
        text = remembered(turn.text, reason)
        seen = turn.progress.end(completion, self._room.streams, self._now_s())
        answer = Answer(
            question=scope.spoken(row.incoming, row.key),
            text=text,
            finish_reason=reason,
            provenance=completion.provenance,
            system=self._policy.system,
        )
        told = shown(self._texts.of(row.incoming), text, reason, has_attachment=row.incoming.has_attachment)
        await self._end(row, InboxState.ANSWERED, told, answer=answer if text else None)
        await self._estimates.learn(person_of(row), seen)

    async def _give_up_or_retry(self, turn: OpenTurn, error: InferenceError) -> None:
        language = self._texts.of(turn.row.incoming)
        told = failure(language, error, reference=str(turn.row.id))
        match error:
            case PromptTooLong():
                await self._end(turn.row, InboxState.REFUSED, told)
            case AdapterUnusable():
                log.error("chosen adapter cannot be used", inbox_id=turn.row.id, error=str(error))
                await self._end(turn.row, InboxState.REFUSED, told)
            case GenerationTimeout():
                await self._end(turn.row, InboxState.EXPIRED, told)
            case _:
                # A worker takes all that it holds down with it. Who was to blame shows when each is tried alone.
                is_suspect = isinstance(error, WorkerDied)
                is_to_blame = not (isinstance(error, ModelUnavailable) or (is_suspect and turn.had_company))
                turn.crashes += is_to_blame
                log.error("answer failed", inbox_id=turn.row.id, crashes=turn.crashes, error=str(error))
                if turn.crashes >= CRASHES_BEFORE_QUARANTINE:
                    await self._end(turn.row, InboxState.QUARANTINED, told)
                else:
                    requeue = partial(self._inbox.requeued, turn.row.id, is_to_blame=is_to_blame)
                    await until_stored(requeue, inbox_id=turn.row.id)
                    self._room.rejoin(turn, alone=is_suspect)

    async def _end(self, row: InboxRow, state: InboxState, text: str, *, answer: Answer | None = None) -> None:
        """Store how a message ended and what the chat is told; waits for the database as long as it takes."""
        # What is left to do waits for the platform and the database, and nobody else shall wait for those.
        self._room.computed(row.id)
        self._awake.set()
        turn = self._room.turn(row.id)
        edits = row.status_message_id if turn is None else await turn.live.close()
        parts = self._platforms[row.key.platform].render(text) if text else ()
        outcome = Outcome(state, parts, answer, edits)
        owed = await until_stored(partial(self._inbox.finish, row.id, outcome), inbox_id=row.id)
        self._room.leave(row.id)
        self._delivery.take(owed or ())
        self._awake.set()

    def _open(self, row: InboxRow) -> None:
        language, sampling = self._texts.of(row.incoming), row.incoming.sampling or self._policy.sampling
        live = Live(
            row,
            self._platforms[row.key.platform],
            self._outbox,
            placeholder=language.say("Writing…"),
            shut_out=lambda: self._tasks.begin(self._stop_for_nobody(row)),
            faults=self._faults,
        )
        cost = self._estimates.cost(row.incoming.text, person_of(row), sampling.max_new_tokens)
        self._room.join(row, live, cost, shares_fate=self._generator.status().shares_fate)
        self._awake.set()

    def _begin_what_can_begin(self) -> None:
        if self._is_draining:
            return
        status = self._generator.status()
        self._estimates.suit(status)
        while status.state is GeneratorState.READY and (turn := self._room.next(status.slots)) is not None:
            self._waits.begun(turn, self._now_s())
            turn.task = self._tasks.begin(self._visibly(turn.row, self._answer(turn)))

    def _look_after_those_who_wait(self) -> None:
        if (now_s := self._now_s()) < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_EVERY_S
        status = self._generator.status()
        forecast = self._room.forecast(status.slots, self._estimates.rates.together_tokens_s)
        for place, (turn, wait_s) in enumerate(forecast, start=1):
            language = self._texts.of(turn.row.incoming)
            if self._room.waited_s(turn) > self._policy.limits.wait_s:
                expired = language.say("I did not get to your message in time, so I gave it up. Please send it again.")
                turn.task = self._tasks.begin(self._visibly(turn.row, self._end(turn.row, InboxState.EXPIRED, expired)))
            elif self._room.waited_s(turn) < PLACE_AFTER_S:
                continue
            elif status.state is not GeneratorState.READY:
                turn.live.show(not_ready(language, status))
            else:
                turn.live.show(place_in_line(language, place, wait_s))
                if turn.live.is_open:
                    self._waits.told(turn, wait_s, now_s)

    async def _find_the_lost(self) -> None:
        for row in await self._sweep.look():
            if row.key.platform in self._platforms:
                log.warning("message found that nobody had begun with", inbox_id=row.id)
                self._take_up(row)

    async def _stop_for_nobody(self, row: InboxRow) -> None:
        """End a message whose chat takes nothing from us any more, so that nothing is computed for it."""
        if (turn := self._room.turn(row.id)) is not None:
            log.warning("chat is closed to the bot, its answer is stopped", inbox_id=row.id)
            await self._acts.stop([turn])

    def _show_words(self, turn: OpenTurn) -> None:
        begun_s = self._now_s() - (turn.started_at_s or 0.0)
        if turn.live.is_instant or turn.live.is_open or begun_s > FIRST_WORDS_AFTER_S:
            turn.live.show(turn.text)

    async def _something_happens(self) -> None:
        """Return when there may be something to do, at the latest after a tick."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await self._awake.wait()
        self._awake.clear()

    async def _watch_the_model(self) -> None:
        while True:
            await self._generator.changed()
            self._awake.set()
