"""The study's 19 prompts and each fault of its transcript, on the real model; `examples/` as their readers run them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

from botbridge import Bot, ChatBot
from botbridge.setting_groups import InferenceSettings
from botbridge.settings import Settings

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    """An example, imported from its file."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


study = example("study_prompts")


@pytest.mark.parametrize(
    ("answer", "faults"),
    [
        ("It is Paris.", ()),
        ("", ("is empty", "stops in mid-sentence")),
        ("what is the capital of France? It is Paris.", ("repeats the question",)),
        ("It is Paris, which lies on the", ("stops in mid-sentence",)),
        ("It is Paris, which lies on the […]", ()),
        ("I am not sure. I am not sure. I am not sure.", ("goes round in circles",)),
        ("It is:\n\n* Paris", ("stops in mid-sentence",)),
        ("I have three reasons:", ("stops in mid-sentence",)),
        ("It is Paris; it was Lyon;", ("stops in mid-sentence",)),
        ("هي باريس؟", ()),
    ],
)
def test_the_faults_of_an_answer_are_found(answer: str, faults: tuple[str, ...]) -> None:
    assert study.faults("what is the capital of France?", answer) == faults


def test_there_are_the_nineteen_prompts() -> None:
    assert len(set(study.PROMPTS)) == 19


@pytest.fixture(scope="module")
def settings(model_home: Path) -> Settings:
    """The likeliest token always: what goes wrong without sampling goes wrong every time."""
    return Settings(home=model_home, inference=InferenceSettings(max_new_tokens=48, temperature=0))


@pytest.fixture(scope="module")
def bot(settings: Settings) -> Iterator[Bot]:
    with Bot(settings=settings) as bot:
        yield bot


@pytest.fixture(scope="module")
def chatbot(settings: Settings) -> Iterator[ChatBot]:
    with ChatBot(settings=settings) as chatbot:
        yield chatbot


@pytest.mark.slow
@pytest.mark.parametrize("prompt", study.PROMPTS)
def test_a_prompt_of_the_study_has_an_answer_without_its_faults(bot: Bot, prompt: str) -> None:
    asked = study.ask(bot, prompt)
    assert not asked.faults, asked.answer


@pytest.mark.slow
def test_the_answer_knows_the_capital_and_does_not_hold_the_question(bot: Bot) -> None:
    """S3: the study returned prompt and answer in one."""
    answer = study.ask(bot, "What is the capital of France?").answer
    assert "Paris" in answer
    assert "What is the capital" not in answer


@pytest.mark.slow
def test_a_long_question_leaves_the_answer_its_whole_length(chatbot: ChatBot) -> None:
    """S3: with the prompt counted, 30 tokens were spent before the first word of the answer."""
    chatbot.generate_response("/reset")
    question = "I like Paris, London, Rome, Madrid, Berlin, Vienna, Prague, Warsaw, Athens, Lisbon and Cairo. " * 2
    answer = chatbot.generate_response(question + "Write me a story about one of them.", temperature=0)
    # What it says is the model's affair, and so is how long its sentences are; it had room to finish one.
    assert len(answer.split()) >= 2
    assert "nothing to say" not in answer


@pytest.mark.slow
def test_an_answer_of_thirty_tokens_ends_at_a_sentence_or_says_that_it_was_cut(chatbot: ChatBot) -> None:
    """S3: the study's stopped in the middle of a word."""
    chatbot.generate_response("/reset")
    assert study.ends(chatbot.generate_response("Write a long story about a dog that goes to the sea."))


@pytest.mark.slow
def test_temperature_counts(chatbot: ChatBot) -> None:
    """S3: sampling was off, so that the temperature was ignored; here 0 repeats itself and 2 does not."""

    def ask(temperature: float) -> str:
        chatbot.generate_response("/reset")
        return chatbot.generate_response("tell me a joke", temperature=temperature, top_p=1.0)

    assert ask(0) == ask(0)
    assert len({ask(2) for _ in range(4)}) > 1


@pytest.mark.slow
def test_the_notebook_runs_from_its_first_cell_to_its_last(
    model_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a kernel whose event loop runs already; it must leave no worker behind, either."""
    monkeypatch.setenv("BOTBRIDGE_HOME", str(model_home))
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    told = "".join(
        output.get("text", "") or str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "Paris" in told
    assert "You: tell me a joke" in told
    assert told.rstrip().endswith("False")


@pytest.mark.slow
def test_hello_is_answered_by_the_shortest_program(model_home: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "hello.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"BOTBRIDGE_HOME": str(model_home)},
        timeout=300,
        check=True,
    )
    assert done.stdout.strip()
    assert done.stderr == ""
