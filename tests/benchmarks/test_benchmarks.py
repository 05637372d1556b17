"""What the benchmarks share, and how each is called. Nothing is timed here."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sqlite3
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.comparing import Goal, by_turns, conclude, quantile, ratio
from benchmarks.conversations import LONG, SHORT, Load, play
from benchmarks.hot_path import latencies_s
from benchmarks.long_history import prepare
from benchmarks.plan_check import Seen, seen
from benchmarks.shapes import VOCABULARY, _tokenizer
from benchmarks.start import torch_files
from tests.fakes.telegram.client import Record

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if "ArgumentParser(" in path.read_text())


class Listener:
    """Answers everybody at once, and remembers who said what and how many talked at one time."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []
        self.most_at_once = 0
        self._talking = 0

    async def ask(self, person: int, text: str, tokens: int) -> int:
        self.said.append((person, text))
        self._talking += 1
        self.most_at_once = max(self.most_at_once, self._talking)
        await asyncio.sleep(0)
        self._talking -= 1
        return tokens


@pytest.mark.parametrize("load", [SHORT, LONG, Load(people=5, turns=2, at_once=2, opening_words=3, tokens=7)])
async def test_everybody_has_all_turns_in_order_and_no_more_talk_at_once_than_may(load: Load) -> None:
    listener = Listener()
    whole, later = await play(load, listener.ask)
    for person in range(load.people):
        texts = [text for speaker, text in listener.said if speaker == person]
        assert texts == [load.says(person, turn) for turn in range(load.turns)]
    assert listener.most_at_once == min(load.people, load.at_once)
    assert whole > 0
    assert later > 0


def test_openings_are_as_long_as_wanted_and_each_persons_own() -> None:
    openings = [LONG.says(person, 0) for person in range(LONG.people)]
    assert len(set(openings)) == LONG.people
    assert all(len(opening.split()) > LONG.opening_words for opening in openings)


