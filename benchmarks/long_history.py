"""P6: what a turn costs after a million turns, against what it costs after a thousand.

python -m benchmarks.long_history [--turns N] [--rounds N]

The whole bridge with an echo for a model, twice: one person's conversation is
filled up, with all the rows that its messages and replies would have left, then
goes on. Both are longer than the context, so both prompts hold as much.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path

from benchmarks.comparing import Goal, conclude, ratio, say
from botbridge.app import build
from botbridge.logs import configure
from botbridge.messages import Person, UserId
from botbridge.platforms.terminal.chat import LocalChat, final_reply
from botbridge.running import App
from botbridge.setting_groups import AdminSettings, InferenceSettings, LimitSettings
from botbridge.settings import Settings

SHORT_TURNS = 1000
CONTEXT_TOKENS = 256
ASKED = 20
SARA = Person(UserId("sara"), "Sara")
TEXT = "And then, what did the boats bring in from the sea?"

COPIED = {
    "inbox": {"message_id": "message_id || '-' || number"},
    "turn": {
        "inbox_id": "inbox_id + number",
        "parent_id": "CASE role WHEN 'assistant' THEN parent_id + 2 * number ELSE 2 * number END",
    },
    "outbox": {"inbox_id": "inbox_id + number"},
}
"""What is another value, beside the id, in the copy with a number; the first message's own rows are copied."""


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_history")
    parser.add_argument("--turns", type=int, default=1_000_000, help="of the long history, questions and answers")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    configure("ERROR")
    lengths = {"long": options.turns, "short": SHORT_TURNS}
    directory = Path(tempfile.mkdtemp(prefix="botbridge-bench-"))
    costs_ms: dict[str, list[float]] = {name: [] for name in lengths}
    try:
        async with AsyncExitStack() as stack:
            chats: dict[str, LocalChat] = {}
            for name, turns in lengths.items():
                say(f"P6: a conversation of {turns:,} turns is made")
                await prepare(directory / name, turns)
                app = await stack.enter_async_context(_app(directory / name))
                await app.wait_ready()
                chats[name] = LocalChat(app.terminal, SARA)
            for number in range(options.rounds + 1):
                for name, cost_ms in (await turns_ms(chats)).items():
                    say(f"  round {number}: {name} {cost_ms:.1f} ms a turn")
                    if number:
                        costs_ms[name].append(cost_ms)
    finally:
        shutil.rmtree(directory)
    median, pairs = ratio(costs_ms, "long", "short")
    what = f"a turn's cost after {options.turns:,} turns, against {SHORT_TURNS:,}"
    conclude("p6", [Goal("P6", what, median, at_most=1.2, samples=pairs)], {"ms a turn": costs_ms})


async def prepare(home: Path, turns: int) -> None:
    """Leave a database with one conversation of so many turns, an even number."""
    async with _app(home) as app:
        await app.wait_ready()
        await final_reply(LocalChat(app.terminal, SARA).ask(TEXT))
    with closing(sqlite3.connect(home / "botbridge.db")) as database, database:
        for table, changes in COPIED.items():
            _copy_rows(database, table, changes, turns // 2 - 1)


def _copy_rows(database: sqlite3.Connection, table: str, changes: Mapping[str, str], times: int) -> None:
    ((rows,),) = database.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of our own
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    values = [{"id": f"id + {rows} * number", **changes}.get(column, column) for column in columns]
    database.execute(
        "WITH RECURSIVE copies(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copies LIMIT ?) "  # noqa: S608
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
        f"FROM copies, {table} ORDER BY number, id",
        (times,),
    )


def _app(home: Path) -> App:
    settings = Settings(
        home=home,
        admins=AdminSettings(),
        limits=LimitSettings(messages_per_minute=10_000, tokens_per_minute=10**9),
        inference=InferenceSettings(engine="echo", context_tokens=CONTEXT_TOKENS),
    )
    return build(settings, platforms={"terminal"})


async def turns_ms(chats: Mapping[str, LocalChat]) -> dict[str, float]:
    """Return how long a question waits for its whole answer in each chat, in milliseconds.

    Medians of several; the chats take turns question by question, so that
    whatever else the machine does meets both alike.
    """
    waits_ms: dict[str, list[float]] = {name: [] for name in chats}
    for _ in range(ASKED):
        for name, chat in chats.items():
            begun_s = time.perf_counter()
            await final_reply(chat.ask(TEXT))
            waits_ms[name].append(1000 * (time.perf_counter() - begun_s))
    return {name: statistics.median(waits) for name, waits in waits_ms.items()}


if __name__ == "__main__":
    asyncio.run(main())
