"""`botbridge replay`: the same answer again, the first difference, or one sentence why neither can be told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from botbridge.answers import Answer, Provenance, Sampling
from botbridge.chosen import engine_options, named_model
from botbridge.cli import build_app
from botbridge.control import ControlClient
from botbridge.control_verbs import Verb
from botbridge.errors import BotBridgeError, ModelNotFound, NotReplayable, TurnNotFound
from botbridge.inference.choice import adding_engine, installed_engines
from botbridge.inference.client import WorkerClient
from botbridge.inference.options import EngineOptions
from botbridge.inference.replay import Again, first_astray, goes_on
from botbridge.messages import InboxState, Outcome
from botbridge.models.catalogue import load_catalogue
from botbridge.models.files import ModelFiles
from botbridge.models.store import ModelStore
from botbridge.replaying import Replayed, replay_answer
from botbridge.settings import load_settings
from botbridge.storage.database import Database
from botbridge.storage.inbox import SqlInbox
from botbridge.storage.migrate import upgrade
from tests.contracts.examples import AISHA_ALONE, PROVENANCE, message
from tests.fakes.asking import ask, prompt_of
from tests.journey.bridge import Bridge

SYSTEM = "Be kind."
TRANSFORMERS = "transformers"
QUESTIONS = ("hello", "why?", "who says so?", "and then?")
WARM = Sampling(max_new_tokens=24, temperature=0.9, top_p=0.95, seed=7)


@dataclass(frozen=True)
class Home:
    """A home whose database holds a conversation that a real worker answered.

    Attributes:
        given: Where its answers came from, the margins included, which are not stored.
    """

    path: Path
    given: list[Provenance] = field(default_factory=list)

    async def fill(
        self,
        *questions: str,
        files: ModelFiles | None = None,
        options: EngineOptions | None = None,
        forgotten_before: int = 0,
        said: Sequence[str] = (),
    ) -> list[str]:
        """Let a worker answer questions, one conversation's, and store everything as the service does.

        Args:
            questions: One after another.
            files: The model; None is the echo.
            options: How it is run; the settings' by default.
            forgotten_before: The question before which all that is known of the conversation is dropped.
            said: What was said before; with what was now it is returned.
        """

        async def prepare() -> ModelFiles:
            assert files is not None
            return files

        await upgrade(self.path / "botbridge.db", self.path)
        options = options or replace(engine_options(load_settings()), engine="echo" if files is None else TRANSFORMERS)
        said = list(said)
        async with (
            Database(self.path / "botbridge.db") as database,
            WorkerClient(None if files is None else prepare, options) as generator,
        ):
            for number, question in enumerate(questions):
                row = await SqlInbox(database).accept(message(f"{len(said)}", question), AISHA_ALONE)
                assert row is not None
                if number and number == forgotten_before:
                    await generator.forget("test")
                asked = await ask(generator, prompt_of(*said, question, system=SYSTEM, sampling=WARM, deadline_s=120))
                text, completion = asked.text.strip(), asked.completion
                self.given.append(completion.provenance)
                answer = Answer(question, text, completion.finish_reason, completion.provenance, SYSTEM)
                await SqlInbox(database).finish(row.id, Outcome(InboxState.ANSWERED, answer=answer))
                said += [question, text]
        return said

    def change(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path / "botbridge.db")) as connection, connection:
            connection.execute(statement, values)

    def ids(self, turn_id: int) -> list[int]:
        with closing(sqlite3.connect(self.path / "botbridge.db")) as connection:
            (found,) = connection.execute("SELECT completion_ids FROM turn WHERE id = ?", (turn_id,)).fetchone()
        return json.loads(found)  # type: ignore[no-any-return]


def replayed(*words: str) -> Result:
    """What the command does in this process."""
    return CliRunner().invoke(build_app(), ["replay", *words])


def facts(*words: str) -> dict[str, Any]:
    return json.loads(replayed(*words, "--json").stdout)  # type: ignore[no-any-return]


def refusal(error: type[BotBridgeError], *words: str) -> str:
    """The sentence with which it ends; the top of the command line prints it and exits with 1."""
    result = replayed(*words)
    assert isinstance(result.exception, error), result.output
    assert result.stdout == ""
    return str(result.exception)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home, told to the command by its environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTBRIDGE_HOME", str(tmp_path))
    return Home(tmp_path)


@pytest.fixture
def echoed(home: Home) -> Home:
    """Two answers of the echo engine: turns 2 and 4."""
    asyncio.run(home.fill("hello", "how are you?"))
    return home


def test_an_answer_that_comes_out_again_is_identical(echoed: Home) -> None:
    result = replayed("4")
    assert (result.exit_code, result.stdout) == (0, "identical (3 tokens)\n")
    assert replayed("last").stdout == result.stdout
    assert replayed("2").stdout == "identical (1 tokens)\n"


def test_the_first_token_that_differs_is_named(echoed: Home) -> None:
    echoed.change("UPDATE turn SET completion_ids = '[0, 5, 2]' WHERE id = 4")
    result = replayed("4")
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first == "diverged at token 2 of 3: token 5 was stored, token 1 came now"
    assert "where the margin is small" in second
    assert facts("4")["divergence"] == {
        "position": 2,
        "stored": {"id": 5, "text": None},
        "now": {"id": 1, "text": None},
        "margin": None,
        "cached_tokens": 0,
        "cached_tokens_now": 0,
    }


def test_an_answer_that_was_longer_differs_at_the_end(echoed: Home) -> None:
    echoed.change("UPDATE turn SET completion_ids = '[0, 1, 2, 3]' WHERE id = 4")
    assert "token 4 of 4: token 3 was stored, the end came now" in replayed("4").stdout


def test_another_prompt_is_told_before_anything_else(echoed: Home) -> None:
    echoed.change("UPDATE turn SET text = 'how is she?' WHERE id = 3")
    result = replayed("4")
    assert result.exit_code == 1
    assert result.stdout.startswith("the prompt is another (hash ")
    assert "look at the chat template" in result.stdout
    assert "the same answer (3 tokens)" in result.stdout
    assert {**facts("4"), "engine_version": "", "revision": ""} == {
        "turn": 4,
        "identical": False,
        "same_prompt": False,
        "tokens": 3,
        "divergence": None,
        "answers_before": 0,
        "astray": None,
        "changes": [],
        "model": "echo",
        "revision": "",
        "engine": "echo",
        "engine_version": "",
    }


def test_another_version_is_refused_by_both_names_unless_it_is_forced(echoed: Home) -> None:
    version = facts("4")["engine_version"]
    echoed.change("UPDATE turn SET engine_version = 'botbridge 0.0.1'")
    said = refusal(NotReplayable, "4")
    assert said == (
        "turn 4 cannot be computed as it was: "
        f"the engine version was botbridge 0.0.1 and is {version}; --force goes on all the same"
    )
    forced = replayed("4", "--force")
    assert forced.exit_code == 0
    assert forced.stdout.startswith("gone on although the engine version was botbridge 0.0.1")
    assert forced.stdout.endswith("identical (3 tokens)\n")


def test_an_engine_that_is_not_here_is_named_with_the_command_that_adds_it(
    echoed: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    echoed.change("UPDATE turn SET engine = 'llamacpp'")
    monkeypatch.setattr("botbridge.replaying.installed_engines", lambda: frozenset({"transformers"}))
    assert refusal(NotReplayable, "4") == (
        "turn 4 was computed by the engine llamacpp, which is not installed here; `make native` adds it"
    )


def test_an_answer_whose_engine_told_no_tokens_cannot_be_compared(echoed: Home) -> None:
    echoed.change("UPDATE turn SET engine = 'remote', completion_ids = '[]'")
    assert refusal(NotReplayable, "4") == "turn 4 cannot be computed again: the engine remote tells no tokens"


def test_a_model_that_is_not_here_is_named_with_the_command_that_fetches_it(echoed: Home) -> None:
    echoed.change("UPDATE turn SET engine = 'transformers', model = 'org/gone', revision = ?", "f" * 40)
    assert "fetch it with: botbridge models pull org/gone" in refusal(ModelNotFound, "4")


def test_what_is_no_answer_is_one_sentence_for_people_and_an_error_for_programs(echoed: Home) -> None:
    assert refusal(TurnNotFound, "3") == "turn 3 is a question; its answer is turn 4"
    result = replayed("99", "--json")
    assert isinstance(result.exception, TurnNotFound)
    assert json.loads(result.stdout) == {"turn": 99, "error": "TurnNotFound", "detail": "there is no turn 99"}


def goes_on_in(home: Home) -> None:
    """Let turn 4 have known something from turn 2."""
    home.change("UPDATE turn SET cached_tokens = 5, used_turns = 3 WHERE id = 4")


def test_what_an_answer_went_on_from_is_computed_first(echoed: Home) -> None:
    goes_on_in(echoed)
    assert facts("4")["answers_before"] == 1


def test_with_another_system_text_it_went_on_from_nothing(echoed: Home) -> None:
    goes_on_in(echoed)
    echoed.change("UPDATE turn SET system_hash = NULL WHERE id = 2")
    assert facts("4")["answers_before"] == 0


def test_what_cannot_come_out_alike_is_not_computed_first(echoed: Home) -> None:
    """All of it was computed by another version, and the operator wants to see this one's answer."""
    goes_on_in(echoed)
    echoed.change("UPDATE turn SET engine_version = 'botbridge 0.0.1'")
    assert facts("4", "--force")["answers_before"] == 0


