"""Obeys commands: checks the right, acts, records it, and says what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from botbridge.conversation import adapters
from botbridge.conversation.access import Access, Powers, Right, right_to_reset
from botbridge.conversation.acts import Acts
from botbridge.conversation.commands import Command
from botbridge.conversation.line import person_of
from botbridge.conversation.notices import not_answered_yet, nothing_to_repeat
from botbridge.conversation.room import OpenTurn, Room
from botbridge.conversation.scope import unspoken
from botbridge.conversation.targets import Everyone, Somebody, Unclear, WholeChat, choose_target, names_somebody
from botbridge.conversation.texts import Language, Texts
from botbridge.errors import PlatformError
from botbridge.messages import (
    AuditEntry,
    ChatKind,
    ConversationKey,
    InboxRow,
    InboxState,
    PlatformName,
)
from botbridge.ports import Audit, History, People, Platform, TextGenerator

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What came of a command."""

    state: InboxState
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """The command asks the model: this is the question that it stands for."""

    question: str


class Desk:
    """Carries out what people order by command, each act checked at the moment it is carried out."""

    def __init__(
        self,
        *,
        history: History,
        people: People,
        audit: Audit,
        platforms: Mapping[PlatformName, Platform],
        room: Room,
        acts: Acts,
        generator: TextGenerator,
        access: Access,
        texts: Texts,
        is_model_elsewhere: bool = False,
    ) -> None:
        self._generator = generator
        self._history = history
        self._people = people
        self._audit = audit
        self._platforms = platforms
        self._room = room
        self._acts = acts
        self._access = access
        self._texts = texts
        self._is_model_elsewhere = is_model_elsewhere

    async def obey(self, row: InboxRow, command: Command) -> Obeyed | Ask:
        """Carry out a command; an unknown one is answered with the way to the known ones."""
        language = self._texts.of(row.incoming)
        match command.name:
            case "start":
                return Obeyed(InboxState.ANSWERED, greeting(language, is_model_elsewhere=self._is_model_elsewhere))
            case "help":
                return Obeyed(InboxState.ANSWERED, help_text(language))
            case "whoami":
                return Obeyed(InboxState.ANSWERED, await self._whoami(row, language))
            case "cancel":
                return Obeyed(InboxState.ANSWERED, await self._cancel(row, language))
            case "again":
                return await self._again(row, language)
            case "reset":
                return await self._reset(row, command, language)
            case "adapter":
                return await self._adapter(row, command, language)
            case _:
                unknown = language.say("I do not know /{name}. /help shows what I know.", name=command.name)
                return Obeyed(InboxState.REFUSED, unknown)

    async def _whoami(self, row: InboxRow, language: Language) -> str:
        incoming = row.incoming
        powers = await self._powers(row)
        rights = [language.say("You may reset your own conversation.")] if row.key.user_id is not None else []
        if powers.chat_admin:
            rights.append(language.say("You administer this chat, so you may reset all conversations in it."))
        if powers.operator:
            rights.append(language.say("You operate this bot, so you may reset every conversation."))
        you = language.say(
            "On {platform} you are {id}.", platform=incoming.address.platform, id=incoming.sender.user_id
        )
        shared = (
            language.say("In this chat everybody shares one conversation with me.")
            if row.key.user_id is None
            else language.say("This conversation is yours alone.")
        )
        return "\n".join([you, shared, *rights])

    async def _cancel(self, row: InboxRow, language: Language) -> str:
        stopped = await self._acts.stop(self._open_turns(row))
        if not stopped:
            return language.say("There is nothing to stop.")
        return language.count("Stopped {number} message.", "Stopped {number} messages.", stopped)

    async def _again(self, row: InboxRow, language: Language) -> Obeyed | Ask:
        if self._open_turns(row):
            return Obeyed(InboxState.REFUSED, not_answered_yet(language))
        question = await self._history.last_question(row.key, row.incoming.sender.user_id, before=row.id)
        if question is None:
            return Obeyed(InboxState.REFUSED, nothing_to_repeat(language))
        return Ask(unspoken(question, row.incoming, row.key))

    def _open_turns(self, row: InboxRow) -> Sequence[OpenTurn]:
        """What waits or is answered of what the same person said before in the same conversation."""
        return [turn for turn in self._room.within({row.key}, before=row.id) if person_of(turn.row) == person_of(row)]

    async def _reset(self, row: InboxRow, command: Command, language: Language) -> Obeyed:
        powers = await self._powers(row)
        if names_somebody(command.words) and not (powers.operator or powers.chat_admin):
            return await self._deny(row, "a name", language)  # whose id it is, is told only to who may use it
        target = await choose_target(row, command.words, self._people)
        if isinstance(target, Unclear):
            return Obeyed(InboxState.REFUSED, target.answer(language))
        is_beyond = isinstance(target, Everyone) or (
            isinstance(target, WholeChat) and target.chat_id != row.key.chat_id
        )
        if is_beyond and not powers.operator:
            # Before it is looked up: a private chat's id may be its person's, and others shall not learn who is here.
            return await self._deny(row, target, language)
        keys = await self._keys(row, target, operator=powers.operator)
        allowed = {key: right for key in keys if (right := right_to_reset(key, row.incoming, powers)) is not None}
        # Whether there would be something to reset is told only to those who might reset it.
        if not keys and target is not None and (powers.operator or powers.chat_admin):
            return Obeyed(InboxState.ANSWERED, language.say("There is nothing to reset."))
        if not allowed or len(allowed) < len(keys):
            return await self._deny(row, target, language)
        if isinstance(target, Everyone) and not target.confirmed:
            ask = language.count(
                "This resets {number} conversation of everybody. To go on, send: /reset all confirm",
                "This resets {number} conversations of everybody. To go on, send: /reset all confirm",
                len(allowed),
            )
            return Obeyed(InboxState.ANSWERED, ask)
        ended = await self._acts.start_anew(list(allowed), before=row.id)
        log.info("conversations reset", actor=actor(row), conversations=len(allowed), ended_messages=ended)
        strongest = max(allowed.values(), key=list(Right).index)
        await self._audit.record(AuditEntry(actor(row), "reset", str(target or "own"), allowed=True, reason=strongest))
        if target is None:
            return Obeyed(InboxState.ANSWERED, language.say("Done. We start afresh."))
        done = language.count(
            "Done. {number} conversation was reset.", "Done. {number} conversations were reset.", len(allowed)
        )
        return Obeyed(InboxState.ANSWERED, done)

    async def _adapter(self, row: InboxRow, command: Command, language: Language) -> Obeyed:
        """Show or choose what answers the conversation that the command was said in, or all of one person's."""
        subject = f"{row.key.text} {' '.join(command.words)}".strip()
        if person_of(row) not in self._access.operators:
            await self._audit.record(AuditEntry(actor(row), "adapter", subject, allowed=False, reason="no right"))
            return Obeyed(InboxState.REFUSED, language.say("Only those who operate this bot choose its adapters."))
        status = self._generator.status()
        if not command.words:
            chosen = await self._history.adapter(row.key)
            return Obeyed(InboxState.ANSWERED, adapters.overview(language, chosen, status))
        target = row.incoming.target
        choice = adapters.wanted(command.words, None if target is None else target.user_id)
        if (refusal := adapters.refusal(language, choice.name, status)) is not None:
            return Obeyed(InboxState.REFUSED, refusal)
        person = None if choice.user_id is None else Somebody(choice.user_id)
        keys = await self._keys(row, person, operator=True)
        await self._acts.choose_adapter(keys, choice.name)
        log.info("adapter chosen", actor=actor(row), adapter=choice.name, conversations=[key.text for key in keys])
        subject = f"{person or row.key.text} {' '.join(command.words)}"
        await self._audit.record(AuditEntry(actor(row), "adapter", subject, allowed=True, reason=Right.OPERATOR))
        if person is None:
            return Obeyed(InboxState.ANSWERED, adapters.chosen(language, choice.name))
        return Obeyed(InboxState.ANSWERED, adapters.chosen_for(language, choice.name, len(keys)))

    async def _keys(
        self, row: InboxRow, target: Everyone | WholeChat | Somebody | None, *, operator: bool
    ) -> Sequence[ConversationKey]:
        platform, chat_id = row.key.platform, row.key.chat_id
        # Only operators act beyond the chat they speak in, and on what an earlier bot of this database left.
        bot_id = None if operator else row.key.bot_id
        match target:
            case None:
                return [row.key]
            case Everyone():
                return await self._history.matching()
            case WholeChat():
                return await self._history.matching(platform=platform, bot_id=bot_id, chat_id=target.chat_id)
            case Somebody():
                return await self._history.matching(
                    platform=platform,
                    bot_id=bot_id,
                    chat_id=None if operator else chat_id,
                    user_id=target.user_id,
                )

    async def _powers(self, row: InboxRow) -> Powers:
        in_group = row.incoming.address.chat_kind is ChatKind.GROUP
        return Powers(
            operator=person_of(row) in self._access.operators,
            chat_admin=in_group and await self._is_chat_admin(row),
        )

    async def _deny(
        self, row: InboxRow, target: Everyone | WholeChat | Somebody | str | None, language: Language
    ) -> Obeyed:
        await self._audit.record(
            AuditEntry(actor(row), "reset", str(target or "own"), allowed=False, reason="no right")
        )
        if target is None:
            text = language.say(
                "Everybody shares this conversation, so only an administrator of this chat may reset it."
            )
        else:
            text = language.say("You may not reset that. Your own conversation you may: /reset")
        return Obeyed(InboxState.REFUSED, text)

    async def _is_chat_admin(self, row: InboxRow) -> bool:
        address, user_id = row.incoming.address, row.incoming.sender.user_id
        try:
            return await self._platforms[address.platform].is_chat_admin(address, user_id)
        except PlatformError as error:
            log.warning("rights could not be asked, so none are granted", chat_id=address.chat_id, error=str(error))
            return False


