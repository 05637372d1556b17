"""What the conversation needs from the rest of the world, one Protocol a role.

Implementations inherit nothing. Each port of the storage has two, over SQLite
and in memory, and `tests/contracts` holds both to the sentences below. A
`TextGenerator` is the worker or servers elsewhere, a `Platform` is Telegram,
Discord or the terminal; these have their tests each for itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from botbridge.answers import Completion, Delta, GeneratorStatus, Prompt, Recent, Started
from botbridge.health import PlatformHealth, WorkerHealth
from botbridge.messages import (
    Address,
    AuditEntry,
    BotId,
    ChatId,
    ConversationKey,
    InboxId,
    InboxRow,
    IncomingMessage,
    MessageId,
    OutboxPart,
    Outcome,
    Part,
    PartId,
    PartState,
    Person,
    PlatformName,
    Spent,
    UserId,
)

Intake = Callable[[IncomingMessage], Awaitable[None]]
"""Returns once the message is committed: only then may the platform be told."""


class Inbox(Protocol):
    """Accepted messages. Every method that writes returns after the commit."""

    async def accept(self, incoming: IncomingMessage, key: ConversationKey) -> InboxRow | None:
        """Store a message as `received`; None when it is already known (a duplicate is success)."""
        ...

    async def ignore(self, address: Address, message_id: MessageId, raw: bytes, reason: str) -> None:
        """Store what could not be understood as `ignored`, with its bytes."""
        ...

    async def queued(self, inbox_id: InboxId, *, text: str | None = None) -> None:
        """Note that the message stands in the line.

        Args:
            text: What is answered instead of the message's own text; None is that text.
        """
        ...

    async def running(self, inbox_id: InboxId) -> bool:
        """Claim it for this start of the service, counting the attempt; False when it is already final."""
        ...

    async def requeued(self, inbox_id: InboxId, *, is_to_blame: bool = False) -> None:
        """Put a running message back into the line, e.g. after its worker died.

        Args:
            is_to_blame: The attempt failed because of this message, which is counted.
        """
        ...

    async def release(self) -> int:
        """Put back what runs by the claim of an earlier start of the service; how many there were.

        Attempts and crashes stay counted. What this start runs is left alone.
        """
        ...

    async def finish(self, inbox_id: InboxId, outcome: Outcome) -> tuple[OutboxPart, ...] | None:
        """Store state, turn and parts in one transaction; the parts as the outbox has them.

        None, and nothing is stored, when the message was final already: of two
        ends (an answer and a reset, say) the first one counts.
        """
        ...

    async def unfinished(self) -> Sequence[InboxRow]:
        """All messages that are not final, oldest first."""
        ...


class History(Protocol):
    """What conversations remember."""

    async def recent(self, key: ConversationKey, limit_chars: int) -> Recent:
        """The newest whole pairs of the current epoch that fit, and the adapter, in one reading."""
        ...

    async def matching(
        self,
        *,
        platform: PlatformName | None = None,
        bot_id: BotId | None = None,
        chat_id: ChatId | None = None,
        user_id: UserId | None = None,
    ) -> Sequence[ConversationKey]:
        """The conversations that fit all that is given; nothing given means all."""
        ...

    async def reset(
        self,
        keys: Sequence[ConversationKey],
        notice: Callable[[InboxRow], Outcome | None],
        *,
        before: InboxId | None = None,
    ) -> Sequence[InboxRow]:
        """Start a new epoch for each conversation, and end its unfinished messages, in one transaction.

        Those that ended are returned, so that the line forgets them and a
        running one is stopped. A conversation that does not exist yet is no
        error. Done twice with the same `before`, it changes no more than once.

        Args:
            notice: How a message ends; None leaves one alone, e.g. a command.
            before: The command that asked for it. Only what was accepted before that is ended and forgotten; what
                came after it, answered or not, belongs to the new epoch. None: all that was accepted so far.
        """
        ...

    async def adapter(self, key: ConversationKey) -> str | None:
        """The LoRA adapter that a conversation is answered with; None for the bare model."""
        ...

    async def choose_adapter(self, keys: Sequence[ConversationKey], adapter: str | None) -> None:
        """Answer conversations with another adapter from now on, whatever is reset; None is the bare model."""
        ...

    async def last_question(self, key: ConversationKey, person: UserId, *, before: InboxId) -> str | None:
        """What a person last asked in the current epoch before some message, as the model read it.

        None when there is nothing, and when it was not answered: its words are not kept then.
        """
        ...

    async def spent(self, within_s: float) -> Sequence[Spent]:
        """What was computed for the answers of the last so many seconds, oldest first; by the wall clock."""
        ...


class Outbox(Protocol):
    """Messages that we owe to chats."""

    async def open_status(self, inbox_id: InboxId, address: Address, part: Part) -> OutboxPart:
        """Note that the status message of an unfinished inbox row is about to be sent (`sending`, `is_status`)."""
        ...

    async def due(self) -> Sequence[OutboxPart]:
        """All parts that are `pending` or `failed_retryable`, oldest first."""
        ...

    async def interrupted(self) -> Sequence[OutboxPart]:
        """All parts left in `sending`, status messages too: at start, these are the ones a crash cut short."""
        ...

    async def others(self, part: OutboxPart) -> frozenset[MessageId]:
        """The messages in a part's chat that are known to be other parts; the newest thousand, where there are more."""
        ...

    async def mark(
        self, part_id: PartId, state: PartState, *, message_id: MessageId | None = None, detail: str = ""
    ) -> bool:
        """Move a part on; False when it is settled, which it stays.

        `sending` counts an attempt, `sent` stores the platform's id of the message.
        """
        ...

    async def status_sent(self, part_id: PartId, message_id: MessageId) -> None:
        """Note that a status message is in its chat.

        When its message has ended meanwhile, and the reply that is owed for it
        was not tried yet, that takes the status message's place (`edits`).
        """
        ...

    async def send_anew(self, part_id: PartId) -> None:
        """Note that the message which a part was to replace is gone, so that from now on it is a message of its own."""
        ...

    async def lose_sight(self, part_id: PartId, notice: Part, *, detail: str = "") -> None:
        """Settle a part as `delivery_unknown` and owe its chat a notice, in one transaction.

        One message has one notice at most, and a notice has none.
        """
        ...

    async def refused(self, part_id: PartId, notice: Part, *, detail: str = "") -> None:
        """Settle a part as `undeliverable` and owe its chat a notice, as `lose_sight` does.

        The notice takes the place of the message that the part was to replace.
        """
        ...


