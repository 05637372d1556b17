"""`botbridge run` over a server elsewhere, from outside: no worker, no model's files, the key nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.openai_server import MODEL, OpenAIServer
from tests.journey.bridge import Bridge
from tests.journey.hunting import leaks

KEY = "sk-canary-7f3a"


@pytest.mark.slow
async def test_a_service_over_a_remote_server_has_one_process_and_remembers_its_conversations(tmp_path: Path) -> None:
    with OpenAIServer(key=KEY) as server:
        settings = {
            "INFERENCE__ENGINE": "remote",
            "INFERENCE__REMOTE_URL": server.url,
            "INFERENCE__REMOTE_KEY": KEY,
            "LOG__LEVEL": "DEBUG",
        }
        async with Bridge(tmp_path / "home", settings) as bridge:
            await bridge.logged(f"is ready with the model {MODEL}")
            assert (await bridge.command("chat", "--once", "hello there"))[:2] == (0, "hello there\n")
            assert (await bridge.ask("health"))["engine"] == "remote"
            assert len(bridge.processes()) == 1
            assert await bridge.terminate() == 0
            await bridge.start()
            await bridge.logged(f"is ready with the model {MODEL}")
            assert (await bridge.command("chat", "--once", "and again"))[:2] == (0, "and again\n")
            answers = bridge.rows(
                "SELECT engine, engine_version, model, prompt_tokens, cached_tokens, completion_tokens, completion_ids "
                "FROM turn WHERE role = 'assistant' ORDER BY id"
            )
    assert leaks(bridge) == []
    first, second = server.questions
    assert first.headers["x-session-id"] == second.headers["x-session-id"]
    assert second.texts[1:] == ["hello there", "hello there", "and again"]
    assert [row.pop("completion_tokens") for row in answers] == [2, 2]
    assert answers[0] == {
        "engine": "remote",
        "engine_version": "fp_1",
        "model": MODEL,
        "prompt_tokens": sum(len(text.split()) for text in first.texts),
        "cached_tokens": 0,
        "completion_ids": "[]",
    }
    assert not (tmp_path / "home" / "models").exists()
