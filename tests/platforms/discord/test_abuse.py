"""What people try on Discord, and what a model may be brought to write."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from botbridge.messages import MessageKind, Part
from botbridge.platforms.discord import adapter
from botbridge.platforms.discord.render import fit, render
from tests.fakes.discord import FakeDiscord
from tests.platforms.discord.conftest import Bot

PACKAGE = Path(adapter.__file__).parents[2]
MAY_SEND = {"adapter.py", "answers.py"}
SENDS = {"send", "send_message", "reply", "edit", "edit_message", "edit_original_response", "create_thread", "execute"}


def imported(tree: ast.AST) -> set[str]:
    """The packages that a module imports, in either way of writing it."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module is not None]
    return {name.partition(".")[0] for name in names}


def test_only_the_adapter_and_the_answers_to_commands_send() -> None:
    """Both forbid mentions in each payload; whatever sent elsewhere could ring a whole server."""
    discord, others = PACKAGE / "platforms" / "discord", []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        if path.parent != discord:
            assert "discord" not in imported(tree), f"{path} speaks to Discord past its adapter"
        elif path.name not in MAY_SEND:
            others += [
                f"{path.name}:{node.lineno}"
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SENDS
            ]
    assert others == []


async def test_an_edit_is_not_heard_whatever_it_makes_of_a_message(server: FakeDiscord, bot: Bot) -> None:
    """Neither before nor after the answer, nor when the message is gone."""
    message_id = await server.say("hello", direct=True)
    heard = await bot.next()
    edited = {
        "id": message_id,
        "channel_id": heard.address.chat_id,
        "content": "/reset all confirm",
        "edited_timestamp": "2026-01-01T00:00:00+00:00",
        "author": {"id": heard.sender.user_id, "username": "ana", "discriminator": "0", "avatar": None},
    }
    await server.dispatch("MESSAGE_UPDATE", edited)
    await server.delete(message_id)
    await server.dispatch("MESSAGE_UPDATE", edited)
    await server.say("next", direct=True)
    assert (await bot.next()).text == "next"
    assert bot.ignored == []


async def test_a_forwarded_message_is_its_forwarders_and_brings_no_command(server: FakeDiscord, bot: Bot) -> None:
    """The words that are forwarded lie in a snapshot, not in the message."""
    await server.say("hello", direct=True)
    heard = await bot.next()
    nothing: dict[str, list[object]] = {name: [] for name in ("mentions", "mention_roles", "attachments", "embeds")}
    said_before = {"type": 0, "timestamp": heard.sent_at.isoformat(), "edited_timestamp": None, **nothing}
    forwarded = {
        **said_before,
        "id": str(int(heard.message_id) + 1),
        "channel_id": heard.address.chat_id,
        "author": {"id": heard.sender.user_id, "username": "ana", "discriminator": "0", "avatar": None},
        "content": "",
        "message_reference": {"type": 1, "message_id": "5", "channel_id": "6"},
        "message_snapshots": [{"message": {**said_before, "content": "/reset all confirm", "flags": 0}}],
        "tts": False,
        "mention_everyone": False,
        "pinned": False,
        "flags": 1 << 14,
    }
    await server.dispatch("MESSAGE_CREATE", forwarded)
    passed_on = await bot.next()
    assert (passed_on.kind, passed_on.text, passed_on.sender.user_id) == (
        MessageKind.UNSUPPORTED,
        "",
        heard.sender.user_id,
    )


@pytest.mark.parametrize("kind", ["bot", "webhook"])
async def test_a_program_is_not_heard_even_in_private_or_with_a_command(
    server: FakeDiscord, bot: Bot, kind: str
) -> None:
    where: dict[str, object] = {kind: True, "person": "robot"}
    await server.say("/reset all confirm", **where)  # type: ignore[arg-type]
    await server.say("hello", direct=True, **where)  # type: ignore[arg-type]
    await server.say("for you")
    assert (await bot.next()).text == "for you"


def test_what_could_steer_a_terminal_is_not_sent() -> None:
    """Escapes of ANSI and OSC, the bell, NUL; lines and tabs stay."""
    assert render("a\x1b[31m\x07b\x00\x9b1m\tc\nd") == (Part("a[31mb1m\tc\nd"),)
    assert fit("\x1b]8;;http://evil\x07x") == "]8;;http://evilx"
