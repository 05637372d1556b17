"""A question to Discord is asked again for as long as it cannot be answered now."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import aiohttp
import discord
import pytest

from botbridge.errors import ChatClosed
from botbridge.platforms.discord.failures import asked_until_answered, meaning_of


class Question:
    """Fails as it is told before it is answered."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def __call__(self) -> str:
        """Ask."""
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


async def test_what_the_network_does_is_outlived() -> None:
    question = Question(
        ConnectionRefusedError(), TimeoutError(), aiohttp.ServerDisconnectedError(), discord.RateLimited(0.01)
    )
    assert await asked_until_answered(question, 5.0, pauses_s=(0.0,)) == "answer"
    assert question.tries == 5


async def test_a_question_that_is_never_answered_is_given_up_and_asked_again() -> None:
    tries = []

    async def question() -> int:
        tries.append(1)
        await asyncio.sleep(60.0 if len(tries) == 1 else 0.0)
        return len(tries)

    assert await asked_until_answered(question, 0.05, pauses_s=(0.0,)) == 2


async def test_a_pause_that_discord_asks_for_is_kept() -> None:
    question = Question(discord.RateLimited(60.0))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asked_until_answered(question, 5.0, pauses_s=(0.0,))
    assert question.tries == 1


@pytest.mark.parametrize(("code", "status"), [(10015, 404), (50027, 401)], ids=["10015", "50027"])
def test_a_command_that_takes_no_answer_is_a_closed_chat(code: int, status: int) -> None:
    """Nobody acknowledged it in time, as Discord told its sender, or its token has expired: no word would come."""
    response = SimpleNamespace(status=status, reason="", headers={"Content-Type": "application/json"})
    error = discord.HTTPException(response, {"code": code, "message": "Unknown Webhook"})  # type: ignore[arg-type]
    assert isinstance(meaning_of(error), ChatClosed)
