"""`Bot` and `ChatBot`: the names, defaults and manners of the study's two classes, over the real service and worker."""

from __future__ import annotations

import gc
import inspect
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import botbridge
from botbridge import Bot, ChatBot
from botbridge.errors import ConfigError, ConversationError, ModelLoadError, PlatformUnavailable
from botbridge.setting_groups import InferenceSettings, LimitSettings
from botbridge.settings import Settings

ROOT = Path(__file__).parents[1]
ECHO = InferenceSettings(engine="echo")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, inference=ECHO)


@pytest.fixture(scope="module")
def chatbot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatBot]:
    with ChatBot(settings=Settings(home=tmp_path_factory.mktemp("home"), inference=ECHO)) as chatbot:
        yield chatbot


def test_a_bot_answers_with_the_answer_alone(settings: Settings) -> None:
    with Bot(settings=settings) as bot:
        assert bot.start_chat("hello") == "hello"


def test_the_signatures_are_those_of_the_study() -> None:
    """S2: names, order and defaults."""
    made = inspect.signature(ChatBot).parameters
    assert [(name, made[name].default) for name in list(made)[:2]] == [("model_name", None), ("token", None)]
    generate = inspect.signature(ChatBot.generate_response).parameters
    assert [(name, parameter.default) for name, parameter in generate.items()][1:] == [
        ("user_message", inspect.Parameter.empty),
        ("max_length", 30),
        ("temperature", 0.1),
        ("top_p", 0.9),
    ]


def test_start_chat_prints_both_sides_and_goes_on(chatbot: ChatBot, capsys: pytest.CaptureFixture[str]) -> None:
    assert chatbot.start_chat("hello there") is True
    assert capsys.readouterr().out == "You: hello there\nAI Assistant: hello there\n"


@pytest.mark.parametrize("goodbye", ["exit", "quit", "EXIT", "Quit", " exit "])
def test_exit_and_quit_in_any_case_say_goodbye_and_end(
    chatbot: ChatBot, capsys: pytest.CaptureFixture[str], goodbye: str
) -> None:
    assert chatbot.start_chat(goodbye) is False
    assert capsys.readouterr().out.startswith("AI Assistant: ")


def test_a_sentence_that_holds_exit_does_not_end_the_chat(chatbot: ChatBot, capsys: pytest.CaptureFixture[str]) -> None:
    assert chatbot.start_chat("where is the exit") is True
    assert "AI Assistant: where is the exit" in capsys.readouterr().out


def test_max_length_counts_what_is_new_and_not_the_message(chatbot: ChatBot) -> None:
    """S3: the study counted the prompt, too, so that a long question left nothing for its answer."""
    question = "word " * 100
    assert len(chatbot.generate_response(question).replace("[…]", "").split()) == 30


def test_an_answer_that_is_cut_ends_at_a_sentence(chatbot: ChatBot) -> None:
    """S3: the study's answers stopped in mid-sentence."""
    assert chatbot.generate_response("Paris is big. It lies on the river", max_length=6) == "Paris is big."


def test_an_answer_that_is_cut_within_its_first_sentence_says_so(chatbot: ChatBot) -> None:
    assert chatbot.generate_response("one two three four", max_length=3) == "one two three […]"


@pytest.mark.parametrize(
    "bad",
    [
        {"max_length": 0},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_p": 0.0},
        {"top_p": 1.1},
    ],
)
def test_a_value_out_of_bounds_is_one_sentence(chatbot: ChatBot, bad: dict[str, float]) -> None:
    name = next(iter(bad))
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        chatbot.generate_response("hello", **bad)  # type: ignore[arg-type]


def test_more_questions_than_a_chat_allows_in_a_minute_are_all_answered(chatbot: ChatBot) -> None:
    """The limits protect people from one another; here there is one."""
    assert [chatbot.generate_response(f"number {n}") for n in range(30)] == [f"number {n}" for n in range(30)]


def test_a_refused_message_is_an_error_and_no_answer(settings: Settings) -> None:
    limited = settings.model_copy(update={"limits": LimitSettings(message_chars=10)})
    with Bot(settings=limited) as bot, pytest.raises(ConversationError, match="11 characters"):
        bot.start_chat("x" * 11)


def test_a_model_that_is_not_there_is_one_sentence_and_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    before = psutil.Process().children()
    absent = InferenceSettings(model=str(tmp_path / "absent"), engine="transformers")
    with pytest.raises(ModelLoadError, match="absent") as raised:
        ChatBot(settings=settings.model_copy(update={"inference": absent}))
    assert "\n" not in str(raised.value)
    assert psutil.Process().children() == before


