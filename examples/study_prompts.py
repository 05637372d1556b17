"""The 19 prompts of the study that botbridge descends from, put to the model on this machine.

`python examples/study_prompts.py` prints a table; each prompt begins a
conversation of its own. What can be said of an answer without knowing what it
is about is checked: it is there, it does not repeat the question, it ends at a
sentence or says that it was cut, and it does not go round in circles.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from botbridge import Bot

PROMPTS = (
    "hello",
    "i love you",
    "hi",
    "what is your favourite color",
    "how are you?",
    "tell me a joke",
    "who are you?",
    "what's the weather like today?",
    "can you help me with a math problem?",
    "tell me a fun fact",
    "what is AI?",
    "what's the meaning of life?",
    "do you like music?",
    "how do you feel?",
    "what is the capital of France?",
    "can you write a poem?",
    "what's your favorite movie?",
    "how do I get to the nearest store?",
    "what is your name?",
)

CUT_MARK = "[…]"
LOOP_WORDS = 4
LOOP_TIMES = 3

# The end of a sentence, perhaps inside quotation marks or brackets, or the end
# of a code block; a list may end without a full stop, a poem with anything.
_END = re.compile(r"""([.!?…؟]["'”’)\]*_`]*|```|[\U0001F300-\U0001FAFF])$""")


@dataclass(frozen=True)
class Asked:
    """A prompt, its answer, and how long it took in seconds."""

    prompt: str
    answer: str
    seconds: float

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the answer, whatever it says."""
        return faults(self.prompt, self.answer)


def ask(bot: Bot, prompt: str) -> Asked:
    """Put one prompt to the model, in a conversation that begins with it."""
    bot.start_chat("/reset")
    begun = time.perf_counter()
    answer = bot.start_chat(prompt)
    return Asked(prompt, answer, time.perf_counter() - begun)


def faults(prompt: str, answer: str) -> tuple[str, ...]:
    """What is wrong with an answer, whatever it says; empty when nothing is.

    >>> faults("hi", "hi! one two three four one two three four one two three four")
    ('stops in mid-sentence', 'goes round in circles')
    """
    found = {
        "is empty": not answer.strip(),
        "repeats the question": repeats(prompt, answer),
        "stops in mid-sentence": not ends(answer),
        "goes round in circles": loops(answer),
    }
    return tuple(name for name, is_so in found.items() if is_so)


def repeats(prompt: str, answer: str) -> bool:
    """Whether an answer begins with its question, as a model's does whose prompt was not taken off.

    A greeting may well be greeted back: words that stand alone are no repetition.

    >>> repeats("what is AI?", "What is AI? AI is"), repeats("hello", "Hello! How can I help?")
    (True, False)
    """
    said, asked = _words(answer), _words(prompt)
    return said[: len(asked)] == asked and (len(asked) > 1 or said[1:2] == asked)


def ends(answer: str) -> bool:
    """Whether an answer ends where a sentence, a line of a list or a code block does, or says that it was cut.

    >>> ends("Paris is the capital."), ends("Paris is the"), ends("Paris is the […]")
    (True, False, True)
    """
    text = answer.rstrip()
    return text.endswith(CUT_MARK) or _END.search(text) is not None


def loops(answer: str) -> bool:
    """Whether the same four words stand three times in a row.

    >>> loops("I am a bot I am a bot I am a bot"), loops("row row row your boat")
    (True, False)
    """
    said = _words(answer)
    span = LOOP_WORDS * LOOP_TIMES
    windows = (said[start : start + span] for start in range(len(said) - span + 1))
    return any(window == window[:LOOP_WORDS] * LOOP_TIMES for window in windows)


def table(asked: list[Asked]) -> Table:
    """The answers side by side with their questions."""
    drawn = Table("prompt", "answer", "seconds", "faults", box=box.SIMPLE_HEAVY, show_lines=True)
    for one in asked:
        drawn.add_row(one.prompt, Text(one.answer), f"{one.seconds:.1f}", ", ".join(one.faults) or "none")
    return drawn


def main() -> int:
    """Ask, print, and say by the exit code whether an answer had a fault."""
    with Bot() as bot:
        asked = [ask(bot, prompt) for prompt in PROMPTS]
    Console().print(table(asked))
    return int(any(itertools.chain.from_iterable(one.faults for one in asked)))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


if __name__ == "__main__":
    sys.exit(main())