def test_an_answer_before_it_that_was_partly_erased_is_not_missed(echoed: Home) -> None:
    """What the prompt holds is all there."""
    echoed.change("UPDATE turn SET used_turns = 1 WHERE id = 4")
    echoed.change("DELETE FROM turn WHERE id = 1")
    assert facts("4")["answers_before"] == 0


@pytest.mark.parametrize("words", [[], ["x"], ["-1"], ["1.5"]])
def test_what_is_no_id_is_wrong_use(home: Home, words: list[str]) -> None:
    assert replayed(*words).exit_code == 2


ORIGIN = replace(PROVENANCE, cached_tokens=40, used_turns=3, completion_ids=(1, 2))


def test_an_answer_goes_on_from_the_one_before_it() -> None:
    assert goes_on(ORIGIN, replace(ORIGIN, used_turns=1, cached_tokens=0))


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ({"cached_tokens": 0}, {}),
        ({"cached_tokens": 11}, {"cached_tokens": 11}),
        ({"used_turns": 1}, {}),
        ({}, {"used_turns": 5}),
        ({}, {"completion_ids": ()}),
        ({}, {"engine_version": "another"}),
        ({}, {"revision": "another"}),
        ({"adapter": "poet"}, {}),
        ({}, {"adapter": "poet", "adapter_revision": "f00"}),
    ],
)
def test_it_does_not_where_nothing_was_known_the_history_was_cut_or_another_computed(
    later: dict[str, Any], earlier: dict[str, Any]
) -> None:
    assert not goes_on(replace(ORIGIN, **later), replace(ORIGIN, **{"used_turns": 1, "cached_tokens": 0, **earlier}))


