"""The terminal as a platform: one reply to each question, and none lost."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from botbridge.answers import Sampling
from botbridge.errors import PlatformUnavailable
from botbridge.messages import (
    ChatKind,
    InboxState,
    Person,
    UserId,
)
from botbridge.platforms.terminal.adapter import TerminalPlatform, local_person
from botbridge.platforms.terminal.window import Shown
from tests.platforms.terminal.conftest import ANN, Desktop


async def late_reply(desktop: Desktop) -> str:
    async with aclosing(desktop.terminal.late_replies(ANN)) as late:
        return await asyncio.wait_for(anext(late), timeout=10)


async def test_a_question_is_answered_with_one_final_text(desktop: Desktop) -> None:
    await desktop.start()
    shown = await desktop.ask("hello")
    assert shown[-1] == Shown("echo: hello", is_final=True, ending=InboxState.ANSWERED)
    assert not any(step.is_final for step in shown[:-1])


async def test_words_are_shown_as_they_come(desktop: Desktop) -> None:
    await desktop.start()
    desktop.generator.enqueue(["Paris", " is", " big."])
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "capital?")) as replies:
        async for shown in replies:
            if shown.text == "Paris":
                assert (shown.is_final, shown.is_status) == (False, False)
                desktop.generator.release()
    assert shown.text == "Paris is big."


async def test_a_waiting_person_sees_their_place_before_the_words(desktop: Desktop) -> None:
    await desktop.start()
    desktop.generator.hold()
    first = asyncio.create_task(desktop.ask("first"))
    async with aclosing(desktop.terminal.ask(ANN, "second")) as replies:
        async for shown in replies:
            if "number 1 in the line" in shown.text:
                assert shown.is_status
                desktop.generator.release()
    assert shown.text == "echo: second"
    assert (await first)[-1].text == "echo: first"


async def test_every_window_gets_the_reply_to_its_own_question(desktop: Desktop) -> None:
    await desktop.start()
    replies = await asyncio.gather(*(desktop.ask(f"question {number}") for number in range(3)))
    assert [shown[-1].text for shown in replies] == [f"echo: question {number}" for number in range(3)]


async def test_a_script_may_ask_faster_than_people_are_allowed_to(desktop: Desktop) -> None:
    """The second refusal in a minute is silent, so a window that is refused would wait for ever."""
    await desktop.start()
    for number in range(25):
        shown = await asyncio.wait_for(desktop.ask(f"question {number}"), timeout=10)
        assert shown[-1].text == f"echo: question {number}"


async def test_sampling_of_a_question_reaches_the_model(desktop: Desktop) -> None:
    await desktop.start()
    await desktop.ask("hello", sampling=Sampling(max_new_tokens=30, temperature=0.1, top_p=0.9, seed=7))
    assert desktop.generator.prompts[0].sampling == Sampling(max_new_tokens=30, temperature=0.1, top_p=0.9, seed=7)


async def test_cancel_from_another_window_ends_the_reply_with_a_word(desktop: Desktop) -> None:
    await desktop.start()
    desktop.generator.enqueue(["A long", " story"])
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "a story")) as replies:
        async for shown in replies:
            if shown.text == "A long":
                assert (await desktop.ask("/cancel"))[-1].text == "Stopped 1 message."
    assert shown.ending is InboxState.CANCELLED
    assert "Stopped" in shown.text


async def test_a_reply_whose_window_was_closed_is_shown_by_the_next_one(desktop: Desktop) -> None:
    await desktop.start()
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "wait for me")) as replies:
        await anext(replies)
    desktop.generator.release()
    assert await late_reply(desktop) == "echo: wait for me"


async def test_a_window_without_late_replies_is_not_held_up_by_one(desktop: Desktop) -> None:
    """The late reply stands before the new one in the same chat's order."""
    await desktop.start()
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "left alone")) as replies:
        await anext(replies)
    desktop.generator.release()
    assert (await asyncio.wait_for(desktop.ask("next"), timeout=10))[-1].text == "echo: next"
    assert await late_reply(desktop) == "echo: left alone"


