"""What each kind of update means to the bot, in the form in which Telegram delivers it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.messages import ChatKind, MessageKind, Person
from botbridge.platforms.telegram.fields import Malformed
from botbridge.platforms.telegram.translate import Identity, to_incoming
from tests.fakes.telegram.entities import detected

ME = Identity(7000000001, "OurBot")
BOT = {"id": 7000000001, "is_bot": True, "first_name": "Our Bot", "username": "OurBot"}
SARA = {"id": 42, "is_bot": False, "first_name": "Sara", "last_name": "K.", "username": "sara", "language_code": "ar"}
OMAR = {"id": 43, "is_bot": False, "first_name": "Omar"}
PRIVATE = {"id": 42, "type": "private", "first_name": "Sara"}
GROUP = {"id": -1001, "type": "supergroup", "title": "G"}


def message(said: str | None = None, /, *, chat: dict[str, Any] = GROUP, **fields: Any) -> dict[str, Any]:
    """An update with a message; the entities are those that TDLib finds."""
    content = {} if said is None else {"text": said, "entities": detected(said)}
    base = {"message_id": 5, "from": SARA, "chat": chat, "date": 1_790_000_000}
    return {"update_id": 1, "message": base | content | fields}


def mention_of(user: dict[str, Any], offset: int, length: int) -> dict[str, Any]:
    """How a client names somebody who has no username."""
    return {"type": "text_mention", "offset": offset, "length": length, "user": user}


def test_a_private_message_becomes_ours_field_by_field() -> None:
    incoming = to_incoming(message("hello", chat=PRIVATE), ME)
    assert incoming is not None
    assert (incoming.message_id, incoming.text, incoming.kind) == ("5", "hello", MessageKind.TEXT)
    assert incoming.sender == Person("42", "Sara K.", "sara", "ar")
    assert incoming.sent_at == datetime.fromtimestamp(1_790_000_000, UTC)
    address = incoming.address
    assert (address.platform, address.bot_id, address.chat_id) == ("telegram", "7000000001", "42")
    assert (address.chat_kind, address.reply_to, address.thread_id) == (ChatKind.PRIVATE, None, None)


def test_a_group_message_is_quoted_by_the_reply() -> None:
    incoming = to_incoming(message("@OurBot hi"), ME)
    assert incoming is not None
    assert (incoming.address.chat_kind, incoming.address.reply_to) == (ChatKind.GROUP, "5")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("@OurBot hi", "hi"),
        ("@ourbot, what is this?", "what is this?"),
        ("hi @OurBot", "hi"),
        ("ask @OurBot about it", "ask about it"),
        ("😀😀 @OurBot 👨‍👩‍👧 ok", "😀😀 👨‍👩‍👧 ok"),
        ("@OurBot tell @sara_k something", "tell @sara_k something"),
        ("@OurBot @OurBot twice", "twice"),
        ("مرحبا @OurBot، كيف الحال", "مرحبا كيف الحال"),
    ],
)
def test_a_mention_addresses_the_bot_and_is_taken_out(said: str, heard: str) -> None:
    incoming = to_incoming(message(said), ME)
    assert incoming is not None
    assert incoming.text == heard


@pytest.mark.parametrize(
    "said",
    [
        "hello all",
        "@OurBotFan hi",
        "mail me at x@OurBot.com",
        "OurBot hi",
        "@someoneelse hi",
        "/reset@otherbot",
        "see /reset",
    ],
)
def test_what_is_not_meant_for_the_bot_in_a_group_is_not_heard(said: str) -> None:
    assert to_incoming(message(said), ME) is None


def test_a_mention_without_an_entity_is_none() -> None:
    """In a code block Telegram marks no mention, and neither do we look for one."""
    code = [{"type": "code", "offset": 0, "length": 10}]
    assert to_incoming(message("@OurBot hi", entities=code), ME) is None


def test_a_mention_by_id_counts_as_one_by_name() -> None:
    incoming = to_incoming(message("Bot hi", entities=[mention_of(BOT, 0, 3)]), ME)
    assert incoming is not None
    assert incoming.text == "hi"


def test_a_reply_to_the_bot_addresses_it_and_one_to_a_person_does_not() -> None:
    def reply_to(author: dict[str, Any]) -> dict[str, Any]:
        return {"reply_to_message": {"message_id": 4, "from": author, "chat": GROUP, "date": 1, "text": "x"}}

    assert to_incoming(message("and why?", **reply_to(BOT)), ME) is not None
    assert to_incoming(message("and why?", **reply_to(OMAR)), ME) is None


def test_every_message_of_a_topic_that_the_bot_opened_is_not_a_reply_to_it() -> None:
    opening = {"message_id": 3, "from": BOT, "chat": GROUP, "date": 1, "forum_topic_created": {"name": "T"}}
    topic = {"message_thread_id": 3, "is_topic_message": True, "reply_to_message": opening}
    assert to_incoming(message("just talking", **topic), ME) is None
    addressed = to_incoming(message("@OurBot hi", **topic), ME)
    assert addressed is not None
    assert addressed.address.thread_id == "3"


def test_a_thread_of_replies_is_no_topic() -> None:
    incoming = to_incoming(message("@OurBot hi", message_thread_id=3), ME)
    assert incoming is not None
    assert incoming.address.thread_id is None


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ("/reset", "/reset"),
        ("/reset@OurBot", "/reset"),
        ("/Reset@OURBOT now", "/reset now"),
        ("@OurBot /reset", "/reset"),
        ("/reset @OurBot", "/reset"),
        ("/reset @sara_k", "/reset @sara_k"),
    ],
)
@pytest.mark.parametrize("chat", [GROUP, PRIVATE], ids=["group", "private"])
def test_a_command_is_heard_without_the_name_of_the_bot(said: str, command: str, chat: dict[str, Any]) -> None:
    incoming = to_incoming(message(said, chat=chat), ME)
    assert incoming is not None
    assert (incoming.kind, incoming.text) == (MessageKind.COMMAND, command)


@pytest.mark.parametrize("chat", [GROUP, PRIVATE], ids=["group", "private"])
def test_a_command_for_another_bot_is_not_heard(chat: dict[str, Any]) -> None:
    assert to_incoming(message("/reset@otherbot", chat=chat), ME) is None


@pytest.mark.parametrize("said", ["/ban", "/ban @OurBot", "/ban@OurBot", "@OurBot /ban"])
def test_an_unknown_command_is_heard_in_a_group_only_if_the_bot_is_named_as_its_addressee(said: str) -> None:
    """Another bot may be meant, whose command is about this one."""
    reply = {"reply_to_message": {"message_id": 4, "from": BOT, "chat": GROUP, "date": 1, "text": "x"}}
    heard = [to_incoming(message(said, **fields), ME) is not None for fields in ({}, reply)]
    assert heard == [said in ("/ban@OurBot", "@OurBot /ban")] * 2
    assert to_incoming(message(said, chat=PRIVATE), ME) is not None


def test_a_command_in_bold_is_one() -> None:
    entities = [{"type": "bold", "offset": 0, "length": 6}, {"type": "bot_command", "offset": 0, "length": 6}]
    incoming = to_incoming(message("/reset", entities=entities), ME)
    assert incoming is not None
    assert incoming.kind is MessageKind.COMMAND


def test_a_path_in_a_private_chat_is_text() -> None:
    incoming = to_incoming(message("what is in /etc then", chat=PRIVATE), ME)
    assert incoming is not None
    assert incoming.kind is MessageKind.TEXT


def test_a_command_is_about_the_person_replied_to() -> None:
    replied = {"message_id": 4, "from": OMAR, "chat": GROUP, "date": 1, "text": "x"}
    incoming = to_incoming(message("/reset", reply_to_message=replied), ME)
    assert incoming is not None
    assert incoming.target == Person("43", "Omar")


def test_a_command_is_about_the_person_mentioned_by_id_before_the_one_replied_to() -> None:
    replied = {"message_id": 4, "from": SARA, "chat": GROUP, "date": 1, "text": "x"}
    entities = [{"type": "bot_command", "offset": 0, "length": 6}, mention_of(OMAR, 7, 4)]
    incoming = to_incoming(message("/reset Omar", entities=entities, reply_to_message=replied), ME)
    assert incoming is not None
    assert incoming.target == Person("43", "Omar")


@pytest.mark.parametrize(
    "replied",
    [
        {"from": BOT},
        {"from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}, "sender_chat": GROUP},
        {"from": SARA, "forum_topic_created": {"name": "T"}},
        {},
    ],
    ids=["the bot", "an anonymous administrator", "a topic", "nobody"],
)
def test_a_command_is_about_nobody_who_is_no_person(replied: dict[str, Any]) -> None:
    fields = {"message_id": 4, "chat": GROUP, "date": 1} | replied
    incoming = to_incoming(message("/reset", reply_to_message=fields), ME)
    assert incoming is not None
    assert incoming.target is None


@pytest.mark.parametrize(
    "fields",
    [
        {"from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}, "sender_chat": GROUP},
        {
            "from": {"id": 136817688, "is_bot": True, "first_name": "Channel"},
            "sender_chat": {"id": -1002, "type": "channel"},
        },
        {"from": {"id": 777000, "is_bot": False, "first_name": "Telegram"}},
        {"from": {"id": 99, "is_bot": True, "first_name": "Other Bot"}},
        {"from": None},
        {"from": SARA, "sender_chat": {"id": -1002, "type": "channel", "title": "C"}},
    ],
    ids=["anonymous administrator", "channel", "Telegram", "bot", "nobody", "person as channel"],
)
def test_who_is_no_person_is_not_heard(fields: dict[str, Any]) -> None:
    """They could bear any name; rights hang on the numeric id of a person."""
    assert to_incoming(message("@OurBot /reset all", **fields), ME) is None


@pytest.mark.parametrize(
    "borrowed",
    [
        {"forward_origin": {"type": "user", "sender_user": SARA, "date": 1}},
        {"reply_to_message": {"message_id": 4, "chat": GROUP, "date": 1, "from": SARA, "text": "/reset all"}},
        {"quote": {"text": "/reset all", "position": 0}, "external_reply": {"origin": {"type": "user"}}},
        {"via_bot": SARA},
        {"author_signature": "Sara K."},
        {"from": OMAR | {"first_name": "Sara", "last_name": "K.", "username": "sara"}},
    ],
    ids=["forwarded", "reply", "quote", "via", "signature", "same name"],
)
def test_only_the_numeric_id_of_who_sent_it_speaks(borrowed: dict[str, Any]) -> None:
    """Whatever of an administrator a message shows, it is Omar's, and his rights are asked for."""
    incoming = to_incoming(message("@OurBot /reset all", **({"from": OMAR} | borrowed)), ME)
    assert incoming is not None
    assert incoming.sender.user_id == "43"


