"""Work beside other work: what becomes of failures that nobody foresaw, and who goes by the rule for them."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from botbridge.tasks import AGAIN_S, beside, kept_going

PACKAGE = Path(__file__).parents[1] / "botbridge"

MINDED_OTHERWISE = {
    "inference/client.py: self._supervisor.run": "whatever happens in a round is logged, and the next one begins",
    "platforms/discord/connection.py: self._reception.run": "whatever happens with an arrival is logged",
    "conversation/live.py: self._harmless": "an answer's own, and gone with it; what fails is logged",
}


class Work:
    """Fails in some unforeseen way so many times; then it goes on until it is let."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.goes_on = asyncio.Event()
        self.may_end = asyncio.Event()

    async def run(self) -> None:
        if self.failures:
            self.failures -= 1
            raise LookupError("a bug")
        self.goes_on.set()
        await self.may_end.wait()


async def test_what_fails_unforeseen_is_logged_and_begun_again_after_a_pause() -> None:
    pauses_s: list[float] = []

    async def pause(seconds: float) -> None:
        pauses_s.append(seconds)

    work = Work(failures=2)
    work.may_end.set()
    with capture_logs() as logs:
        await kept_going(work.run, "digging", pause=pause)
    assert [(line["work"], line["log_level"], line["exc_info"]) for line in logs] == [("digging", "error", True)] * 2
    assert pauses_s == [AGAIN_S] * 2


async def test_it_ends_with_the_block_beside_which_it_goes_on() -> None:
    work = Work(failures=0)
    async with beside(work.run, "digging"):
        await work.goes_on.wait()
        assert "digging" in {task.get_name() for task in asyncio.all_tasks()}
    assert "digging" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_block_that_fails_is_heard_of() -> None:
    with pytest.raises(ZeroDivisionError):
        async with beside(Work(failures=1).run, "digging"):
            raise ZeroDivisionError


def test_whatever_goes_on_and_on_goes_by_the_rule_or_minds_its_failures_itself() -> None:
    """Otherwise it ends at a failure that nobody foresaw, and nobody hears of that."""
    sources = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    endless = {function.name for tree in sources.values() for function in ast.walk(tree) if is_endless(function)}
    assert {"keep_making", "keep_tidy", "_leave_zombies", "run"} <= endless
    begun = {
        f"{path}: {ast.unparse(work.func)}"
        for path, tree in sources.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(("create_task", "ensure_future", ".begin"))
        for work in call.args[:1]
        if isinstance(work, ast.Call) and ast.unparse(work.func).rpartition(".")[2] in {*endless, "_harmless"}
    }
    assert begun - {f"{path}: kept_going" for path in sources} == set(MINDED_OTHERWISE)


def is_endless(node: ast.AST) -> bool:
    """Whether something is a function that goes round and round until it is cancelled."""
    return isinstance(node, ast.AsyncFunctionDef) and any(
        isinstance(part, ast.While) and ast.unparse(part.test) == "True" for part in ast.walk(node)
    )
