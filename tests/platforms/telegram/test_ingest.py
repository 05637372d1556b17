"""Updates are fetched, committed and only then confirmed; nothing stops the loop."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from botbridge.errors import StorageError, StorageUnavailable
from botbridge.messages import ChatKind, MessageKind
from botbridge.platforms.telegram.adapter import Timing
from botbridge.platforms.telegram.backoff import Backoff
from botbridge.platforms.telegram.batch import RawUpdate
from botbridge.platforms.telegram.reception import REMEMBERED_ALBUMS, Reception
from botbridge.platforms.telegram.translate import Identity
from tests.fakes.telegram.client import Chat, FakeTelegram, Person
from tests.platforms.telegram.conftest import QUICK, Taken, listening, platform_on

SARA = Person(42, "Sara", "sara", "ar")
UNKNOWN_TOKEN = "Telegram does not know this token"


async def test_a_message_is_taken_in_and_then_confirmed(telegram: FakeTelegram, taken: Taken) -> None:
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        said = await telegram.say(SARA, "hello")
        await telegram.wait_until(lambda record: not record.unconfirmed)
    (message,) = taken.accepted
    assert message.text == "hello"
    assert message.message_id == str(said.message_id)
    assert message.address.bot_id == str(telegram.bot_id)
    assert message.address.chat_kind is ChatKind.PRIVATE
    assert message.sender.language == "ar"


async def test_what_came_while_the_bot_was_away_is_not_dropped(telegram: FakeTelegram, taken: Taken) -> None:
    """Not even when a webhook stood before."""
    await telegram.change(webhook_url="https://example.org/hook")
    await telegram.say(SARA, "first")
    await telegram.say(SARA, "second")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 2)
        record = await telegram.ledger()
        assert record.count("webhook", url="", drops=False) == 1
        assert record.count("refused", code=409) == 0
    assert [message.text for message in taken.accepted] == ["first", "second"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"message_id": "one"},
        {"chat": []},
        {"from": {"id": True}},
        {"date": 1e300},
        {"text": 5},
        {"entities": [{"type": "bold", "offset": 0, "length": 99}]},
    ],
    ids=repr,
)
async def test_a_malformed_update_between_two_good_ones_is_kept_and_stops_nothing(
    telegram: FakeTelegram, taken: Taken, wrong: dict[str, object]
) -> None:
    sound = {"message_id": 1, "chat": {"id": 42, "type": "private"}, "from": {"id": 42}, "date": 1, "text": "x"}
    await telegram.say(SARA, "before")
    update_id = await telegram.offer_raw(json.dumps({"message": sound | wrong}))
    await telegram.say(SARA, "after")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [message.text for message in taken.accepted] == ["before", "after"]
    ((_, message_id, raw, reason),) = taken.ignored
    assert message_id == f"update-{update_id}"
    assert str(update_id).encode() in raw
    assert "malformed" in reason


@pytest.mark.parametrize(
    "unreadable",
    ['{"message": ' + "9" * 5000 + "}", '{"message": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"message": oops}'],
    ids=["number", "depth", "no JSON"],
)
async def test_an_update_that_no_parser_takes_is_put_aside_alone(
    telegram: FakeTelegram, taken: Taken, unreadable: str
) -> None:
    """It makes the whole answer unreadable, so the bot asks for one update at a time."""
    await telegram.say(SARA, "before")
    await telegram.offer_raw(unreadable)
    await telegram.say(SARA, "after")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [message.text for message in taken.accepted] == ["before", "after"]
    assert [reason for *_, reason in taken.ignored] == ["no readable JSON"]


@pytest.mark.parametrize(
    "trouble",
    [StorageUnavailable("database is locked"), StorageError("locking protocol")],
    ids=["away", "no sentence for it"],
)
async def test_the_offset_stays_while_the_database_is_away_and_nothing_is_lost(
    telegram: FakeTelegram, taken: Taken, trouble: StorageError
) -> None:
    taken.is_away, taken.trouble = True, trouble
    await telegram.say(SARA, "keep me")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: taken.refusals >= 3)
        assert len((await telegram.ledger()).unconfirmed) == 1
        taken.is_away = False
        await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [message.text for message in taken.accepted] == ["keep me"]
    assert taken.ignored == []


async def test_a_bot_that_ends_before_the_commit_is_told_again(telegram: FakeTelegram, taken: Taken) -> None:
    """Telegram repeats what no offset has confirmed."""
    taken.is_away = True
    await telegram.say(SARA, "once more")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: taken.refusals >= 1)
    taken.is_away = False
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 1)


async def test_a_bug_behind_the_intake_costs_one_update_and_not_the_loop(telegram: FakeTelegram, taken: Taken) -> None:
    async def failing(incoming: object) -> None:
        raise ZeroDivisionError

    await telegram.say(SARA, "boom")
    async with platform_on(telegram, taken) as platform:
        task = asyncio.create_task(platform.run(failing))
        await taken.until(lambda taken: len(taken.ignored) == 1)
        await telegram.wait_until(lambda record: not record.unconfirmed)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert taken.ignored[0][3] == "internal error: ZeroDivisionError"


async def test_a_wrong_token_is_told_and_not_shown(telegram: FakeTelegram, taken: Taken) -> None:
    token = "7000000001:wrong-token-wrong-token-wrong-token"
    with capture_logs() as lines:
        async with platform_on(telegram, taken, token=token) as platform, listening(platform, taken) as task:
            async with asyncio.timeout(10):
                while len(lines) < 3:  # noqa: ASYNC110 - a list has no event
                    await asyncio.sleep(0.01)
            assert not task.done()
            assert not platform.health().is_on
            assert platform.health().detail == UNKNOWN_TOKEN
            assert token not in repr(platform)
    assert [line["error"] for line in lines[:3]] == [UNKNOWN_TOKEN] * 3
    assert token not in repr(lines)


@pytest.mark.parametrize("method", ["getMe", "getWebhookInfo", "getUpdates"])
async def test_a_token_that_is_refused_is_told_aloud_and_asked_about_again(
    telegram: FakeTelegram, taken: Taken, method: str
) -> None:
    """Telegram has refused good tokens before; that shall not make the bot deaf until somebody starts it anew."""
    await telegram.break_calls(method, "status", times=10_000, status=401, description="Unauthorized")
    with capture_logs() as lines:
        async with platform_on(telegram, taken) as platform, listening(platform, taken) as task:
            await telegram.wait_until(lambda record: record.count("refused", code=401) >= 8)
            assert not task.done()
            assert not platform.health().is_on
            assert platform.health().detail == UNKNOWN_TOKEN
            await telegram.mend()
            await telegram.say(SARA, "at last")
            await taken.until(lambda taken: len(taken.accepted) == 1)
            assert platform.health().is_on
    told = [line for line in lines if line.get("error") == UNKNOWN_TOKEN]
    assert [line["log_level"] for line in told[:3]] == ["warning", "error", "error"]
    assert max(line["next_try_in_s"] for line in told) == QUICK.backoff.longest_s


@pytest.mark.parametrize(
    "trouble",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 404, "description": "Not Found"},
        {"kind": "status", "status": 409, "description": "Conflict: terminated by other getUpdates request"},
        {"kind": "page", "status": 404},
        {"kind": "flood", "retry_after": 1},
        {"kind": "cut"},
        {"kind": "garbage"},
    ],
    ids=lambda trouble: f"{trouble['kind']}-{trouble.get('status', '')}",
)
async def test_trouble_with_polling_is_outlived(telegram: FakeTelegram, taken: Taken, trouble: dict[str, Any]) -> None:
    await telegram.break_calls("getUpdates", times=1 if trouble["kind"] == "flood" else 3, **trouble)
    await telegram.say(SARA, "still there?")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 1)


async def test_a_page_of_somebody_else_is_no_word_on_the_token(telegram: FakeTelegram, taken: Taken) -> None:
    await telegram.break_calls("getUpdates", "page", status=404, times=2)
    await telegram.say(SARA, "still there?")
    with capture_logs() as lines:
        async with platform_on(telegram, taken) as platform, listening(platform, taken):
            await taken.until(lambda taken: len(taken.accepted) == 1)
    told = [line["error"] for line in lines if line["event"] == "no updates from Telegram"]
    assert told == ["answered with 404, and not by Telegram"] * 2


async def test_no_poll_that_is_cut_goes_unnoticed(telegram: FakeTelegram, taken: Taken) -> None:
    """The HTTP client would repeat it, were it a GET."""
    await telegram.break_calls("getUpdates", "cut", times=2)
    await telegram.say(SARA, "still there?")
    with capture_logs() as lines:
        async with platform_on(telegram, taken) as platform, listening(platform, taken):
            await taken.until(lambda taken: len(taken.accepted) == 1)
    assert [line["failures"] for line in lines if line["event"] == "no updates from Telegram"] == [1, 2]


async def test_a_poll_that_is_never_answered_is_given_up(telegram: FakeTelegram, taken: Taken) -> None:
    """A socket that stays open and silent must not make the bot deaf."""
    impatient = Timing(poll_s=0, connect_s=1.0, answer_s=0.5, backoff=Backoff(0.05, 0.1))
    await telegram.break_calls("getUpdates", "hang")
    await telegram.say(SARA, "hello?")
    async with platform_on(telegram, taken, timing=impatient) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 1)


async def test_a_poll_that_trickles_for_ever_is_given_up(telegram: FakeTelegram, taken: Taken) -> None:
    """Each byte is in time for the HTTP client, so that only the watchdog ends it."""
    impatient = Timing(poll_s=0, connect_s=0.2, answer_s=0.3, backoff=Backoff(0.05, 0.1))
    await telegram.break_calls("getUpdates", "trickle")
    await telegram.say(SARA, "hello?")
    with capture_logs() as lines:
        async with platform_on(telegram, taken, timing=impatient) as platform, listening(platform, taken):
            await taken.until(lambda taken: len(taken.accepted) == 1)
            assert platform.health().is_on
    assert "a poll neither returned nor failed within 0.5 s; it was given up" in [line.get("error") for line in lines]


async def test_a_second_poller_that_stays_is_told_aloud_and_outlived(telegram: FakeTelegram, taken: Taken) -> None:
    """Never alive but deaf: health knows it and says why, the pauses stay short, and it ends by itself."""
    await telegram.break_calls("getUpdates", "status", times=10_000, status=409, description="Conflict: terminated")
    with capture_logs() as lines:
        async with platform_on(telegram, taken) as platform, listening(platform, taken) as task:
            await telegram.wait_until(lambda record: record.count("refused", code=409) >= 8)
            assert not task.done()
            assert not platform.health().is_on
            assert platform.health().last_good_s is not None
            assert "another program polls with this bot's token" in platform.health().detail
            await telegram.mend()
            await telegram.say(SARA, "at last")
            await taken.until(lambda taken: len(taken.accepted) == 1)
            assert platform.health().is_on
            assert platform.health().detail == ""
    told = [line for line in lines if line["event"] == "no updates from Telegram"]
    assert [line["log_level"] for line in told[:3]] == ["warning", "error", "error"]
    assert max(line["next_try_in_s"] for line in told) == QUICK.backoff.longest_s


async def test_a_webhook_that_is_set_while_the_bot_polls_is_removed(telegram: FakeTelegram, taken: Taken) -> None:
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await telegram.say(SARA, "before")
        await taken.until(lambda taken: len(taken.accepted) == 1)
        await telegram.change(webhook_url="https://example.org/hook")
        await telegram.say(SARA, "after")
        await taken.until(lambda taken: len(taken.accepted) == 2)
        assert (await telegram.ledger()).webhook_url == ""


async def test_update_ids_may_jump_fall_and_begin_anywhere(telegram: FakeTelegram, taken: Taken) -> None:
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        for number, update_id in enumerate((500_001, 900_000, 12, 2_000_000_000, 11), start=1):
            await telegram.change(next_update=update_id)
            await telegram.say(SARA, f"{number}")
            await telegram.wait_until(lambda record: not record.unconfirmed)
    assert [message.text for message in taken.accepted] == ["1", "2", "3", "4", "5"]


async def test_a_second_poller_does_not_stop_the_first_for_good(telegram: FakeTelegram, taken: Taken) -> None:
    async with (
        platform_on(telegram, taken) as one,
        platform_on(telegram, taken) as other,
        listening(one, taken) as task,
    ):
        async with listening(other, taken):
            await telegram.wait_until(lambda record: record.count("refused", code=409) >= 2)
        await telegram.say(SARA, "who is left?")
        await telegram.wait_until(lambda record: not record.unconfirmed)
        assert not task.done()
    assert {message.text for message in taken.accepted} == {"who is left?"}


async def test_a_server_that_is_down_at_the_start_is_waited_for(telegram: FakeTelegram, taken: Taken) -> None:
    await telegram.change(listening=False)
    async with platform_on(telegram, taken) as platform, listening(platform, taken) as task:
        await asyncio.wait({task}, timeout=0.2)
        assert not task.done()
        await telegram.change(listening=True)
        await telegram.say(SARA, "back")
        await taken.until(lambda taken: len(taken.accepted) == 1)
        assert platform.health().last_good_s is not None


async def test_menus_are_set_for_each_language_in_chats_and_groups(telegram: FakeTelegram, taken: Taken) -> None:
    menus = {"": [("help", "what I can do")], "ar": [("help", "ماذا أستطيع")]}
    async with platform_on(telegram, taken, menus=menus) as platform, listening(platform, taken):
        record = await telegram.wait_until(lambda record: len(record.menus) == 4)
    assert set(record.menus) == {
        "all_private_chats/", "all_group_chats/", "all_private_chats/ar", "all_group_chats/ar"
    }  # fmt: skip
    assert record.menus["all_group_chats/ar"] == [{"command": "help", "description": "ماذا أستطيع"}]


async def test_order_is_kept_within_a_chat(telegram: FakeTelegram, taken: Taken) -> None:
    group = Chat(-100)
    for number in range(20):
        await telegram.say(SARA, f"/help {number}", chat=group)
        await telegram.say(SARA, f"{number}")
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 40)
    for kind in ChatKind:
        texts = [message.text.split()[-1] for message in taken.accepted if message.address.chat_kind is kind]
        assert texts == [str(number) for number in range(20)]


async def test_of_an_album_the_first_piece_is_taken_and_what_has_words(telegram: FakeTelegram, taken: Taken) -> None:
    """People send ten photos and one question; ten answers are nine too many."""
    photo = [{"file_id": "p", "file_unique_id": "p", "width": 1, "height": 1}]
    await telegram.say(SARA, photo=photo, caption="what is this?", media_group_id="1")
    await telegram.say(SARA, photo=photo, media_group_id="1")
    await telegram.say(SARA, photo=photo, media_group_id="2")
    await telegram.say(SARA, photo=photo, media_group_id="2")
    await telegram.say(SARA, photo=photo, caption="and this?", media_group_id="2")
    await telegram.say(SARA, photo=photo)
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 4)
    heard = [(incoming.text, incoming.kind) for incoming in taken.accepted]
    assert heard == [
        ("what is this?", MessageKind.TEXT),
        ("", MessageKind.UNSUPPORTED),
        ("and this?", MessageKind.TEXT),
        ("", MessageKind.UNSUPPORTED),
    ]


def piece(chat_id: int, message_id: int, album: object) -> RawUpdate:
    """A photo without words, one of several."""
    sender = {"id": chat_id, "is_bot": False, "first_name": "S"}
    said = {"message_id": message_id, "date": 1, "chat": {"id": chat_id, "type": "private"}, "from": sender}
    content = {"update_id": message_id, "message": {**said, "photo": [{}], "media_group_id": album}}
    return RawUpdate(message_id, content, b"")


async def test_an_album_whose_first_piece_was_not_stored_is_not_passed_over(taken: Taken) -> None:
    reception = Reception(Identity(7, "OurBot"), taken.intake, taken.ignore)
    taken.is_away = True
    with pytest.raises(StorageError):
        await reception.commit(piece(42, 1, "a"))
    taken.is_away = False
    await reception.commit(piece(42, 2, "a"))
    await reception.commit(piece(42, 3, "a"))
    assert [incoming.message_id for incoming in taken.accepted] == ["2"]


async def test_albums_are_known_by_their_chat_and_as_many_as_come_together(taken: Taken) -> None:
    """What should be an album's id and is none tells nothing."""
    reception = Reception(Identity(7, "OurBot"), taken.intake, taken.ignore)
    for chat_id, album in (
        (1, "a"),
        (2, "a"),
        (1, 5),
        (1, 5),
        *((3, f"{n}") for n in range(REMEMBERED_ALBUMS)),
        (1, "a"),
    ):
        await reception.commit(piece(chat_id, len(taken.accepted), album))
    assert len(taken.accepted) == 4 + REMEMBERED_ALBUMS + 1
    assert not taken.ignored