def test_a_forwarded_order_is_its_forwarders() -> None:
    """Who first wrote it lends no right to whoever passes it on."""
    origin = {"type": "user", "sender_user": OMAR, "date": 1}
    incoming = to_incoming(message("@OurBot /reset all", forward_origin=origin, forward_from=OMAR), ME)
    assert incoming is not None
    assert incoming.sender.user_id == str(SARA["id"])
    assert incoming.target is None


@pytest.mark.parametrize("kind", ["sticker", "photo", "voice", "video_note", "document", "poll", "location", "contact"])
def test_what_cannot_be_read_is_unsupported_in_a_private_chat_and_nothing_in_a_group(kind: str) -> None:
    incoming = to_incoming(message(chat=PRIVATE, **{kind: {}}), ME)
    assert incoming is not None
    assert (incoming.kind, incoming.text) == (MessageKind.UNSUPPORTED, "")
    assert to_incoming(message(**{kind: {}}), ME) is None


def test_a_caption_counts_as_text() -> None:
    caption = {"caption": "@OurBot what is this?", "caption_entities": detected("@OurBot what is this?")}
    incoming = to_incoming(message(photo=[{}], **caption), ME)
    assert incoming is not None
    assert (incoming.kind, incoming.text) == (MessageKind.TEXT, "what is this?")
    assert incoming.has_attachment