def actor(row: InboxRow) -> str:
    """Who acts, as the audit names them."""
    return ":".join(person_of(row))


def greeting(language: Language, *, is_model_elsewhere: bool) -> str:
    """What a newcomer reads first: what this is, who reads along, what is kept, what can be done."""
    if is_model_elsewhere:
        return language.say(
            "Hello! I answer with a language model that runs on a server my operator chose: what you write is sent "
            "there. I remember our conversation until you send /reset. Answers are written by a machine and can be "
            "wrong. Just write to me; /help shows the rest."
        )
    return language.say(
        "Hello! I answer with a language model that runs on my operator's own computer: nothing you write goes to "
        "anybody else. I remember our conversation until you send /reset. Answers are written by a machine and can "
        "be wrong. Just write to me; /help shows the rest."
    )


def help_text(language: Language) -> str:
    """How to talk to the bot, who writes its answers, and all commands, one a line."""
    return "\n".join(
        [
            language.say("Write to me in a private chat; in a group mention me or reply to me."),
            # Licences want people to know: BigScience RAIL, Attachment A 5; Llama 3.2's Acceptable Use Policy, 3.
            language.say("All my answers are AI generated: a machine writes them, and they can be wrong."),
            *(f"/{name} – {description}" for name, description in command_menu(language)),
        ]
    )


def command_menu(language: Language) -> tuple[tuple[str, str], ...]:
    """The commands with what they do, for menus."""
    return (
        ("help", language.say("what I can do")),
        ("reset", language.say("start our conversation afresh")),
        ("cancel", language.say("stop the answer I am writing")),
        ("again", language.say("answer your last question again")),
        ("whoami", language.say("your id and your rights here")),
        ("adapter", language.say("the model's adapter in this conversation, for operators")),
    )