@pytest.mark.slow
async def test_a_reply_survives_two_restarts_until_somebody_looks(desktop: Desktop) -> None:
    """Nobody at the terminal: the part stays unsettled in the outbox, whatever the process does."""
    await desktop.start()
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "before the crash")) as replies:
        await anext(replies)
    await desktop.stop()
    desktop.generator.release()
    for _ in range(2):
        await desktop.start()
        await desktop.stop()
    await desktop.start()
    assert await late_reply(desktop) == "echo: before the crash"


async def test_a_person_never_sees_the_late_reply_of_another(desktop: Desktop) -> None:
    await desktop.start()
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "a secret")) as replies:
        await anext(replies)
    desktop.generator.release()
    bob = Person(UserId("bob"))
    async with aclosing(desktop.terminal.late_replies(bob)) as late:
        bobs = asyncio.ensure_future(anext(late))
        assert await late_reply(desktop) == "echo: a secret"
        assert not bobs.done()
        bobs.cancel()
        await asyncio.gather(bobs, return_exceptions=True)


async def test_a_stopping_service_gives_up_whoever_waits(desktop: Desktop) -> None:
    await desktop.start()
    desktop.generator.hold()
    async with aclosing(desktop.terminal.ask(ANN, "too late")) as replies:
        await anext(replies)
        await desktop.stop()
        with pytest.raises(PlatformUnavailable, match="stopped before"):
            _ = [shown async for shown in replies]
    with pytest.raises(PlatformUnavailable):
        await desktop.ask("afterwards")


async def test_a_part_that_is_sent_again_is_shown_once(desktop: Desktop) -> None:
    await desktop.start()
    await desktop.ask("hello")
    part = list(desktop.store.parts.values())[-1].part
    first = await desktop.terminal.send(part)
    assert await desktop.terminal.send(part) == first
    async with aclosing(desktop.terminal.late_replies(ANN)) as late:
        another = asyncio.create_task(desktop.terminal.send(replace(part, id=part.id + 1)))
        assert await asyncio.wait_for(anext(late), timeout=10) == "echo: hello"
        await another
        assert not desktop.terminal._windows[part.address.chat_id].late


async def test_control_bytes_of_a_model_never_reach_the_window(desktop: Desktop) -> None:
    """E10: neither in the words as they come nor in the final text."""
    await desktop.start()
    desktop.generator.enqueue(["red \x1b[31m", "\x1b]52;c;ZXZpbA==\x07", "\x9b2J end"])
    shown = await desktop.ask("paint")
    assert shown[-1].text == "red [31m]52;c;ZXZpbA==2J end"
    assert not any(char in step.text for step in shown for char in "\x1b\x07\x9b")


async def test_people_administer_only_their_own_private_chat(desktop: Desktop) -> None:
    await desktop.start()
    await desktop.ask("hello")
    address = list(desktop.store.parts.values())[-1].part.address
    assert await desktop.terminal.is_chat_admin(address, ANN.user_id)
    assert not await desktop.terminal.is_chat_admin(address, UserId("bob"))
    assert not await desktop.terminal.is_chat_admin(replace(address, chat_kind=ChatKind.GROUP), ANN.user_id)


def test_a_reply_is_one_part_however_long() -> None:
    text = "word " * 20_000
    assert [part.text for part in TerminalPlatform().render(text)] == [text]


def test_the_local_person_has_the_same_id_every_time() -> None:
    assert local_person() == local_person()
    assert local_person().user_id


async def test_the_last_question_is_answered_again(desktop: Desktop) -> None:
    """Also after a command, which is no question."""
    await desktop.start()
    await desktop.ask("hello")
    await desktop.ask("/whoami")
    shown = await desktop.ask("/again")
    assert shown[-1] == Shown("echo: hello", is_final=True, ending=InboxState.ANSWERED)