class People(Protocol):
    """Who was seen, and what is kept of them."""

    async def seen(self, address: Address, username: str) -> Sequence[Person]:
        """Everybody who wrote in this chat under this username (any case)."""
        ...

    async def export(self, platform: PlatformName, user_id: UserId) -> dict[str, object]:
        """All that is stored of a person, as plain JSON values."""
        ...

    async def forget(self, platform: PlatformName, user_id: UserId) -> dict[str, int]:
        """Erase a person's messages, turns and names; how many rows of each went."""
        ...


class Audit(Protocol):
    """The record of acts of power."""

    async def record(self, entry: AuditEntry) -> None:
        """Append an entry; there is no way to change one."""
        ...


class TextGenerator(Protocol):
    """A language model, wherever it runs."""

    def status(self) -> GeneratorStatus:
        """Whether answers can be had now."""
        ...

    async def changed(self) -> None:
        """Return when the status is another than at the time of the call."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Started | Delta | Completion, None]:
        """Answer: one `Started`, any number of `Delta`, one `Completion` last.

        Raises:
            InferenceError: the answer will not come; which subclass says why.

        Cancellation: closing the generator stops the computation, too.
        """
        ...

    async def forget(self, conversation: str) -> None:
        """Drop what is cached for a conversation."""
        ...


class OpenedGenerator(TextGenerator, Protocol):
    """A `TextGenerator` that works inside its `async with` block.

    Entering returns at once; `status` tells when it can answer. On leaving,
    nothing that it started goes on.
    """

    async def __aenter__(self) -> Self: ...

    def worker(self) -> WorkerHealth | None:
        """The signs of life of a process of ours that computes; None where there is none now."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Platform(Protocol):
    """A place where people chat. Methods that reach it raise PlatformError."""

    @property
    def name(self) -> PlatformName:
        """The platform's short name, e.g. `telegram`."""
        ...

    def health(self) -> PlatformHealth:
        """The signs that messages can come in, with their ages now."""
        ...

    def repeats_safely(self, part: OutboxPart) -> bool:
        """True when sending this part again within minutes, after a crash in the middle of it, makes no second copy."""
        ...

    def render(self, text: str) -> tuple[Part, ...]:
        """Format Markdown for this platform and split it to its limits; at least one part."""
        ...

    def edit_interval_s(self, address: Address) -> float:
        """The least pause between two edits in this chat, in seconds; infinity for no edits at all."""
        ...

    async def send(self, part: OutboxPart) -> MessageId:
        """Deliver a part, by editing `part.edits` where that is set; return the message's id.

        Raises:
            PlatformError: which subclass says what may be done about it.
        """
        ...

    async def edit(self, address: Address, message_id: MessageId, text: str) -> None:
        """Replace a status message by plain text, cut to one message. An equal text is success."""
        ...

    async def typing(self, address: Address) -> None:
        """Show for a few seconds that an answer is being written.

        Raises:
            ChatClosed: no answer will be taken here; other failures are not told.
        """
        ...

    async def is_chat_admin(self, address: Address, user_id: UserId) -> bool:
        """Ask the platform, now, whether a person administers the chat (or server)."""
        ...

    async def run(self, intake: Intake) -> None:
        """Take messages in until cancelled.

        Raises:
            BadToken: the platform stays off. A platform may also be asked again while it refuses the token, as
                Telegram is; everything else is retried inside.
        """
        ...


class State(Protocol):
    """Small facts that outlive a restart, e.g. the hash of the commands last told to a platform."""

    async def get(self, name: str) -> str | None:
        """The value stored under a name, None if there is none."""
        ...

    async def put(self, name: str, value: str) -> None:
        """Store a value, replacing the former one."""
        ...