def again(answer_id: int, *, says: int = 1, knew: int = 9, knows: int = 9, begins_anew: bool = False) -> Again:
    then = replace(ORIGIN, completion_ids=(1,), cached_tokens=knew)
    return Again(answer_id, then, replace(then, completion_ids=(says,), cached_tokens=knows), begins_anew)


@pytest.mark.parametrize(
    ("course", "astray"),
    [
        ([again(2)], None),
        ([again(2, says=7)], None),
        ([again(2), again(4)], None),
        ([again(2, says=7), again(4)], 2),
        ([again(2), again(4, says=7), again(6, says=7), again(8)], 4),
        ([again(2), again(4, knows=5), again(6)], 4),
        ([again(2, knew=11, knows=0), again(4)], None),
        ([again(2, says=7), again(4, begins_anew=True), again(6)], None),
        ([again(2, says=7), again(4, begins_anew=True)], None),
        ([again(2), again(4, begins_anew=True, knows=0), again(6, says=7), again(8)], 6),
    ],
)
def test_the_first_of_those_that_an_answer_went_on_from_is_named(course: list[Again], astray: int | None) -> None:
    assert first_astray(course) == astray


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A model with random weights, in a directory of the operator's own."""
    from tests.fakes.tiny_models import tiny_llama

    made = tiny_llama(tmp_path_factory.mktemp("llama"))
    return ModelStore(made.directory).find(load_catalogue().resolve(str(made.directory)))