def test_a_text_has_nothing_attached_though_it_replies_to_a_photo() -> None:
    incoming = to_incoming(message("@OurBot hi", reply_to_message={"from": OMAR, "photo": [{}]}), ME)
    assert incoming is not None
    assert not incoming.has_attachment


@pytest.mark.parametrize("said", ["@OurBot", " @OurBot \n"])
def test_a_bare_mention_is_unsupported(said: str) -> None:
    incoming = to_incoming(message(said), ME)
    assert incoming is not None
    assert incoming.kind is MessageKind.UNSUPPORTED


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_text_in_a_private_chat_is_unsupported(text: str) -> None:
    incoming = to_incoming(message(text, chat=PRIVATE), ME)
    assert incoming is not None
    assert incoming.kind is MessageKind.UNSUPPORTED


@pytest.mark.parametrize(
    "update",
    [
        {"update_id": 1, "edited_message": message("hi", chat=PRIVATE)["message"]},
        {"update_id": 1, "edited_message": message("@OurBot /reset all")["message"] | {"edit_date": 2}},
        {"update_id": 1, "channel_post": message("hi", chat={"id": -5, "type": "channel"})["message"]},
        {"update_id": 1, "something_new": {}},
        message(chat=PRIVATE, pinned_message={}),
        message(new_chat_members=[BOT]),
        message("@OurBot hi", chat={"id": -5, "type": "channel"}),
        {"update_id": 1},
    ],
    ids=[
        "edited",
        "edited into a command",
        "channel post",
        "unknown kind",
        "pinned",
        "joined",
        "in a channel",
        "empty",
    ],
)
def test_what_nobody_said_to_the_bot_is_nothing(update: dict[str, Any]) -> None:
    assert to_incoming(update, ME) is None


