"""The window: typed on a keyboard that the test holds, shown on a terminal that the test reads."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console
from rich.text import Text

from botbridge.errors import ControlError
from botbridge.platforms.terminal.chat import LocalChat, final_reply, is_leaving
from botbridge.platforms.terminal.screen import Screen, Tail, converse_by_line
from botbridge.platforms.terminal.window import Shown
from tests.platforms.terminal.conftest import ANN, Desktop

CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"


class Stdout(io.StringIO):
    """A stdout that tells when a text stands on it."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal
        self._written = asyncio.Condition()

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        asyncio.get_running_loop().create_task(self._tell())
        return super().write(text)

    async def until(self, text: str) -> None:
        async with asyncio.timeout(10), self._written:
            await self._written.wait_for(lambda: text in self.getvalue())

    async def _tell(self) -> None:
        async with self._written:
            self._written.notify_all()


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keyboard:
        yield keyboard


@pytest.fixture
async def stdout() -> Stdout:
    return Stdout(is_terminal=False)


def screen(desktop: Desktop, keyboard: PipeInput, stdout: io.StringIO) -> Screen:
    return Screen(LocalChat(desktop.terminal, ANN), keyboard=keyboard, prompt=DummyOutput(), answers=stdout)


@pytest.mark.parametrize("goodbye", [CTRL_D, f"exit{ENTER}", f" QUIT {ENTER}"])
async def test_what_is_typed_is_answered_on_stdout_alone_until_the_person_leaves(
    desktop: Desktop, keyboard: PipeInput, stdout: Stdout, goodbye: str
) -> None:
    await desktop.start()
    keyboard.send_text(f"hello{ENTER}{ENTER}again{ENTER}{goodbye}")
    await asyncio.wait_for(screen(desktop, keyboard, stdout).converse(), timeout=10)
    assert stdout.getvalue() == "echo: hello\necho: again\n"


async def test_ctrl_c_stops_the_answer_and_the_talk_goes_on(
    desktop: Desktop, keyboard: PipeInput, stdout: Stdout
) -> None:
    await desktop.start()
    desktop.generator.enqueue(["A very long", " story"])
    desktop.generator.hold()
    talk = asyncio.create_task(screen(desktop, keyboard, stdout).converse())
    keyboard.send_text(f"a story{ENTER}")
    await asyncio.wait_for(desktop.generator.asked.wait(), timeout=10)
    keyboard.send_text(CTRL_C)
    await stdout.until("Stopped.")
    desktop.generator.release()
    keyboard.send_text(f"hello{ENTER}{CTRL_D}")
    await asyncio.wait_for(talk, timeout=10)
    assert desktop.generator.cancelled[0].turns[-1].text == "a story"
    assert stdout.getvalue().endswith("echo: hello\n")


async def test_ctrl_c_at_the_prompt_clears_the_line_and_leaves_nobody(
    desktop: Desktop, keyboard: PipeInput, stdout: Stdout, capsys: pytest.CaptureFixture[str]
) -> None:
    await desktop.start()
    talk = asyncio.create_task(screen(desktop, keyboard, stdout).converse())
    keyboard.send_text(f"not this{CTRL_C}")
    keyboard.send_text(f"but this{ENTER}{CTRL_D}")
    await asyncio.wait_for(talk, timeout=10)
    assert stdout.getvalue() == "echo: but this\n"
    assert "Ctrl-D" in capsys.readouterr().err


async def test_a_late_reply_is_shown_at_the_prompt(desktop: Desktop, keyboard: PipeInput, stdout: Stdout) -> None:
    await desktop.start()
    desktop.generator.hold()
    replies = desktop.terminal.ask(ANN, "before")
    await anext(replies)
    await replies.aclose()
    desktop.generator.release()
    talk = asyncio.create_task(screen(desktop, keyboard, stdout).converse())
    await stdout.until("echo: before\n")
    keyboard.send_text(CTRL_D)
    await asyncio.wait_for(talk, timeout=10)


async def test_words_are_drawn_while_they_come_and_the_answer_as_markdown_at_the_end(
    desktop: Desktop, keyboard: PipeInput
) -> None:
    stdout = Stdout(is_terminal=True)
    await desktop.start()
    desktop.generator.enqueue(["The **first** words", " and the rest."])
    desktop.generator.hold()
    talk = asyncio.create_task(screen(desktop, keyboard, stdout).converse())
    keyboard.send_text(f"hello{ENTER}")
    await stdout.until(" words")
    assert "rest" not in stdout.getvalue()
    desktop.generator.release()
    await stdout.until("and the rest.")
    keyboard.send_text(CTRL_D)
    await asyncio.wait_for(talk, timeout=10)
    assert "**" not in stdout.getvalue()


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("/help", "/whoami – your id and your rights here"),
        ("/whoami", "You may reset your own conversation."),
        ("/help", "/adapter – the model's adapter in this conversation, for operators"),
    ],
)
async def test_our_own_lines_stay_lines(desktop: Desktop, keyboard: PipeInput, question: str, line: str) -> None:
    """A single line break is none in Markdown."""
    stdout = Stdout(is_terminal=True)
    await desktop.start()
    keyboard.send_text(f"{question}{ENTER}{CTRL_D}")
    await asyncio.wait_for(screen(desktop, keyboard, stdout).converse(), timeout=10)
    assert line in [shown.strip() for shown in stdout.getvalue().splitlines()]