@pytest.fixture
def talking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings for a tiny model; the system text is not the one that is stored."""
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__DTYPE", "float32")
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__THREADS", "1")
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__SYSTEM", "Be unkind.")


@pytest.fixture
def talked(home: Home, talking: None, tiny: ModelFiles) -> Home:
    """Two answers of a tiny model, sampled: turns 2 and 4."""
    asyncio.run(home.fill("hello", "why?", files=tiny))
    return home


@pytest.mark.slow
def test_a_sampled_answer_with_a_history_is_identical_although_the_system_text_changed(talked: Home) -> None:
    result = replayed("4")
    assert (result.exit_code, result.stdout) == (0, "identical (24 tokens)\n")
    # The second turn went on from the first one's cache.
    with closing(sqlite3.connect(talked.path / "botbridge.db")) as connection:
        assert connection.execute("SELECT cached_tokens > 0 FROM turn WHERE id = 4").fetchone() == (1,)


@pytest.mark.slow
def test_a_difference_comes_with_both_texts_and_the_margin(talked: Home, tiny: ModelFiles) -> None:
    ids = talked.ids(2)
    letter = 66 if ids[3] != 66 else 67
    talked.change("UPDATE turn SET completion_ids = ? WHERE id = 2", json.dumps([*ids[:3], letter, *ids[4:]]))
    result = replayed("2")
    assert result.exit_code == 1
    assert f"diverged at token 4 of 24: 'c' ({letter}) was stored, " in result.stdout.replace("'d' (67)", "'c' (67)")
    assert " came now by a margin of " in result.stdout
    found = facts("2")["divergence"]
    assert found["now"]["id"] == ids[3]
    assert 0 < found["margin"] <= 1


@pytest.mark.slow
def test_without_the_system_text_of_then_the_prompt_is_found_to_be_another(talked: Home) -> None:
    talked.change("UPDATE turn SET system_hash = NULL")
    result = replayed("2")
    assert result.exit_code == 1
    assert "look at the system text, which was not kept then" in result.stdout


@pytest.mark.slow
def test_another_revision_of_the_model_is_refused_by_both_names(talked: Home, tiny: ModelFiles) -> None:
    talked.change("UPDATE turn SET revision = 'abc'")
    assert f"the revision was abc and is {tiny.revision}" in refusal(NotReplayable, "4")
    forced = replayed("4", "--force")
    assert forced.exit_code == 0
    assert forced.stdout.endswith("identical (24 tokens)\n")


@pytest.fixture
def short_home() -> Iterator[Path]:
    """Short, because a socket's path has to be."""
    with tempfile.TemporaryDirectory(prefix="bb") as directory:
        yield Path(directory)


def bits(home: Home, turn_id: int) -> tuple[bool, Replayed]:
    """An answer computed again: whether all numbers came out, and not only the words; and what was found."""
    found = asyncio.run(replay_answer(load_settings(), turn_id, force=False, told=print))
    then = home.given[turn_id // 2 - 1]
    assert found.stored.provenance.completion_ids == then.completion_ids
    return (found.is_identical and found.now.margins == then.margins), found


@pytest.mark.slow
def test_a_later_turn_is_computed_in_the_pieces_of_then(home: Home, talking: None, tiny: ModelFiles) -> None:
    asyncio.run(home.fill(*QUESTIONS, files=tiny))
    are_same, found = bits(home, 8)
    assert are_same
    assert (found.answers_before, found.now.cached_tokens) == (3, home.given[3].cached_tokens)
    assert bits(home, 2)[0]


@pytest.mark.slow
def test_after_a_restart_it_goes_on_from_nothing(home: Home, talking: None, tiny: ModelFiles) -> None:
    """As it did then: what was said before is read in one go."""
    said = asyncio.run(home.fill(*QUESTIONS[:2], files=tiny))
    asyncio.run(home.fill(*QUESTIONS[2:], files=tiny, said=said))
    for turn_id, answers_before in ((6, 0), (8, 1)):
        are_same, found = bits(home, turn_id)
        assert (are_same, found.answers_before) == (True, answers_before)


@pytest.mark.slow
def test_what_was_given_up_in_between_is_not_gone_on_from(home: Home, talking: None, tiny: ModelFiles) -> None:
    """Only the system text was known, as after a lack of memory."""
    asyncio.run(home.fill(*QUESTIONS, files=tiny, forgotten_before=2))
    assert 0 < home.given[2].cached_tokens < home.given[1].cached_tokens
    for turn_id, answers_before in ((6, 0), (8, 1)):
        are_same, found = bits(home, turn_id)
        assert (are_same, found.answers_before, found.astray) == (True, answers_before, None)


@pytest.mark.slow
def test_what_was_given_up_after_the_first_turn_is_forgotten_before_the_second(
    home: Home, talking: None, tiny: ModelFiles
) -> None:
    """Of the first nothing was known, so that the second knew more, though it was the system text only."""
    asyncio.run(home.fill(*QUESTIONS[:3], files=tiny, forgotten_before=1))
    are_same, found = bits(home, 6)
    assert (are_same, found.answers_before, found.astray) == (True, 2, None)
    assert found.now.cached_tokens == home.given[2].cached_tokens


@pytest.mark.slow
def test_the_first_answer_that_came_out_otherwise_is_named(home: Home, talking: None, tiny: ModelFiles) -> None:
    asyncio.run(home.fill(*QUESTIONS, files=tiny))
    ids = home.ids(4)
    home.change("UPDATE turn SET completion_ids = ? WHERE id = 4", json.dumps([*ids[:-1], ids[-1] ^ 1]))
    other = home.ids(8)
    home.change("UPDATE turn SET completion_ids = ? WHERE id = 8", json.dumps([*other[:-1], other[-1] ^ 1]))
    result = replayed("8")
    assert result.exit_code == 1
    assert "turn 4, which it went on from, came out otherwise already" in result.stdout
    assert facts("8")["astray"] == 4


@pytest.mark.slow
def test_after_a_cut_of_the_history_it_goes_on_from_the_system_text(
    home: Home, talking: None, tiny: ModelFiles
) -> None:
    """Of 512 tokens of context."""
    asyncio.run(home.fill(*(f"{number} {'x' * 60}" for number in range(5)), files=tiny))
    assert [given.used_turns for given in home.given] == [1, 3, 5, 3, 5]
    for turn_id, answers_before in ((6, 2), (8, 0), (10, 1)):
        are_same, found = bits(home, turn_id)
        assert (are_same, found.answers_before) == (True, answers_before)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ["llamacpp", "openvino", "transformers"])