def test_lone_surrogates_and_nul_are_replaced_in_text_and_names() -> None:
    sender = SARA | {"first_name": "S\udc00", "last_name": None}
    incoming = to_incoming(message("x", chat=PRIVATE, text="a\ud800b\x00 \ud83d\ude00", entities=[]), ME)
    assert incoming is not None
    assert incoming.text == "a\ufffdb\ufffd 😀"
    named = to_incoming(message("x", chat=PRIVATE, **{"from": sender}), ME)
    assert named is not None
    assert named.sender.display_name == "S\ufffd"


@pytest.mark.parametrize(
    "fields",
    [
        {"message_id": "5"},
        {"message_id": 5.0},
        {"chat": {"type": "private"}},
        {"chat": None},
        {"from": {"first_name": "x"}},
        {"from": "Sara"},
        {"date": "now"},
        {"date": 10**30},
        {"text": ["x"]},
        {"entities": {}},
        {"entities": [{"type": "mention", "offset": 0, "length": 99}]},
        {"entities": [{"type": "mention", "offset": -1, "length": 1}]},
        {"entities": [{"type": "mention", "offset": "0", "length": 1}]},
    ],
    ids=repr,
)
def test_a_field_of_the_wrong_kind_makes_the_update_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        to_incoming(
            message("hello", chat=PRIVATE) | {"message": message("hello", chat=PRIVATE)["message"] | fields}, ME
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "text", "user"]), inner),
    max_leaves=6,
)


@given(
    changes=st.dictionaries(
        st.sampled_from(
            ["message_id", "from", "chat", "date", "text", "entities", "caption", "reply_to_message", "sticker"]
        ),
        JSON,
    )
)
def test_whatever_the_json_holds_it_is_translated_or_malformed(changes: dict[str, Any]) -> None:
    """No other error leaves, so that the loop needs to know no other."""
    with contextlib.suppress(Malformed):
        to_incoming({"update_id": 1, "message": message("@OurBot hi")["message"] | changes}, ME)
