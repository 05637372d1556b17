"""The audit: what each machine and each set-up is told, on machines that the tests do not run on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from botbridge.accounts import Account, Unanswered
from botbridge.inference.unserved import why_unserved
from botbridge.machine.doctor import is_ready, judge
from botbridge.machine.doctor_facts import (
    ChosenModel,
    DatabaseFacts,
    Engines,
    Examined,
    HomeFacts,
    Licence,
    ModelState,
    PortFacts,
    Row,
    ServerFacts,
    Status,
)
from botbridge.machine.probe import MachineFacts, TorchBuild
from botbridge.models.fitting import MemoryNeed
from tests.fakes.machines import (
    CONTAINER,
    FULL_DISK,
    GB,
    LAPTOP,
    MAC,
    RELIC,
    SERVER,
    WINDOWS,
    WSL1,
    WSL2,
)

OK, UPGRADE, OPTIONAL, UNKNOWN = Status.OK, Status.UPGRADE, Status.OPTIONAL, Status.UNKNOWN


def model(weights_gb: float, *, fetch_gb: float = 0.0, kept_gb: float = 0.5, **changes: object) -> ChosenModel:
    """A model as a GGUF, whose four conversations take 0.2 GB, and everything beside them 0.6."""
    need = MemoryNeed("llamacpp", "Q4_K_M", int(weights_gb * GB), GB // 5, int(kept_gb * GB), 6 * GB // 10, 4, 2048)
    chosen = ChosenModel(
        name="a-model",
        model="a-model",
        state=ModelState.MISSING if fetch_gb else ModelState.HERE,
        detail="revision abc",
        has_gguf=True,
        has_safetensors=False,
        need=need,
        fetch_bytes=int(fetch_gb * GB),
        pull_command="botbridge models pull a-model",
    )
    return replace(chosen, **changes)  # type: ignore[arg-type]


SMALL = model(0.1)
SEVEN_B = model(4.4)
ALL_ENGINES = Engines("auto", {"llamacpp", "openvino", "transformers"}, ("llamacpp", "openvino"))
SOUND = DatabaseFacts(Path("/srv/botbridge/botbridge.db"), "0004", "0004")


def examined(machine: MachineFacts = SERVER, chosen: ChosenModel | None = SMALL, **changes: object) -> Examined:
    """A set-up in which nothing is wrong but what a test makes so."""
    found = Examined(
        machine,
        chosen,
        ALL_ENGINES,
        home=HomeFacts(Path("/srv/botbridge")),
        database=SOUND,
        licence=Licence("Apache-2.0: allowed", OK),
        telegram=Account("@bot", reads_everything=False, clock_ahead_s=0.4),
        discord=Account("bot#1", reads_everything=False),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def row(component: str, found: Examined) -> Row:
    return next(row for row in judge(found) if row.component == component)


def statuses(found: Examined, *wanted: Status) -> list[str]:
    return [row.component for row in judge(found) if row.status in wanted]


def test_a_machine_and_a_set_up_without_fault_are_ready() -> None:
    assert statuses(examined(), UPGRADE, OPTIONAL, UNKNOWN) == []
    assert is_ready(judge(examined()))


def test_the_audit_that_botbridge_descends_from_can_be_recognised() -> None:
    """RAM, disk, system, AVX and SSE, compiler, make, cmake, in its order."""
    components = [row.component for row in judge(examined())]
    old = ["Memory (RAM)", "Disk", "Operating system", "CPU: SSE4.2", "CPU: AVX2", "C/C++ compiler", "make", "cmake"]
    assert [component for component in components if component in old] == old


@pytest.mark.parametrize("machine", [SERVER, CONTAINER, LAPTOP, RELIC, FULL_DISK, MAC, WINDOWS, WSL1, WSL2])
@pytest.mark.parametrize("chosen", [SMALL, model(14.5, fetch_gb=14.5), None])
def test_whatever_is_not_right_says_what_to_do(machine: MachineFacts, chosen: ChosenModel | None) -> None:
    """Each no with the command that mends it, on every machine."""
    for found in judge(examined(machine, chosen, telegram=None, discord=None, licence=None)):
        assert found.found, found
        assert found.needed, found
        if found.status in {UPGRADE, OPTIONAL}:
            assert found.upgrade, found
            assert found.how, found
        if found.status is OK:
            assert (found.upgrade, found.how) == ("", "")


def test_memory_is_judged_by_the_model_and_not_by_a_fixed_number() -> None:
    """The study asked for 16 GB; a small model is content with 2."""
    assert row("Memory (RAM)", examined(LAPTOP, SMALL)).status is OK
    assert row("Memory (RAM)", examined(LAPTOP, SEVEN_B)).status is OK
    assert row("Memory (RAM)", examined(LAPTOP, model(7.7))).status is UPGRADE
    assert row("Memory (RAM)", examined(SERVER, model(7.7))).status is OK


def test_what_is_needed_is_added_up_for_all_to_see() -> None:
    needed = row("Memory (RAM)", examined(SERVER, SEVEN_B)).needed
    assert needed.startswith(
        "5.7 GB: weights 4.4 GB (Q4_K_M), cache 200 MB for 4 answers side by side of 2048 tokens, "
    )
    assert needed.endswith("kept between turns 500 MB, botbridge with llamacpp 600 MB")


def test_a_cache_of_unknown_size_is_said_to_be_unknown() -> None:
    need = MemoryNeed("transformers", "BF16", GB, None, 0, GB, 4, 2048)
    found = row("Memory (RAM)", examined(SERVER, model(1, need=need)))
    assert found.needed.startswith("at least 2.0 GB: ")
    assert "cache of unknown size" in found.needed
    assert (found.status, found.how) == (UNKNOWN, "botbridge bench")
    missing = row("Memory (RAM)", examined(SERVER, model(1, fetch_gb=1, need=need)))
    assert missing.how == "botbridge models pull a-model && botbridge bench"
    assert row("Memory (RAM)", examined(RELIC, model(1, need=need))).status is UPGRADE


def test_a_container_is_judged_by_what_it_may_take() -> None:
    """2 GB granted on a host of 24: what the host has does not help, and raising the limit does."""
    assert row("Memory (RAM)", examined(CONTAINER, SMALL)).status is OK
    found = row("Memory (RAM)", examined(CONTAINER, SEVEN_B))
    assert found.status is UPGRADE
    assert found.found == "1.9 GB free of 24.0 GB; the control group grants 2.0 GB"
    assert found.how == "docker update --memory 5800m --memory-swap 5800m CONTAINER; or botbridge models match"


def test_what_is_kept_between_turns_gives_way_first() -> None:
    """That costs nothing but some waiting."""
    found = row("Memory (RAM)", examined(LAPTOP, model(4.9)))
    assert (found.upgrade, found.how) == (
        "does not fit: needs 6.2 GB, has 6.0 GB; keep 200 MB less between turns",
        "echo BOTBRIDGE_INFERENCE__CACHE_BYTES=500000000 >> .env",  # 200 of them for answers in the making
    )


def test_on_a_machine_below_every_need_the_way_out_is_another_model_or_more_memory() -> None:
    found = row("Memory (RAM)", examined(RELIC, SMALL))
    assert (found.status, found.how) == (UPGRADE, "botbridge models match")
    assert found.upgrade == "does not fit: needs 1.4 GB, has 250 MB; 1.2 GB more memory, or a smaller model"


def test_a_bot_that_runs_changes_nothing_of_the_answer() -> None:
    """What it holds is free for the one that is started in its place, with this model or another."""
    busy = replace(SERVER, memory=replace(SERVER.memory, available_bytes=GB))
    assert row("Memory (RAM)", examined(busy, SEVEN_B)).status is UPGRADE
    beside = replace(busy, memory=replace(busy.memory, bot_bytes=19 * GB))
    found = row("Memory (RAM)", examined(beside, SEVEN_B, running_model="a-model"))
    assert found.found == "20.0 GB free of 24.0 GB, counting the 19.0 GB of the running bot"
    alone = row("Memory (RAM)", examined(SERVER, SEVEN_B))
    assert (found.status, found.needed, found.upgrade) == (alone.status, alone.needed, alone.upgrade)
    too_large = [row("Memory (RAM)", examined(machine, model(19))) for machine in (beside, SERVER)]
    assert too_large[0].upgrade == too_large[1].upgrade
    assert too_large[0].status is UPGRADE


def test_a_model_of_unknown_size_is_not_guessed_at() -> None:
    unknown = model(0, need=None, fetch_bytes=None, state=ModelState.MISSING)
    for component in ("Memory (RAM)", "Disk"):
        found = row(component, examined(SERVER, unknown))
        assert (found.status, found.how) == (UNKNOWN, "botbridge models pull a-model")


def test_a_model_elsewhere_takes_the_memory_of_the_service_alone() -> None:
    remote = replace(SMALL, state=ModelState.REMOTE, need=None, has_gguf=False)
    found = examined(RELIC, remote, engines=Engines("remote", {"remote"}, ("remote",)))
    assert [row(component, found).status for component in ("Memory (RAM)", "Model", "Engines")] == [OK, OK, OK]


def test_disk_is_judged_by_what_is_still_to_come() -> None:
    """1 GB is enough for a model that is here, and for a small one; the study asked for 40."""
    assert row("Disk", examined(FULL_DISK, SEVEN_B)).status is OK
    assert row("Disk", examined(FULL_DISK, model(0.1, fetch_gb=0.55))).status is OK
    found = row("Disk", examined(FULL_DISK, model(4.4, fetch_gb=4.4)))
    assert (found.status, found.upgrade) == (UPGRADE, "3.6 GB more disk, or a smaller model")
    assert found.needed == "4.6 GB: 4.4 GB for the model, 200 MB for database and backups"


def test_a_disk_that_cannot_be_asked_is_unknown() -> None:
    assert row("Disk", examined(replace(SERVER, disk_free_bytes=None))).status is UNKNOWN


@pytest.mark.parametrize(
    ("machine", "status", "how"),
    [
        (SERVER, OK, ""),
        (MAC, OK, ""),
        (WSL2, OK, ""),
        (WSL1, UPGRADE, "wsl --set-version"),
        (WINDOWS, UPGRADE, "wsl --install"),
        (replace(SERVER, system="FreeBSD"), UNKNOWN, ""),
    ],
)
def test_the_system_is_linux_wsl2_or_macos(machine: MachineFacts, status: Status, how: str) -> None:
    found = row("Operating system", examined(machine))
    assert found.status is status
    assert how in found.how


def test_windows_is_told_of_wsl_though_nothing_else_can_be_looked_at_there() -> None:
    rows = judge(Examined(WINDOWS))
    assert [row.component for row in rows if row.status is UPGRADE] == ["Operating system"]
    assert not is_ready(rows)


def test_each_set_of_instructions_is_judged_on_the_processors_that_have_it() -> None:
    assert statuses(examined(LAPTOP), OPTIONAL) == ["CPU: AVX-512", "CPU: VNNI", "CPU: BF16", "CPU: AMX"]
    components = [row.component for row in judge(examined(MAC)) if row.component.startswith("CPU")]
    assert components == ["CPU: NEON", "CPU: dot product", "CPU: I8MM", "CPU: BF16"]
    strange = replace(SERVER, processor=replace(SERVER.processor, architecture="riscv64"))
    assert row("CPU", examined(strange)).status is UNKNOWN
    silent = replace(SERVER, processor=replace(SERVER.processor, flags=frozenset()))
    assert row("CPU: AVX2", examined(silent)).status is UNKNOWN


def test_an_engine_that_needs_instructions_is_told_from_one_that_is_only_slower_without() -> None:
    openvino = Engines("openvino", {"openvino"}, ("openvino",))
    assert row("CPU: SSE4.2", examined(RELIC, engines=openvino)).status is UPGRADE
    assert row("CPU: SSE4.2", examined(RELIC)).status is OPTIONAL
    assert row("CPU: AVX2", examined(RELIC, engines=openvino)).status is OPTIONAL


def test_cores_show_what_the_control_group_grants() -> None:
    half = replace(SERVER, processor=replace(SERVER.processor, usable_cores=1, limit_cores=0.5))
    found = row("Cores", examined(half))
    assert found.found == "1 usable of 8 (16 threads); the control group grants 0.5"
    assert found.status is OPTIONAL
    two = replace(SERVER, processor=replace(SERVER.processor, usable_cores=2, limit_cores=2.0))
    assert row("Cores", examined(two)).status is OK


def test_compilers_are_needed_by_who_wants_what_they_make() -> None:
    """Nobody else; where the engine is here already, nothing is to be compiled."""
    bare = replace(SERVER, tools=replace(SERVER.tools, c_compiler=None, cxx_compiler=None, make=None, cmake=None))
    openvino = Engines("auto", {"openvino"}, ("openvino",))
    found = row("C/C++ compiler", examined(bare, engines=openvino))
    assert (found.status, found.how) == (OPTIONAL, "sudo apt-get install g++")
    wanted = Engines("llamacpp", {"openvino"}, ())
    assert row("C/C++ compiler", examined(bare, engines=wanted)).status is UPGRADE
    assert row("C/C++ compiler", examined(bare)).status is OK
    assert row("C/C++ compiler", examined(MAC, engines=openvino)).how == "xcode-select --install"
    assert row("make", examined(bare)).how == "sudo apt-get install make"
    assert row("cmake", examined(bare)).status is OK


def test_an_old_python_is_refused() -> None:
    assert row("Python", examined(replace(SERVER, python="3.10.12"))).status is UPGRADE
    assert row("Python", examined(replace(SERVER, python="3.14.0"))).status is OK


def test_what_is_known_against_sqlite_is_told_and_stops_nobody() -> None:
    assert row("SQLite", examined(sqlite_note="can damage")).status is OPTIONAL
    assert is_ready(judge(examined(sqlite_note="can damage")))


def test_a_torch_for_cuda_without_a_gpu_is_told() -> None:
    cuda = replace(SERVER, torch=TorchBuild("2.13.0+cu128", "12.8"))
    found = row("torch", examined(cuda))
    assert found.status is OPTIONAL
    assert "torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu" in found.how
    assert row("torch", examined(replace(cuda, has_cuda_device=True))).status is OK


def test_torch_is_missed_by_the_engine_that_computes_with_it() -> None:
    bare = replace(SERVER, torch=None)
    assert row("torch", examined(bare)).status is OPTIONAL
    assert row("torch", examined(bare, engines=Engines("transformers", set(), ()))).status is UPGRADE


ALL = {"llamacpp", "openvino", "transformers"}
ANY_ENGINE = "echo BOTBRIDGE_INFERENCE__ENGINE=auto >> .env"
ANY_DEVICE = "echo BOTBRIDGE_INFERENCE__DEVICE=auto >> .env"


def unserved(
    wanted: str, installed: set[str], *, has_gguf: bool = False, device: str = "auto", computing: set[str] = ALL
) -> Engines:
    """None computes a model that is here as a GGUF or as safetensors."""
    why = why_unserved(
        wanted, installed, has_gguf=has_gguf, has_safetensors=not has_gguf, device=device, computing=computing
    )
    assert why is not None
    return Engines(wanted, installed, (), device=device, unserved=why)


@pytest.mark.parametrize(
    ("engines", "status", "how"),
    [
        (ALL_ENGINES, OK, ""),
        (Engines("auto", {"openvino"}, ("openvino",), faster="llamacpp"), OPTIONAL, "make native"),
        (Engines("auto", {"transformers"}, ("transformers",)), OK, ""),
        (Engines("openvino", {"openvino"}, ("openvino",)), OK, ""),
        (replace(ALL_ENGINES, measured_otherwise=True), OPTIONAL, "botbridge bench"),
        (unserved("auto", {"transformers"}, has_gguf=True), UPGRADE, "make native"),
        (unserved("auto", {"transformers"}, has_gguf=True, computing={"openvino"}), UPGRADE, "make setup"),
        (unserved("auto", ALL, computing=set()), UPGRADE, "botbridge models match"),
        (unserved("llamacpp", {"openvino"}, has_gguf=True), UPGRADE, "make native"),
        (unserved("transformers", {"transformers"}, has_gguf=True), UPGRADE, f"{ANY_ENGINE} && make native"),
        (unserved("transformers", {"openvino"}, has_gguf=True), UPGRADE, ANY_ENGINE),
        (unserved("auto", ALL, has_gguf=True, device="cuda"), UPGRADE, ANY_DEVICE),
        (unserved("openvino", ALL, has_gguf=True, device="cuda"), UPGRADE, ANY_DEVICE),
        (
            unserved("openvino", ALL, has_gguf=True, device="cuda", computing={"llamacpp"}),
            UPGRADE,
            f"{ANY_ENGINE} && {ANY_DEVICE}",
        ),
        (Engines("auto", ALL, ()), UNKNOWN, ""),
    ],
)
def test_an_engine_is_here_that_computes_the_model(engines: Engines, status: Status, how: str) -> None:
    found = row("Engines", examined(engines=engines))
    assert (found.status, found.how) == (status, how)


@pytest.mark.parametrize("chosen", [SMALL, replace(SMALL, state=ModelState.NONE, need=None)])
def test_each_engine_that_is_not_installed_is_named_with_its_command(chosen: ChosenModel) -> None:
    """With nothing but the base dependencies, whatever serves; of one that is here no command is told."""
    found = row("Engines", examined(chosen=chosen, engines=Engines("auto", {"transformers"}, ("transformers",)))).found
    assert found == (
        "transformers; not installed: llamacpp (`make native`), openvino (`make setup`), "
        "remote (`.venv/bin/pip install -c constraints.txt -e '.[remote]'`); taken: transformers"
    )
    every = Engines("auto", ALL | {"remote"}, ("llamacpp",))
    assert row("Engines", examined(engines=every)).found.endswith("transformers; taken: llamacpp")


@pytest.mark.parametrize(
    ("cuda", "has_gpu", "status"),
    [(None, False, UPGRADE), (None, True, UPGRADE), ("13.0", False, UPGRADE), ("13.0", True, OK)],
)
def test_cuda_that_is_asked_for_and_is_not_here_stops_a_start(cuda: str | None, has_gpu: bool, status: Status) -> None:
    machine = replace(SERVER, torch=TorchBuild("2.13.0", cuda), has_cuda_device=has_gpu)
    found = row("torch", examined(machine, engines=replace(ALL_ENGINES, device="cuda")))
    assert found.status is status
    assert found.how == ("" if status is OK else "echo BOTBRIDGE_INFERENCE__DEVICE=auto >> .env")


def test_an_engine_that_is_tried_first_and_does_not_fit_is_told_with_what_keeps_it_from_being_tried() -> None:
    assert SEVEN_B.need is not None
    twice = replace(SEVEN_B.need, engine="openvino", weights_bytes=2 * SEVEN_B.need.weights_bytes)
    engines = replace(ALL_ENGINES, passed_over=twice)
    machine = replace(SERVER, memory=replace(SERVER.memory, available_bytes=8 * GB))
    found = row("Memory (RAM)", examined(machine, SEVEN_B, engines=engines))
    assert found.status is OPTIONAL
    assert found.upgrade == (
        "with openvino, which is tried first, it does not fit: needs 10.1 GB, has 8.0 GB; it fits with llamacpp"
    )
    assert found.how == "echo BOTBRIDGE_INFERENCE__ENGINE=llamacpp >> .env"


def test_the_model_is_here_or_the_command_that_fetches_it_is_told() -> None:
    missing = model(0.1, fetch_gb=0.1)
    found = row("Model", examined(SERVER, missing))
    assert (found.status, found.how) == (UPGRADE, "botbridge models pull a-model")
    assert row("Model", examined(SERVER, replace(missing, comes_unasked=True))).status is OPTIONAL
    damaged = row("Model", examined(SERVER, replace(SMALL, state=ModelState.DAMAGED)))
    assert (damaged.status, damaged.how) == (UPGRADE, "botbridge models pull a-model")


def test_a_licence_that_nobody_looked_at_is_unknown_and_the_verdict_of_who_did_is_shown() -> None:
    found = row("Licence", examined(licence=None))
    assert (found.found, found.status) == ("not checked", UNKNOWN)
    refused = Licence("OPT-175B: not allowed", UPGRADE, "another model", "botbridge models match --use saas")
    shown = row("Licence", examined(licence=refused))
    assert (shown.found, shown.status, shown.how) == (refused.found, UPGRADE, refused.how)


def test_one_model_server_that_can_be_asked_is_enough() -> None:
    lost, found = ServerFacts("http://a/v1", "m", "http://a/v1 cannot be reached"), ServerFacts("http://b/v1", "m")
    alone, beside = examined(servers=[lost]), examined(servers=[lost, found])
    assert (statuses(alone, UPGRADE), statuses(beside, UPGRADE)) == (["Model server"], [])
    assert statuses(beside, OPTIONAL) == ["Model server"]
    assert row("Model server", examined(servers=[found])).found == "http://b/v1 has m"


def test_a_data_directory_in_which_no_start_succeeds_is_not_ready() -> None:
    found = row("Data directory", examined(home=HomeFacts(Path("/srv/x"), "/srv is no directory")))
    assert (found.status, found.found) == (UPGRADE, "/srv/x: /srv is no directory")
    assert found.how.startswith("echo BOTBRIDGE_HOME=")


def test_a_database_is_new_of_this_version_older_or_unusable() -> None:
    assert row("Database", examined(database=replace(SOUND, revision=None))).status is OK
    older = row("Database", examined(database=replace(SOUND, revision="0002")))
    assert (older.status, older.how) == (OPTIONAL, "botbridge db upgrade")
    broken = row("Database", examined(database=replace(SOUND, obstacle="it is damaged")))
    assert (broken.status, broken.upgrade) == (UPGRADE, "it is damaged")


def test_a_port_is_only_needed_for_a_webhook_and_must_be_free_then() -> None:
    assert row("Port", examined()).found == "none is opened"
    assert row("Port", examined(webhook=PortFacts("127.0.0.1", 8080))).status is OK
    taken = PortFacts("127.0.0.1", 8080, "Address already in use")
    assert row("Port", examined(webhook=taken)).status is UPGRADE
    assert row("Port", examined(webhook=taken, running_model="a-model")).status is OK


@pytest.mark.parametrize(("ahead_s", "status"), [(0.7, OK), (-59.0, OK), (61.0, UPGRADE), (-3600.0, UPGRADE)])
def test_the_clock_is_held_against_what_a_platform_says(ahead_s: float, status: Status) -> None:
    """The platform that differs most counts."""
    account = Account("@bot", reads_everything=False, clock_ahead_s=ahead_s)
    other = Account("bot#1", reads_everything=False, clock_ahead_s=0.1)
    assert row("Clock", examined(telegram=account, discord=other)).status is status


def test_the_clock_is_set_by_the_command_of_the_system() -> None:
    late = Account("@bot", reads_everything=False, clock_ahead_s=-300)
    commands = {machine.release: row("Clock", examined(machine, telegram=late)).how for machine in (SERVER, WSL2, MAC)}
    assert [how.split()[1] for how in commands.values()] == ["timedatectl", "hwclock", "sntp"]


def test_where_nobody_tells_the_time_it_is_unknown() -> None:
    assert row("Clock", examined(telegram=None, discord=Unanswered("no network"))).status is UNKNOWN


@pytest.mark.parametrize("component", ["Telegram", "Discord"])
def test_a_platform_without_token_is_off_one_that_refuses_it_is_wrong_one_that_is_silent_is_unknown(
    component: str,
) -> None:
    def status(account: Unanswered | None) -> Status:
        return row(component, examined(**{component.lower(): account})).status

    assert status(None) is OPTIONAL
    assert status(Unanswered("not this token", is_refused=True)) is UPGRADE
    assert status(Unanswered("no network")) is UNKNOWN


def test_telegrams_privacy_mode_is_told() -> None:
    assert row("Telegram privacy mode", examined()).found.startswith("on: ")
    open_bot = Account("@bot", reads_everything=True)
    found = row("Telegram privacy mode", examined(telegram=open_bot))
    assert found.status is OPTIONAL
    assert "/setprivacy" in found.how
    alone = Account("@bot", reads_everything=False, joins_groups=False)
    assert "/setjoingroups" in row("Telegram privacy mode", examined(telegram=alone)).how


@pytest.mark.parametrize(
    ("wanted", "granted", "status"), [(False, False, OK), (False, True, OK), (True, True, OK), (True, False, UPGRADE)]
)
def test_discords_privileged_intent_is_needed_by_who_asks_for_it(wanted: bool, granted: bool, status: Status) -> None:
    account = Account("bot#1", reads_everything=granted)
    assert row("Discord intents", examined(discord=account, wants_message_content=wanted)).status is status
