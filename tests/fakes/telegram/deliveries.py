"""Brings updates to a webhook as Telegram does: one after the other in a chat, again until a 2xx.

Telegram pauses longer between two tries and gives up in the end; neither is done here.

Source: https://core.telegram.org/bots/api#setwebhook
"""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import urlsplit

import aiohttp

from tests.fakes.telegram.faults import FaultKind
from tests.fakes.telegram.server import BotApi
from tests.fakes.telegram.world import World

RETRY_S = 0.05
ANSWER_S = 10.0


async def bring_updates(api: BotApi) -> None:
    """Deliver until cancelled; faults of the method `webhook` change what happens."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as http:
        while True:
            async with api.changed:
                await api.changed.wait_for(lambda: _is_near(api.world.webhook_url) and bool(api.world.waiting))
            world = api.world
            # One try for each chat at a time: a chat that fails holds up no other.
            first: dict[str, int] = {}
            for update_id in sorted(world.waiting, reverse=True):
                first[_chat_of(world.waiting[update_id])] = update_id
            results = await asyncio.gather(*(_try(api, http, update_id) for update_id in first.values()))
            if not all(results):
                await asyncio.sleep(RETRY_S)


async def _try(api: BotApi, http: aiohttp.ClientSession, update_id: int) -> bool:
    world = api.world
    fault = next((fault for fault in api.faults if fault.meets("webhook", None)), None)
    copies = 1
    if fault is not None:
        fault.times -= 1
        copies = 2 if fault.kind is FaultKind.TWICE else 1
    body = world.waiting[update_id].encode()
    statuses = await asyncio.gather(*(_post(world, http, body) for _ in range(copies)))
    is_lost = fault is not None and fault.kind is FaultKind.ACCEPT_AND_HANG
    is_done = all(200 <= status < 300 for status in statuses) and not is_lost
    for status in statuses:
        world.ledger.note("delivery", update_id=update_id, status=status)
    if is_done and update_id in world.waiting:
        world.confirm_one(update_id)
    elif not is_done:
        world.webhook_error = (int(time.time()), f"Wrong response from the webhook: {statuses[-1]}")
    await api.notify()
    return is_done


async def _post(world: World, http: aiohttp.ClientSession, body: bytes) -> int:
    headers = {"Content-Type": "application/json"}
    if world.webhook_secret:
        headers["X-Telegram-Bot-Api-Secret-Token"] = world.webhook_secret
    try:
        async with http.post(world.webhook_url, data=body, headers=headers) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


def _is_near(url: str) -> bool:
    """True on this machine: nothing is ever sent elsewhere."""
    return urlsplit(url).hostname == "127.0.0.1"


def _chat_of(text: str) -> str:
    try:
        return str(json.loads(text)["message"]["chat"]["id"])
    except (ValueError, RecursionError, LookupError, TypeError):
        return text