def test_names_beside_settings_are_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="beside the settings"):
        Bot("smollm2-135m-instruct", settings=settings)


def test_a_wrong_setting_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__MODLE", "x")
    with pytest.raises(ConfigError, match="BOTBRIDGE_INFERENCE__MODEL"):
        Bot()


async def test_it_answers_while_an_event_loop_runs(settings: Settings) -> None:
    """As in a notebook's cell."""
    with Bot(settings=settings) as bot:
        assert bot.start_chat("hello") == "hello"


def test_a_closed_bot_says_so_and_may_be_closed_again(settings: Settings) -> None:
    bot = Bot(settings=settings)
    bot.close()
    bot.close()
    with pytest.raises(PlatformUnavailable, match="closed"):
        bot.start_chat("hello")


@pytest.mark.parametrize("end", [Bot.close, lambda bot: None], ids=["closed", "forgotten"])
def test_no_process_is_left_when_the_object_ends(settings: Settings, end: Callable[[Bot], None]) -> None:
    before = set(psutil.Process().children())
    bot = Bot(settings=settings)
    workers = [child for child in psutil.Process().children() if child not in before]
    end(bot)
    del bot
    gc.collect()
    _, alive = psutil.wait_procs(workers, timeout=0)
    assert not [child for child in alive if "spawn_main" in " ".join(child.cmdline())]


# Other people's programs -----------------------------------------------------

HELLO = "from botbridge import Bot\nprint(Bot(engine='echo').start_chat('hello'))\n"


class Programs:
    """Runs programs and finds what they leave behind, by a mark in their environment that workers inherit."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mark = uuid.uuid4().hex

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = dict(os.environ, PYTHON_TEST_MARK=self._mark, BOTBRIDGE_HOME=str(self._directory))
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self._directory,
            env=environment,
            check=False,
        )

    def left(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PYTHON_TEST_MARK") == self._mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


@pytest.mark.slow
def test_a_script_without_a_main_guard_answers_once_and_leaves_nothing(programs: Programs, tmp_path: Path) -> None:
    """The worker must not run the caller's script a second time."""
    (tmp_path / "hello.py").write_text("print('once')\n" + HELLO)
    done = programs.run("hello.py")
    assert (done.stdout, done.stderr, done.returncode) == ("once\nhello\n", "", 0)
    assert programs.left() == []


@pytest.mark.slow
def test_two_bots_that_nobody_closed_end_quietly_with_the_script(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(
        "from botbridge import Bot, ChatBot\nbot = Bot(engine='echo')\nchatbot = ChatBot(engine='echo')\n"
        "print(bot.start_chat('hello'))\nchatbot.start_chat('hi')\n"
    )
    done = programs.run("two.py")
    assert (done.stdout, done.stderr) == ("hello\nYou: hi\nAI Assistant: hi\n", "")
    assert programs.left() == []


@pytest.mark.slow
def test_what_the_service_logs_never_reaches_the_stdout_of_a_script(programs: Programs) -> None:
    """By itself structlog prints to stdout."""
    script = (
        "import structlog; from botbridge import Bot; Bot(engine='echo'); structlog.get_logger('x').warning('loud')"
    )
    done = programs.run("-c", script)
    assert done.stdout == ""
    assert "loud" in done.stderr


@pytest.mark.slow
def test_python_c_answers_and_leaves_nothing(programs: Programs) -> None:
    done = programs.run("-c", HELLO)
    assert (done.stdout, done.stderr, done.returncode) == ("hello\n", "", 0)
    assert programs.left() == []


@pytest.mark.slow
def test_the_repl_answers_and_leaves_nothing(programs: Programs) -> None:
    done = programs.run("-i", "-q", stdin=HELLO)
    assert (done.stdout, done.returncode) == ("hello\n", 0)
    assert programs.left() == []


@pytest.mark.slow
def test_a_script_that_fails_ends_with_its_own_error_and_leaves_nothing(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(HELLO.replace("print(", "bot = (").replace(".start_chat('hello')", "") + "1 / 0")
    done = programs.run("fails.py")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("ZeroDivisionError: division by zero")
    assert programs.left() == []


def test_importing_botbridge_imports_neither_the_api_nor_torch() -> None:
    script = "import sys, botbridge; print([n for n in ('botbridge.api', 'torch', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_importing_the_api_loads_no_torch() -> None:
    script = "import sys, botbridge.api; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Chatbot"):
        botbridge.Chatbot  # noqa: B018  # type: ignore[attr-defined]
