"""`doctor`, `plan` and `models match` in Arabic: no English sentence is left, and no command is touched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.cells import cell_len

from botbridge.accounts import Account, Unanswered
from botbridge.cli.doctor_page import doctor_page, remedies
from botbridge.cli.match_page import match_page
from botbridge.cli.model_words import language_of, language_with_clauses
from botbridge.cli.plan_page import plan_page
from botbridge.cli.tables import Table
from botbridge.cli.tongue import Tongue
from botbridge.conversation.texts import Language
from botbridge.diagnosing import Diagnosis
from botbridge.examining import ask
from botbridge.inference.unserved import why_unserved
from botbridge.machine.costs import Terms
from botbridge.machine.doctor import judge
from botbridge.machine.doctor_facts import Engines, Examined, ModelState, PortFacts
from botbridge.machine.money import Money
from botbridge.machine.plan import Measured, PlannedMemory
from botbridge.machine.prices import load_prices
from botbridge.machine.probe import TorchBuild
from botbridge.machine.queueing import Speed
from botbridge.models.acceptance import Acceptance
from botbridge.models.catalogue import load_catalogue
from botbridge.models.clearance import permission, refusal, unknown_licence
from botbridge.models.facts import Task
from botbridge.models.fitting import Judgement
from botbridge.models.licences import load_licences
from botbridge.models.match import match
from botbridge.models.match_facts import LOW_END, QUANTIZED, Room, Wish, forms_called
from botbridge.models.names import parse_name
from botbridge.models.runtimes import Runtime
from botbridge.models.uses import Use
from botbridge.sentences import said
from tests.fakes.machines import CONTAINER, FULL_DISK, GB, LAPTOP, MAC, RELIC, SERVER, WINDOWS, WSL1, WSL2
from tests.machine.test_doctor import SMALL, examined, model
from tests.machine.test_plan import LOAD, planned

AR, EN = language_with_clauses(Tongue.AR), language_of(Tongue.EN)
CATALOGUE = load_catalogue()
ENGLISH = re.compile(
    r"(?<![\w./-])(a|an|and|are|at|be|by|cannot|does|for|free|from|had|has|have|here|in|is|it|its|"
    r"many|more|needs|no|none|not|of|off|on|once|only|or|people|than|that|the|then|this|to|too|unknown|was|were|"
    r"what|which|with|without|yes|you|your)(?![\w./-])",
    re.IGNORECASE,
)
"""Words without which hardly an English sentence can be said, and which stand in no name and no command."""

SCORES = [score for entry in CATALOGUE.entries for score in entry.scores]
QUOTED = {
    *(each.title for each in (*CATALOGUE.entries, *CATALOGUE.sources)),
    *(each.title for each in load_licences().entries),
    *(each.version for each in load_licences().entries),
    *(remark for score in SCORES for remark in (score.of, score.shots) if remark and " " in remark),
    *(source.title for source in load_prices().sources),
}
"""What is told as its publisher wrote it, in every language."""


def texts(parts: Iterator[Table | str] | list[Table | str]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield from part.split("\n")
        else:
            yield part.title
            yield from part.columns
            yield from (cell for row in part.rows for cell in row)


def english_left(text: str) -> list[str]:
    """Function words that are no part of a quoted title."""
    for title in sorted(QUOTED, key=len, reverse=True):
        text = text.replace(title, "")
    return ENGLISH.findall(re.sub(r"botbridge models licence \S+ --use \S+ --accept", "", text))


UNSERVED = {
    why
    for wanted in ("auto", "llamacpp", "transformers")
    for device in ("auto", "cuda")
    for has_gguf in (True, False)
    for computing in ((), ("transformers",), ("llamacpp", "transformers"), ("llamacpp",))
    if (
        why := why_unserved(
            wanted, (), has_gguf=has_gguf, has_safetensors=not has_gguf, device=device, computing=computing
        )
    )
    is not None
}

UNUSUAL = (
    Examined(SERVER),
    examined(sqlite_note="an old one"),
    examined(telegram=Unanswered("x", is_refused=True), discord=Unanswered("y", is_refused=True)),
    examined(telegram=Unanswered("x"), discord=Unanswered("y"), webhook=PortFacts("::1", 80, "x"), running_model=""),
    examined(telegram=None, discord=None, webhook=PortFacts("::1", 80, "x")),
    examined(webhook=PortFacts("::1", 80), wants_message_content=True),
    examined(
        telegram=Account("@bot", reads_everything=True, clock_ahead_s=-400.0),
        discord=Account("bot", reads_everything=True),
    ),
    examined(telegram=Account("@bot", reads_everything=False, joins_groups=False)),
    examined(SERVER, replace(model(1.0), state=ModelState.MISSING, pull_command="")),
    *(examined(engines=Engines("auto", set(), (), unserved=why)) for why in UNSERVED),
    examined(engines=Engines("auto", {"openvino"}, ("openvino",), device="cuda")),
    examined(engines=Engines("auto", {"openvino"}, ("openvino",), measured_otherwise=True)),
    examined(replace(SERVER, torch=TorchBuild("2.13.0", "13.0"))),
    examined(replace(SERVER, torch=None, disk_free_bytes=None, tools=replace(SERVER.tools, cxx_compiler=None))),
    examined(replace(SERVER, processor=replace(SERVER.processor, flags=frozenset(), limit_cores=0.5))),
    examined(replace(SERVER, processor=replace(SERVER.processor, architecture="riscv64", physical_cores=None))),
    examined(replace(SERVER, memory=replace(SERVER.memory, bot_bytes=GB))),
    examined(RELIC, replace(SMALL, state=ModelState.REMOTE, need=None)),
    examined(chosen=replace(SMALL, state=ModelState.NONE, need=None)),
    examined(chosen=replace(SMALL, state=ModelState.DAMAGED, need=None, fetch_bytes=None)),
    examined(chosen=model(1.0, fetch_gb=1.0, comes_unasked=True, has_safetensors=True)),
    examined(engines=Engines("auto", {"openvino"}, ("openvino",), faster="llamacpp", passed_over=model(99.0).need)),
    examined(chosen=replace(SMALL, need=replace(SMALL.need, fetching_bytes=5 * GB))),
    examined(chosen=replace(SMALL, need=replace(SMALL.need, engine="transformers", on_gpu=True))),
)


@pytest.mark.parametrize(
    "found",
    [
        *UNUSUAL,
        *(
            examined(machine, chosen, licence=None)
            for machine in (SERVER, CONTAINER, LAPTOP, RELIC, FULL_DISK, MAC, WINDOWS, WSL1, WSL2)
            for chosen in (SMALL, model(14.5, fetch_gb=14.5), model(1.0, kept_gb=30))
        ),
    ],
)
def test_the_audit_is_arabic(found: Examined) -> None:
    diagnosis = Diagnosis("a-model", found.machine, judge(found))
    for text in texts([doctor_page(diagnosis, AR, 200), *remedies(diagnosis, AR, 200)]):
        assert english_left(text) == [], text


def test_commands_stand_on_lines_of_their_own_as_in_english() -> None:
    diagnosis = Diagnosis("a-model", RELIC, judge(examined(RELIC, model(14.5, fetch_gb=14.5))))
    assert "    botbridge models pull a-model" in list(remedies(diagnosis, AR, 200))


def test_what_could_not_be_found_out_has_its_remedy_below_the_table() -> None:
    """A narrow table has no room for it."""
    found = examined(telegram=None, discord=None)
    told = list(remedies(Diagnosis("a-model", found.machine, judge(found)), EN, 200))
    place = told.index("What could not be found out:")
    assert told[place + 1 : place + 3] == ["  Clock: nobody told the time", "    set a token, and have a network"]


@pytest.mark.parametrize(
    "wish",
    [
        Wish(needs=(Task.MATHS, Task.LOGIC), forms=QUANTIZED, use="saas"),
        Wish(needs=(Task.ARABIC, Task.CHAT, Task.CODE), language_count=5),
        Wish(languages=("ar",), room=LOW_END, forms=forms_called("16-bit")),
        Wish(needs=(Task.MATHS,), room=Room(GB, GB)),
        Wish(needs=(Task.CHAT,), most_billions=0.05),
        Wish(runtime=Runtime.OPENVINO, needs=(Task.MULTILINGUAL,), room=Room(10 * GB)),
        Wish(languages=("xx",), room=Room(GB // 4, GB)),
        Wish(room=Room(GB // 8)),
    ],
)
def test_a_match_is_arabic_with_its_reasons_and_its_advice(wish: Wish) -> None:
    licences = load_licences()
    wish = replace(wish, permit=lambda entry: permission(entry, Use.SAAS, licences))
    answer = match(CATALOGUE.entries, wish)
    for line in match_page(answer, 100, CATALOGUE, AR):
        assert english_left(line) == [], line
    for left_out in answer.refusals:
        assert english_left(said(left_out.reason, AR)) == [], left_out


@pytest.mark.parametrize("words", [EN, AR], ids=["en", "ar"])
def test_on_a_terminal_reasons_are_wrapped_and_commands_are_not(words: Language) -> None:
    answer = match(CATALOGUE.entries, Wish(needs=(Task.MATHS,), room=Room(20 * GB)))
    shown = list(match_page(answer, 100, CATALOGUE, words, 80))
    commands = {f"     {found.offer.command}" for found in answer.matches}
    assert commands <= set(shown)
    assert [line for line in shown if cell_len(line) > 80 and line not in commands] == []


@pytest.mark.parametrize("encoding", ["latin-1", "iso8859-6", "ascii"])
@pytest.mark.parametrize("arguments", [("list",), ("list", "--lang", "ar")])
def test_a_terminal_that_cannot_show_every_letter_gets_the_others(encoding: str, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "botbridge", "models", *arguments],
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert b"smollm2-135m-instruct" in done.stdout


@pytest.mark.parametrize("users", [1, 50, 10**6])
@pytest.mark.parametrize("terms", [Terms(), Terms((10.0, 15.0), Money("EUR", 0.3, 0.3), 1.1)])
@pytest.mark.parametrize("wait_s", [0.01, 10.0])
def test_a_plan_is_arabic(users: int, terms: Terms, wait_s: float) -> None:
    need = SMALL.need
    assert need is not None
    made = planned(replace(LOAD, users=users), terms=terms, wait_s=wait_s)
    memories = (
        PlannedMemory(Judgement(need, GB), 2 * GB, GB),
        PlannedMemory(Judgement(replace(need, engine="openvino", cache_bytes=None, conversations=1), 9 * GB)),
        PlannedMemory(None, None, GB),
    )
    for memory in memories:
        for measured in (made.measured, Measured(Speed.guessed(5.0))):
            for text in texts(plan_page(replace(made, memory=memory, measured=measured), AR)):
                assert english_left(text) == [], text


def test_why_a_licence_stands_in_the_way_is_arabic() -> None:
    licences = load_licences()
    llama = CATALOGUE.find("llama-3.2-1b-instruct")
    opt = CATALOGUE.find("opt-6.7b")
    found, barred = licences.find(llama.licence), licences.find(opt.licence)
    accepted = Acceptance(llama.id, found.id, found.version, Use.PERSONAL, None)  # type: ignore[arg-type]
    reasons = [
        refusal(llama, found, licences.gate, None, None),
        refusal(llama, found, licences.gate, Use.SAAS, None),
        refusal(llama, found, licences.gate, Use.SAAS, accepted),
        refusal(llama, found, licences.gate, Use.SAAS, replace(accepted, version="1")),
        refusal(opt, barred, None, Use.SAAS, None),
        unknown_licence(parse_name("org/name"), "https://hub.example.org"),
        unknown_licence(parse_name("./a-directory"), "https://hub.example.org"),
    ]
    for reason in reasons:
        assert reason is not None
        assert english_left(said(reason, AR)) == [], reason
        assert said(reason, EN) == reason


async def test_why_a_platform_did_not_answer_is_arabic() -> None:
    from pydantic import SecretStr

    async def inquire(_secret: str, _url: str, _patience_s: float) -> Account:
        raise AssertionError

    found = await ask(SecretStr("x"), "https://no-such-host.invalid", inquire)
    assert isinstance(found, Unanswered)
    assert english_left(said(found.reason, AR)) == []