def test_later_turns_of_the_default_model_come_out_to_the_bit(
    home: Home, model_home: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """With each engine that is installed here."""
    if engine not in installed_engines():
        pytest.skip(f"the engine {engine} is not installed; `{adding_engine(engine)}` adds it")
    (home.path / "models").symlink_to(model_home / "models")
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__ENGINE", engine)
    settings = load_settings()
    files = ModelStore(settings.home).find(named_model(settings))
    asyncio.run(home.fill(*QUESTIONS, files=files, options=engine_options(settings)))
    assert home.given[-1].engine == engine
    are_same, found = bits(home, 8)
    assert (are_same, found.answers_before, found.astray) == (True, 3, None)


@pytest.mark.slow
async def test_an_answer_of_the_running_service_is_replayed_beside_it(short_home: Path) -> None:
    bridge = Bridge(short_home, {"INFERENCE__ENGINE": "echo"})
    async with bridge:
        await bridge.until((short_home / "control.sock").exists)
        assert (await bridge.command("chat", "--once", "hello there"))[:2] == (0, "hello there\n")
        assert (await bridge.command("replay", "last"))[:2] == (0, "identical (2 tokens)\n")
        code, out, err = await bridge.command("replay", "7")
        assert (code, out, err) == (1, "", "botbridge: there is no turn 7\n")
        assert await bridge.terminate() == 0
    assert (await bridge.command("replay", "last"))[:2] == (0, "identical (2 tokens)\n")


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_answers_of_the_default_model_are_identical(
    short_home: Path, model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three turns of one conversation, the later ones from its cache; each computed again behind those before it."""
    monkeypatch.chdir(short_home)
    monkeypatch.setenv("BOTBRIDGE_HOME", str(short_home))
    monkeypatch.setenv("BOTBRIDGE_INFERENCE__MAX_NEW_TOKENS", "48")
    told: list[str] = []
    bridge = Bridge(short_home, {"INFERENCE__MAX_NEW_TOKENS": "48"}, models=model_home / "models")
    async with bridge:
        await bridge.until((short_home / "control.sock").exists)
        client = ControlClient(short_home / "control.sock")
        for question in ("What is the capital of France?", "Tell me more about it.", "And of Italy?"):
            async with aclosing(client.follow(Verb.CHAT, text=question)) as shown:
                assert [step async for step in shown][-1]["ending"] == InboxState.ANSWERED
        for turn_id in (2, 4, 6):
            found = await replay_answer(load_settings(), turn_id, force=False, told=told.append)
            assert found.answers_before == turn_id // 2 - 1
            assert found.is_identical, found.divergence
    twice = "the bot is running: the model is loaded a second time, which takes its memory once more"
    assert [note for note in told if note == twice] == [twice] * 3
    assert told[-1] == "it went on from what the 2 before it had left: computing these first"
