"""One terminal window: reads what is typed, shows replies as they are written.

Covered: answers go to stdout, all else (the prompt, places in the line, hints)
to stderr; Ctrl-C stops the answer, a second one stops waiting for it; Ctrl-D,
`exit` and `quit` leave; what is typed during an answer is kept for the next
prompt; without a keyboard each line of stdin is a question.

What others write to `sys.stderr` meanwhile, log lines say, appears above the prompt.

Not covered: a line that is logged while words are being drawn may stand between them.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session, run_in_terminal
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from botbridge.conversation.commands import parse
from botbridge.errors import BotBridgeError
from botbridge.platforms.terminal.chat import Chat, final_reply, is_leaving
from botbridge.platforms.terminal.window import Shown

PROMPT = "You: "
HINT = "Ctrl-D, exit or quit leaves; Ctrl-C during an answer stops it."


@dataclass(frozen=True, slots=True)
class Tail:
    """The last lines of something that may be higher than the terminal, so that it can be drawn over."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield as many lines as the terminal can show and take back."""
        lines = console.render_lines(self.content, options, pad=False)
        for line in lines[-max(1, options.size.height - 2) :]:
            yield from line
            yield Segment.line()


class Screen:
    """A window on the terminal of this process."""

    def __init__(
        self, chat: Chat, *, keyboard: Input | None = None, prompt: Output | None = None, answers: TextIO | None = None
    ) -> None:
        """Note where to read and write.

        Args:
            keyboard: None for stdin.
            prompt: Where the prompt is drawn; None for stderr.
            answers: None for stdout.
        """
        self._chat = chat
        self._keyboard = keyboard or create_input()
        self._prompt = prompt or create_output(stdout=sys.stderr)
        self._answers = Console(file=answers or sys.stdout, highlight=False, emoji=False)
        self._notes = Console(file=sys.stderr, highlight=False, emoji=False, stderr=True)
        self._drawing = asyncio.Lock()

    async def converse(self) -> None:
        """Talk until the person leaves."""
        with create_app_session(input=self._keyboard, output=self._prompt), patch_stdout(raw=True):
            session: PromptSession[str] = PromptSession()
            late = asyncio.create_task(self._show_late_replies(), name="late replies")
            try:
                while (text := await self._read(session)) is not None:
                    if text:
                        await self._talk(text)
            finally:
                late.cancel()
                await asyncio.gather(late, return_exceptions=True)

    async def _read(self, session: PromptSession[str]) -> str | None:
        """What the person types next, None when they leave."""
        try:
            text = (await session.prompt_async(PROMPT, handle_sigint=False)).strip()
        except EOFError:
            return None
        except KeyboardInterrupt:
            self._note(HINT)
            return ""
        return None if is_leaving(text) else text

    async def _talk(self, text: str) -> None:
        """Ask and show the reply; Ctrl-C asks the service to stop it, the second one goes back to the prompt."""
        showing = asyncio.create_task(self._show(text), name="reply")
        cancelling: set[asyncio.Task[None]] = set()

        def interrupted() -> None:
            if cancelling:
                showing.cancel()
            else:
                cancelling.add(asyncio.create_task(self._cancel(), name="cancel"))

        async with self._drawing:
            with self._watched(interrupted):
                try:
                    await asyncio.wait({showing})
                finally:
                    for task in (showing, *cancelling):
                        task.cancel()
                    await asyncio.gather(showing, *cancelling, return_exceptions=True)
        if showing.cancelled():
            self._note("The answer will be shown when it is there.")
        elif isinstance(error := showing.exception(), BotBridgeError):
            self._note(str(error))
        elif error is not None:
            raise error

    async def _show(self, text: str) -> None:
        final: Shown | None = None
        command = parse(text)
        is_ours = command is not None and command.name != "again"  # commands are answered by us, all else by the model
        async with aclosing(self._chat.ask(text)) as replies:
            with Live(
                console=self._answers,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="visible",
            ) as live:
                async for shown in replies:
                    final = shown
                    if self._answers.is_terminal and not shown.is_final:
                        live.update(Tail(_drawn(shown)), refresh=True)
        if final is not None:
            self._print(final.text, is_ours=is_ours)

    async def _cancel(self) -> None:
        async with aclosing(self._chat.ask("/cancel")) as replies:
            async for _ in replies:
                pass

    async def _show_late_replies(self) -> None:
        try:
            async with aclosing(self._chat.late_replies()) as replies:
                async for text in replies:
                    async with self._drawing:
                        await run_in_terminal(lambda text=text: self._print(text))  # type: ignore[misc]
        except BotBridgeError as error:
            self._note(str(error))

    def _print(self, text: str, *, is_ours: bool = False) -> None:
        if self._answers.is_terminal:
            self._answers.print(_markdown(_with_hard_breaks(text) if is_ours else text))
        else:
            self._answers.file.write(f"{text}\n")
            self._answers.file.flush()

    def _note(self, text: str) -> None:
        self._notes.print(Text(text, style="dim"), soft_wrap=True)

    @contextmanager
    def _watched(self, interrupted: Callable[[], None]) -> Iterator[None]:
        """Read the keyboard during an answer: without its echo, and so that Ctrl-C is a key and no signal."""

        def pressed() -> None:
            keys = self._keyboard.read_keys()
            store_typeahead(self._keyboard, [key for key in keys if key.key is not Keys.ControlC])
            for key in keys:
                if key.key is Keys.ControlC:
                    interrupted()

        with self._keyboard.raw_mode(), self._keyboard.attach(pressed):
            yield


async def converse_by_line(chat: Chat, questions: TextIO, answers: TextIO) -> None:
    """Answer each line of a stream that is no keyboard; the answers alone are written, one after the other.

    Raises:
        BotBridgeError: a question got no reply.
    """
    async for line in _lines(questions):
        if is_leaving(line):
            return
        if text := line.strip():
            answers.write(f"{(await final_reply(chat.ask(text))).text}\n")
            answers.flush()


def _drawn(shown: Shown) -> RenderableType:
    return Text(shown.text, style="dim") if shown.is_status else _markdown(shown.text)


def _markdown(text: str) -> Markdown:
    # An address is shown, not hidden behind its title: models make them up.
    return Markdown(text, hyperlinks=False)


def _with_hard_breaks(text: str) -> str:
    """Two spaces keep a line break of Markdown, which else makes one paragraph of all lines."""
    return text.replace("\n", "  \n")


async def _lines(stream: TextIO) -> AsyncIterator[str]:
    """The lines of a blocking stream; its thread holds nobody up who wants to leave."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in stream:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