async def test_a_models_line_break_is_what_markdown_says_after_again(desktop: Desktop, keyboard: PipeInput) -> None:
    """The command stands for a question."""
    stdout = Stdout(is_terminal=True)
    await desktop.start()
    desktop.generator.enqueue(["It holds\nthe names."], ["It still holds\nthe names."])
    await desktop.ask("/etc/passwd holds what?")
    keyboard.send_text(f"/again{ENTER}{CTRL_D}")
    await asyncio.wait_for(screen(desktop, keyboard, stdout).converse(), timeout=10)
    assert "It still holds the names." in stdout.getvalue()


async def test_a_models_line_break_is_what_markdown_says(desktop: Desktop, keyboard: PipeInput) -> None:
    """Also where the question only looks like a command."""
    stdout = Stdout(is_terminal=True)
    await desktop.start()
    desktop.generator.enqueue(["It holds\nthe names."])
    keyboard.send_text(f"/etc/passwd holds what?{ENTER}{CTRL_D}")
    await asyncio.wait_for(screen(desktop, keyboard, stdout).converse(), timeout=10)
    assert "It holds the names." in stdout.getvalue()


async def test_an_address_of_a_model_is_no_link_and_its_escapes_do_nothing(
    desktop: Desktop, keyboard: PipeInput
) -> None:
    """E10: neither OSC 8, which hides where a link goes, nor any sequence of the model's own."""
    stdout = Stdout(is_terminal=True)
    await desktop.start()
    desktop.generator.enqueue(["[bank](http://evil.example/?q=1) \x1b]0;owned\x07\x1b[2J end."])
    keyboard.send_text(f"hello{ENTER}{CTRL_D}")
    await asyncio.wait_for(screen(desktop, keyboard, stdout).converse(), timeout=10)
    shown = stdout.getvalue()
    assert "evil.example" in shown
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown


@dataclass
class Broken:
    """A chat whose service has gone."""

    asked: list[str] = field(default_factory=list)

    async def ask(self, text: str) -> AsyncGenerator[Shown, None]:
        self.asked.append(text)
        raise ControlError("no service answers")
        yield Shown("")

    async def late_replies(self) -> AsyncGenerator[str, None]:
        await asyncio.Event().wait()
        yield ""


async def test_a_service_that_is_gone_is_one_sentence_and_the_window_stays(
    keyboard: PipeInput, stdout: Stdout, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = Broken()
    keyboard.send_text(f"one{ENTER}two{ENTER}{CTRL_D}")
    window = Screen(chat, keyboard=keyboard, prompt=DummyOutput(), answers=stdout)
    await asyncio.wait_for(window.converse(), timeout=10)
    assert chat.asked == ["one", "two"]
    assert "no service answers" in capsys.readouterr().err
    assert stdout.getvalue() == ""


async def test_lines_of_a_pipe_are_answered_one_after_the_other(desktop: Desktop) -> None:
    await desktop.start()
    answers = io.StringIO()
    questions = io.StringIO("hello\n\nhow are you?\nQUIT\nnot any more\n")
    await converse_by_line(LocalChat(desktop.terminal, ANN), questions, answers)
    assert answers.getvalue() == "echo: hello\necho: how are you?\n"


async def test_the_status_is_told_once_and_is_no_part_of_the_final_text(desktop: Desktop) -> None:
    desktop.generator.become("starting")
    await desktop.start()
    told: list[str] = []

    def status(text: str) -> None:
        told.append(text)
        desktop.generator.become("ready")

    shown = await asyncio.wait_for(final_reply(LocalChat(desktop.terminal, ANN).ask("hello"), status), timeout=10)
    assert shown.text == "echo: hello"
    assert any("starting" in text for text in told)
    assert len(told) == len(set(told))


def test_what_is_higher_than_the_terminal_shows_its_end() -> None:
    console = Console(file=io.StringIO(), width=20, height=6, force_terminal=True)
    console.print(Tail(Text("\n".join(f"line {number}" for number in range(10)))))
    assert console.file.getvalue().split("\n")[:-1] == ["line 6", "line 7", "line 8", "line 9"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["exit", "Exit", "QUIT", " quit\n"])
def test_exit_and_quit_leave_in_any_case(text: str) -> None:
    assert is_leaving(text)


@pytest.mark.parametrize("text", ["", "exit now", "quiet", "how do I quit?"])
def test_other_texts_do_not_leave(text: str) -> None:
    assert not is_leaving(text)