def test_contenders_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def contender(name: str, score: float) -> float:
        turns.append(name)
        return score

    scores = by_turns({"ours": lambda: contender("ours", 3.0), "theirs": lambda: contender("theirs", 2.0)}, rounds=2)
    assert turns == ["ours", "theirs"] * 3
    assert scores == {"ours": [3.0, 3.0], "theirs": [2.0, 2.0]}


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    assert ratio({"a": [1.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}, "a", "b") == (2.0, (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("P1", "more is better", 4.0, at_least=4.0), "met"),
        (Goal("P1", "more is better", 3.9, at_least=4.0), "MISSED"),
        (Goal("P6", "less is better", 1.2, at_most=1.2), "met"),
        (Goal("P6", "less is better", 1.3, at_most=1.2), "MISSED"),
        (Goal("P7", "none at all", 0.0, at_most=0.0), "met"),
    ],
)
def test_a_goal_says_whether_it_is_met_on_paper_and_in_the_report(
    goal: Goal, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conclude("p0", [goal], {"samples": [1, 2]}, tmp_path)
    assert verdict in capsys.readouterr().out.split()
    report = json.loads((tmp_path / "p0.json").read_text())
    assert report["details"] == {"samples": [1, 2]}
    assert report["machine"]["cores"] > 0
    (written,) = report["goals"]
    assert written.pop("met") is (verdict == "met")
    assert Goal(**written | {"samples": ()}) == goal


def test_the_list_of_benchmarks_names_every_goal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = sorted((goal for each in BENCHMARKS for goal in each.goals), key=lambda goal: int(goal[1:]))
    assert listed == [f"P{number}" for number in range(1, 11)]
    told = help_of("__main__", monkeypatch, capsys)
    assert all(goal in told and f"benchmarks.{each.module}" in told for each in BENCHMARKS for goal in each.goals)
    described = (ROOT / "docs" / "performance.md").read_text()
    for each in BENCHMARKS:
        for goal in each.goals:
            assert any(line.startswith(f"| {goal} | `benchmarks.{each.module}`") for line in described.splitlines())


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_how_it_is_called(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "llamacpp_loading" in (ROOT / "benchmarks" / f"{module}.py").read_text() and find_spec("llama_cpp") is None:
        pytest.skip("the engine llamacpp is not installed; `make native` adds it")
    assert f"python -m benchmarks{'' if module == '__main__' else '.' + module} " in help_of(
        module, monkeypatch, capsys
    )


def help_of(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a module prints when it is asked for help."""
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    main = importlib.import_module(f"benchmarks.{module}").main
    with pytest.raises(SystemExit) as ended:
        asyncio.run(main()) if asyncio.iscoroutinefunction(main) else main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_token_of_the_larger_shape_is_read_again_as_it_was_written() -> None:
    """Else an answer in the history would be longer than it was when it was computed."""
    tokenizer = _tokenizer()
    assert len(tokenizer) == VOCABULARY
    special = {*tokenizer.all_special_ids, *tokenizer.convert_tokens_to_ids(["<|turn|>", "<|end|>"])}
    plain = [place for place in range(VOCABULARY) if place not in special]
    assert len(plain) == VOCABULARY - 2
    assert tokenizer.encode(tokenizer.decode(plain), add_special_tokens=False) == plain


def test_a_message_waits_until_the_last_edit_that_it_caused() -> None:
    """Two people; the first message does not count, the third is answered by a status that becomes the answer."""
    written = {1: 7, 2: 8, 3: 7}
    updates = tuple(
        {"update_id": number, "content": json.dumps({"message": {"chat": {"id": chat}}})}
        for number, chat in written.items()
    )
    course = (
        ("update", 1, 0.0), ("message", 7, 0.5), ("update", 2, 1.0), ("update", 3, 1.5), ("message", 7, 1.75),
        ("message", 8, 3.0), ("edit", 7, 3.5),
    )  # fmt: skip
    events = tuple(
        {"kind": kind, "at_s": at_s, ("update_id" if kind == "update" else "chat_id"): number}
        for kind, number, at_s in course
    )
    record = Record(sent=(), updates=updates, events=events, early_calls=0, menus={}, webhook_url="", webhook_secret="")
    assert latencies_s(record, 1) == [2.0, 2.0]


def test_a_person_waits_in_line_until_the_bot_types_and_for_the_last_edit() -> None:
    """One sees their place meanwhile; the other's answer was there before anything had to be shown."""
    updates = tuple(
        {"update_id": number, "content": json.dumps({"message": {"chat": {"id": chat}}})}
        for number, chat in ((1, 7), (2, 8))
    )
    course = (
        ("update", 1, 0.0), ("message", 7, 0.5), ("update", 2, 1.0), ("action", 7, 2.25), ("edit", 7, 3.0),
        ("message", 8, 4.0), ("edit", 7, 5.0), ("action", 7, 6.75),
    )  # fmt: skip
    events = tuple(
        {"kind": kind, "at_s": at_s, ("update_id" if kind == "update" else "chat_id"): number}
        for kind, number, at_s in course
    )
    record = Record(sent=(), updates=updates, events=events, early_calls=0, menus={}, webhook_url="", webhook_secret="")
    assert seen(record) == {7: Seen(2.0, 5.0), 8: Seen(0.0, 3.0)}


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


def test_a_process_that_imported_torch_is_known_by_its_memory() -> None:
    """This one has, by the benchmarks of engines; one that has not is a fresh Python."""
    importlib.import_module("torch")
    assert torch_files(os.getpid()) > 0


async def test_a_long_history_is_one_conversation_whose_turns_follow_each_other(tmp_path: Path) -> None:
    await prepare(tmp_path, 100)
    with closing(sqlite3.connect(tmp_path / "botbridge.db")) as database:
        turns = database.execute("SELECT id, parent_id, inbox_id, role FROM turn ORDER BY id").fetchall()
        (counts,) = database.execute(
            "SELECT (SELECT count(*) FROM inbox), (SELECT count(DISTINCT inbox_id) FROM outbox), "
            "(SELECT count(*) FROM outbox WHERE settled_at IS NULL), (SELECT count(DISTINCT conversation_id) FROM turn)"
        )
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert turns == [
        (place, place - 1 or None, (place + 1) // 2, "user" if place % 2 else "assistant") for place in range(1, 101)
    ]
    assert counts == (50, 50, 0, 1)
