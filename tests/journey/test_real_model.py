"""The main job on the real model: answers, memory, resets, cancels, places in the line, and a killed worker.

One service for the whole module; each test has people of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from botbridge.answers import Role, Turn
from botbridge.inference.engines.hf_tokenizer import HfTokenizer, ModelTemplate
from botbridge.inference.loop import prompt_hash
from botbridge.inference.prompt import PromptBuilder
from botbridge.models.catalogue import load_catalogue
from botbridge.setting_groups import DEFAULT_MODEL, InferenceSettings
from tests.fakes.discord import FakeDiscord
from tests.fakes.telegram.client import Chat, FakeTelegram, Person, Record
from tests.journey.bridge import Bridge
from tests.journey.hunting import leaks
from tests.journey.town import OPERATOR, Town, is_status, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

MOST_NEW_TOKENS = 256
"""A long answer outlasts the way of a message by seconds, whatever the machine."""
LONG = "Write a very long story about a ship, a storm and a lighthouse."
ANSWER_TIMEOUT_S = 120.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town(
    tmp_path_factory: pytest.TempPathFactory, model_home: Path, telegram_process: str, discord_process: str
) -> AsyncIterator[Town]:
    """Both platforms and a botbridge with the real model."""
    home: Path = tmp_path_factory.mktemp("town")
    async with FakeTelegram(running=telegram_process) as telegram, FakeDiscord(running=discord_process) as discord:
        settings = settings_of(telegram, discord) | {
            "INFERENCE__ENGINE": "auto",
            "INFERENCE__TEMPERATURE": "0",
            "INFERENCE__THREADS": "1",  # several wait for one another on a busy machine
            "INFERENCE__SLOTS": "1",  # so that there is a line
            "INFERENCE__MAX_NEW_TOKENS": str(MOST_NEW_TOKENS),
            "ADMINS__DISCORD": await discord.person("olga"),
        }
        async with Bridge(home, settings, models=model_home / "models") as bridge:
            await discord.wait_until("ready")
            yield Town(bridge, telegram, discord)
            assert leaks(bridge) == []


@pytest.fixture(scope="module")
def prompts(model_home: Path) -> PromptBuilder:
    """Builds the prompts that the worker should have built."""
    revision = load_catalogue().resolve(DEFAULT_MODEL).pinned_revision
    directory = model_home / "models" / DEFAULT_MODEL / str(revision)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    limit = json.loads((directory / "config.json").read_text())["max_position_embeddings"]
    return PromptBuilder(HfTokenizer(tokenizer), ModelTemplate(tokenizer, []).template, limit)


async def test_on_telegram_the_second_turn_remembers_until_somebody_entitled_resets(
    town: Town, prompts: PromptBuilder
) -> None:
    """What the model was given is computed again from what is stored, and compared by its hash."""
    here, there = Chat(-3001), Chat(-3002)
    sara, stranger, foreign_admin = town.somebody(), town.somebody(), town.somebody()
    await town.telegram.change(member={"chat_id": there.id, "user_id": foreign_admin.id, "status": "administrator"})
    first = await ask_in_group(town, sara, here, "My cat is called Miso.")
    for person in (stranger, foreign_admin):
        said = await town.telegram.say(person, f"/reset@{town.telegram.bot_username} {sara.id}", chat=here)
        refusal = await town.telegram.wait_for_reply(here, after=said.message_id)
        assert refusal.text.startswith("You may not reset that")
    second = await ask_in_group(town, sara, here, "What is her name?")
    said = await town.telegram.say(OPERATOR, f"/reset {sara.id}")
    assert (
        await town.telegram.wait_for_reply(OPERATOR, after=said.message_id)
    ).text == "Done. 1 conversation was reset."
    third = await ask_in_group(town, sara, here, "What is her name?")
    assert [answer["used_turns"] for answer in (first, second, third)] == [1, 3, 1]
    for answer in (first, second, third):
        assert answer["revision"] == load_catalogue().resolve(DEFAULT_MODEL).pinned_revision
        assert answer["prompt_hash"] == hash_again(prompts, town.bridge, answer)


async def test_on_discord_the_second_turn_remembers_until_somebody_entitled_resets(
    town: Town, prompts: PromptBuilder
) -> None:
    await town.discord.person("boss", guild="elsewhere", manager=True)
    first = await ask_on_discord(town, "ana", "My dog is called Rex.")
    for person in ("carl", "boss"):
        used = await town.discord.slash("reset", person=person, options={"person": "ana"})
        assert (await town.discord.wait_for_reply(used)).text.startswith("You may not reset that")
    second = await ask_on_discord(town, "ana", "What is his name?")
    used = await town.discord.slash("reset", person="olga", options={"person": "ana"})
    assert (await town.discord.wait_for_reply(used)).text == "Done. 1 conversation was reset."
    third = await ask_on_discord(town, "ana", "What is his name?")
    assert [answer["used_turns"] for answer in (first, second, third)] == [1, 3, 1]
    for answer in (first, second, third):
        assert answer["prompt_hash"] == hash_again(prompts, town.bridge, answer)


async def test_a_cancel_stops_the_answer_that_is_being_written_and_keeps_its_words(town: Town) -> None:
    sara = town.somebody()
    said = await town.telegram.say(sara, LONG)
    await town.telegram.wait_until(lambda record: words_shown(record, sara), ANSWER_TIMEOUT_S)
    stop = await town.telegram.say(sara, "/cancel")
    told = await town.telegram.wait_for_reply(sara, after=stop.message_id)
    assert told.text == "Stopped 1 message."
    stopped = await town.telegram.wait_for_reply(
        sara, after=said.message_id, until=lambda sent: sent.text.endswith("⏹ Stopped.")
    )
    assert plain(stopped.text.removesuffix("⏹ Stopped."))
    queue = await town.bridge.ask("queue")
    assert (queue["running"], queue["waiting"]) == ([], [])
    (row,) = town.bridge.rows("SELECT id, state FROM inbox WHERE message_id = ?", str(said.message_id))
    assert row["state"] == "cancelled"
    assert town.bridge.rows("SELECT id FROM turn WHERE inbox_id = ?", row["id"]) == []


async def test_of_two_who_ask_at_once_one_sees_the_place_in_line_which_becomes_the_answer(town: Town) -> None:
    sara, omar = town.somebody(), town.somebody()
    await town.telegram.say(sara, LONG)
    await town.telegram.wait_until(lambda record: record.count("action", chat_id=sara.id) > 0)
    said = await town.telegram.say(omar, "Say hello.")
    shown = await town.telegram.wait_for_reply(omar, after=said.message_id, until=lambda sent: "number 1" in sent.text)
    await town.telegram.say(sara, "/cancel")
    answer = await finished(town, said.message_id)
    await town.telegram.wait_until(lambda record: record.to(omar)[0].text == answer["text"])
    (only,) = (await town.telegram.ledger()).to(omar)
    assert only.message_id == shown.message_id
    assert any("⏳ You are number 1 in the line: about" in text for text in only.edits)


async def test_a_worker_that_is_killed_in_mid_answer_costs_nobody_the_answer(town: Town) -> None:
    """One was being answered, one waited; both get one answer each."""
    sara = town.somebody()
    said = await town.telegram.say(sara, LONG)
    await town.telegram.wait_until(lambda record: words_shown(record, sara), ANSWER_TIMEOUT_S)
    asked = await town.discord.say("Say hello.", person="dora", channel="killed")
    await town.discord.wait_for_reply(asked)
    town.bridge.worker().kill()
    await town.bridge.logged("was ended by SIGKILL")
    answers = [await finished(town, said.message_id), await finished(town, asked)]
    await town.telegram.wait_until(lambda record: plain(record.to(sara)[-1].text) == plain(answers[0]["text"]))
    assert len((await town.telegram.ledger()).to(sara)) == 1
    await town.discord.wait_for_reply(asked, until=lambda text: text == answers[1]["text"])
    assert len([entry for entry in await town.discord.ledger("sent") if entry["reply_to"] == asked]) == 1
    attempts = "SELECT attempts FROM inbox WHERE message_id = ?"
    assert town.bridge.rows(attempts, str(said.message_id)) == [{"attempts": 2}]
    assert town.bridge.rows(attempts, asked) == [{"attempts": 1}]


async def ask_in_group(town: Town, person: Person, group: Chat, text: str) -> dict[str, Any]:
    """Mention the bot; the stored answer."""
    said = await town.telegram.say(person, f"@{town.telegram.bot_username} {text}", chat=group)
    return await finished(town, said.message_id)


async def ask_on_discord(town: Town, person: str, text: str) -> dict[str, Any]:
    """Mention the bot; the stored answer."""
    return await finished(town, await town.discord.say(text, person=person))


async def finished(town: Town, message_id: int | str) -> dict[str, Any]:
    """Wait until a message was answered and the answer delivered; the turn that is stored of it."""

    def delivered() -> bool:
        states = town.bridge.rows(
            "SELECT outbox.state FROM outbox JOIN inbox ON inbox.id = outbox.inbox_id "
            "WHERE inbox.message_id = ? AND NOT outbox.is_status",
            str(message_id),
        )
        return bool(states) and all(row["state"] == "sent" for row in states)

    await town.bridge.until(delivered, ANSWER_TIMEOUT_S)
    (turn,) = town.bridge.rows(
        "SELECT turn.* FROM turn JOIN inbox ON inbox.id = turn.inbox_id "
        "WHERE inbox.message_id = ? AND turn.role = 'assistant'",
        str(message_id),
    )
    return turn


def words_shown(record: Record, person: Person) -> bool:
    """Whether the chat shows the beginning of an answer."""
    return any(not is_status(sent.text) for sent in record.to(person))


def plain(text: str) -> str:
    """A text without what Markdown makes of it."""
    return "".join(character for character in text if character.isalnum())


def hash_again(prompts: PromptBuilder, bridge: Bridge, answer: dict[str, Any]) -> str:
    """The hash of the prompt that the stored turns before an answer make."""
    turns: list[Turn] = []
    parent = answer["parent_id"]
    while parent is not None:
        (row,) = bridge.rows("SELECT role, text, parent_id FROM turn WHERE id = ?", parent)
        turns.insert(0, Turn(Role(row["role"]), row["text"]))
        parent = row["parent_id"]
    return prompt_hash(prompts.build(InferenceSettings().system, turns, MOST_NEW_TOKENS).ids)
