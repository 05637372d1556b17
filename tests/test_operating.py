"""What the operator has done by a command, by the running service and without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from botbridge.app import build
from botbridge.control_verbs import Verb
from botbridge.operating import carry_out
from botbridge.settings import load_settings

RESETS = ({"person": "telegram:42"}, {"chat": "telegram:-100"}, {"everybody": True})


async def test_a_reset_is_recorded_in_the_same_words_whether_a_service_runs_or_not(tmp_path: Path) -> None:
    """Who reads the audit finds all of them at one search."""
    settings = load_settings({"HOME": str(tmp_path), "INFERENCE__ENGINE": "echo"})
    async with build(settings, platforms=["terminal"]):
        for target in RESETS:
            await carry_out(settings, Verb.RESET, **target)
    for target in RESETS:
        await carry_out(settings, Verb.RESET, **target)
    with closing(sqlite3.connect(tmp_path / "botbridge.db")) as database:
        recorded = database.execute("SELECT actor, action, subject FROM audit ORDER BY id").fetchall()
    subjects = ("person telegram:42", "chat telegram:-100", "all")
    assert recorded == [
        (actor, "reset", subject) for actor in ("operator:control", "operator:command") for subject in subjects
    ]