async def test_a_sticker_arrives_as_unsupported(telegram: FakeTelegram, taken: Taken) -> None:
    sticker = {"file_id": "a", "file_unique_id": "b", "type": "regular", "width": 1, "height": 1}
    await telegram.say(SARA, sticker={**sticker, "is_animated": False, "is_video": False})
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 1)
    assert taken.accepted[0].kind is MessageKind.UNSUPPORTED


async def test_a_hundred_thousand_characters_and_lone_surrogates_arrive(telegram: FakeTelegram, taken: Taken) -> None:
    chat = '"chat": {"id": 42, "type": "private"}, "from": {"id": 42}, "date": 1'
    await telegram.offer_raw('{"message": {"message_id": 1, ' + chat + ', "text": "a\\ud800b\\u0000"}}')
    await telegram.offer_raw('{"message": {"message_id": 2, ' + chat + ', "text": "' + "x" * 100_000 + '"}}')
    async with platform_on(telegram, taken) as platform, listening(platform, taken):
        await taken.until(lambda taken: len(taken.accepted) == 2)
    assert taken.accepted[0].text == "a\ufffdb\ufffd"
    assert len(taken.accepted[1].text) == 100_000


@pytest.mark.parametrize(("sees_all", "explained"), [(False, "privacy mode is on"), (True, "privacy mode is off")])
async def test_privacy_mode_is_explained_in_one_line(
    telegram: FakeTelegram, taken: Taken, sees_all: bool, explained: str
) -> None:
    await telegram.change(sees_all=sees_all)
    with capture_logs() as lines:
        async with platform_on(telegram, taken) as platform, listening(platform, taken):
            await telegram.say(SARA, "hi")
            await taken.until(lambda taken: len(taken.accepted) == 1)
    (line,) = [line for line in lines if line["event"] == "Telegram is on"]
    assert line["groups"].startswith(explained)
    assert line["bot"] == "@OurBot"


async def test_no_line_of_ours_shows_the_token(telegram: FakeTelegram, taken: Taken) -> None:
    """Not when all goes well, and not in any kind of trouble."""
    for kind in ("cut", "garbage", "status"):
        await telegram.break_calls("*", kind, times=2)
    await telegram.offer_raw('{"message": []}')
    with capture_logs() as lines:
        async with platform_on(telegram, taken) as platform, listening(platform, taken):
            await taken.until(lambda taken: len(taken.ignored) == 1)
    assert len(lines) >= 3
    assert telegram.token not in repr(lines)
