"""Who administers a channel is asked of Discord at the moment it counts."""

from __future__ import annotations

import pytest

from botbridge.errors import PlatformUnavailable
from botbridge.messages import UserId
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import Bot


async def test_manage_server_makes_an_admin_and_losing_it_unmakes_them_at_once(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello", person="ana")
    heard = await bot.next()
    assert not await bot.platform.is_chat_admin(heard.address, heard.sender.user_id)
    await server.person("ana", manager=True)
    assert await bot.platform.is_chat_admin(heard.address, heard.sender.user_id)
    await server.person("ana", manager=False)
    assert not await bot.platform.is_chat_admin(heard.address, heard.sender.user_id)


async def test_the_owner_of_a_server_administers_its_channels(server: FakeDiscord, bot: Bot) -> None:
    await server.say("hello", person="harbour-owner", thread="boats")
    heard = await bot.next()
    assert await bot.platform.is_chat_admin(heard.address, heard.sender.user_id)


async def test_an_admin_elsewhere_and_somebody_of_the_same_name_are_no_admins_here(
    server: FakeDiscord, bot: Bot
) -> None:
    elsewhere = await server.person("eve", guild="island", manager=True)
    await server.person("ana", manager=True)
    same_name = await server.person("not-ana", shown="Ana")
    await server.say("hello", person="ana")
    heard = await bot.next()
    assert not await bot.platform.is_chat_admin(heard.address, UserId(elsewhere))
    assert not await bot.platform.is_chat_admin(heard.address, UserId(same_name))
    assert not await bot.platform.is_chat_admin(heard.address, UserId("1"))


async def test_in_private_a_person_rules_over_their_own_chat_alone(server: FakeDiscord, bot: Bot) -> None:
    stranger = await server.person("eve", manager=True)
    await server.say("hello", person="ana", direct=True)
    heard = await bot.next()
    assert await bot.platform.is_chat_admin(heard.address, heard.sender.user_id)
    assert not await bot.platform.is_chat_admin(heard.address, UserId(stranger))


async def test_when_discord_cannot_be_asked_nobody_is_called_an_admin(server: FakeDiscord, bot: Bot) -> None:
    await server.person("ana", manager=True)
    await server.say("hello", person="ana")
    heard = await bot.next()
    await server.fail("status", path="/members/", status=503)
    with pytest.raises(PlatformUnavailable):
        await bot.platform.is_chat_admin(heard.address, heard.sender.user_id)
