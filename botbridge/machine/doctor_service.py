"""Judges what the bot keeps and whom it speaks to: model, licence, home, database, port, clock, Telegram, Discord."""

from __future__ import annotations

from typing import Final

from botbridge.accounts import Account, Unanswered
from botbridge.machine.doctor_facts import OTHER_MODELS, ChosenModel, Examined, Licence, ModelState, Row, Status
from botbridge.sentences import Sentence

CLOCK_TOLERANCE_S: Final = 60.0
"""Our own bound: certificates and the 30 minutes after which a message on Discord is too old go by the clock."""

NO_NETWORK: Final = Sentence("try again with a network")

MODEL: Final = Sentence("Model")
LICENCE: Final = Sentence("Licence")
SERVER: Final = Sentence("Model server")
HOME: Final = Sentence("Data directory")
DATABASE: Final = Sentence("Database")
PORT: Final = Sentence("Port")
CLOCK: Final = Sentence("Clock")
NO_TOKEN: Final = Sentence("off: no token")

SET_CLOCK: Final = {
    "Linux": "sudo timedatectl set-ntp true",
    "Darwin": "sudo sntp -sS time.apple.com",
}
SET_CLOCK_WSL: Final = "sudo hwclock --hctosys"

PORTAL: Final = "https://discord.com/developers/applications"


def model(examined: Examined) -> Row:
    """Judge whether the model is here and is what was pulled."""
    chosen = examined.model
    if chosen is None:
        return Row(MODEL, Sentence("not looked at"), Sentence("a model"), Status.UNKNOWN)
    # That a model is missing is said with its name or path.
    is_missing = chosen.state is ModelState.MISSING
    found = chosen.detail if is_missing else Sentence("{model}: {detail}", model=chosen.name, detail=chosen.detail)
    needed, other = Sentence("here, every file as it was pulled"), Sentence("another model")
    match chosen.state:
        case ModelState.MISSING if chosen.comes_unasked:
            how = Sentence("{command}, or {other}", command="botbridge run", other=chosen.pull_command)
            return Row(MODEL, found, needed, Status.OPTIONAL, Sentence("it is fetched at the first start"), how)
        case ModelState.MISSING if not chosen.pull_command:
            upgrade = other if _needs_another(examined) else Sentence("what it lacks, or another model")
            return Row(MODEL, found, needed, Status.UPGRADE, upgrade, OTHER_MODELS)
        case ModelState.MISSING:
            return Row(MODEL, found, needed, Status.UPGRADE, Sentence("fetch it"), chosen.pull_command)
        case ModelState.DAMAGED if not chosen.pull_command:
            upgrade = other if _needs_another(examined) else Sentence("its files whole, or another model")
            return Row(MODEL, found, needed, Status.UPGRADE, upgrade, OTHER_MODELS)
        case ModelState.DAMAGED:
            return Row(MODEL, found, needed, Status.UPGRADE, Sentence("fetch it again"), chosen.pull_command)
        case ModelState.HERE:
            return Row(MODEL, found, needed)
        case ModelState.REMOTE | ModelState.NONE:
            return Row(MODEL, found, Sentence("nothing on this machine"))


def _needs_another(examined: Examined) -> bool:
    engines = examined.engines
    return engines is not None and engines.unserved is not None and not engines.unserved.command


def servers(examined: Examined) -> list[Row]:
    """Judge the servers elsewhere; one that can be asked is enough for a start."""
    needed = Sentence("a server that answers and has the model")
    lost = Status.OPTIONAL if any(not server.obstacle for server in examined.servers) else Status.UPGRADE
    rows = []
    for server in examined.servers:
        if not server.obstacle:
            rows.append(Row(SERVER, Sentence("{url} has {model}", url=server.url, model=server.model), needed))
            continue
        setting = "BOTBRIDGE_INFERENCE__"
        how = Sentence(
            "start it, or correct {url}, {key} or {model} in .env",
            url=f"{setting}REMOTE_URL",
            key=f"{setting}REMOTE_KEY",
            model=f"{setting}MODEL",
        )
        rows.append(Row(SERVER, server.obstacle, needed, lost, Sentence("a server that can be asked"), how))
    return rows


def licence(examined: Examined) -> Row:
    """Show what was found of the licence; nobody looked unless somebody says so."""
    needed = Sentence("one that allows the use in question, accepted where it wants that")
    match examined.licence, examined.model:
        case Licence(found, status, upgrade, how), _:
            return Row(LICENCE, found, needed, status, upgrade, how)
        case None, ChosenModel(name=name, state=ModelState.HERE | ModelState.MISSING | ModelState.DAMAGED):
            found, upgrade = Sentence("not checked"), Sentence("look at it")
            return Row(LICENCE, found, needed, Status.UNKNOWN, upgrade, f"botbridge models licence {name}")
        case _:
            return Row(LICENCE, Sentence("not checked"), Sentence("that of whoever runs the model"), Status.UNKNOWN)


def home(examined: Examined) -> Row:
    """Judge the directory of all that is kept: a start makes it, writes to it and listens in it."""
    facts = examined.home
    needed = Sentence("one that this user can make and write to, with a path that is not too long for a socket")
    if facts is None:
        return Row(HOME, Sentence("not looked at"), needed, Status.UNKNOWN)
    if not facts.obstacle:
        return Row(HOME, str(facts.path), needed)
    found = Sentence("{path}: {problem}", path=facts.path, problem=facts.obstacle)
    how = Sentence("{command}, and make it this user's", command="echo BOTBRIDGE_HOME=/path/to/directory >> .env")
    return Row(HOME, found, needed, Status.UPGRADE, Sentence("another directory, or the right to this one"), how)


def database(examined: Examined) -> Row:
    """Judge the database: sound, and of a schema that this version can use."""
    facts = examined.database
    if facts is None:
        return Row(DATABASE, Sentence("not looked at"), Sentence("a file of ours"), Status.UNKNOWN)
    needed = Sentence("sound, schema {schema}", schema=facts.head)
    if facts.obstacle:
        how = Sentence(
            "{command}; a backup comes back with: {other}",
            command="botbridge db check",
            other="botbridge db restore FILE",
        )
        return Row(DATABASE, str(facts.path), needed, Status.UPGRADE, facts.obstacle, how)
    if facts.revision is None:
        return Row(DATABASE, Sentence("{path}: none yet, the first start makes it", path=facts.path), needed)
    found = Sentence("{path}: sound, schema {schema}", path=facts.path, schema=facts.revision)
    if facts.revision == facts.head:
        return Row(DATABASE, found, needed)
    upgrade = Sentence("schema {schema}; the next start brings it there after a backup", schema=facts.head)
    return Row(DATABASE, found, needed, Status.OPTIONAL, upgrade, "botbridge db upgrade")


def port(examined: Examined) -> Row:
    """Judge the port of the webhook; polling needs none."""
    hook = examined.webhook
    if hook is None:
        return Row(PORT, Sentence("none is opened"), Sentence("only with {setting}", setting="TELEGRAM__MODE=webhook"))
    place, needed = f"{hook.host}:{hook.port}", Sentence("free, for Telegram's deliveries")
    if not hook.obstacle:
        return Row(PORT, Sentence("{place}: free", place=place), needed)
    if examined.running_model is not None:
        return Row(PORT, Sentence("{place}: the running bot has it", place=place), needed)
    how = Sentence("{command}, and tell the proxy", command="echo BOTBRIDGE_WEB__PORT=8081 >> .env")
    return Row(PORT, f"{place}: {hook.obstacle}", needed, Status.UPGRADE, Sentence("a free port"), how)


def clock(examined: Examined) -> Row:
    """Judge this machine's clock by what the platforms say of the time."""
    told = {
        name: account.clock_ahead_s
        for name, account in (("Telegram", examined.telegram), ("Discord", examined.discord))
        if isinstance(account, Account) and account.clock_ahead_s is not None
    }
    needed = Sentence("right within {seconds} s", seconds=f"{CLOCK_TOLERANCE_S:.0f}")
    if not told:
        has_token = examined.telegram is not None or examined.discord is not None
        lacking = Sentence("have a network") if has_token else Sentence("set a token, and have a network")
        found, how = Sentence("nobody told the time"), lacking
        return Row(CLOCK, found, needed, Status.UNKNOWN, "", how)
    name, ahead_s = max(told.items(), key=lambda one: abs(one[1]))
    apart = f"{abs(ahead_s):.0f}"
    if ahead_s >= 0:
        found = Sentence("{seconds} s ahead of {platform}", seconds=apart, platform=name)
    else:
        found = Sentence("{seconds} s behind {platform}", seconds=apart, platform=name)
    if abs(ahead_s) <= CLOCK_TOLERANCE_S:
        return Row(CLOCK, found, needed)
    machine = examined.machine
    by_hand = Sentence("set the clock by a time server")
    setting = SET_CLOCK_WSL if machine.wsl else SET_CLOCK.get(machine.system, by_hand)
    return Row(CLOCK, found, needed, Status.UPGRADE, Sentence("the right time"), setting)


def telegram(examined: Examined) -> list[Row]:
    """Judge token and privacy mode."""
    needed = Sentence("a token that Telegram knows")
    match examined.telegram:
        case None:
            command = "echo BOTBRIDGE_TELEGRAM__TOKEN=... >> .env"
            how = Sentence("{command}, with the token of @BotFather's /newbot", command=command)
            return [Row("Telegram", NO_TOKEN, needed, Status.OPTIONAL, Sentence("a token"), how)]
        case Unanswered(reason, True):
            how = Sentence("take the token that @BotFather shows with /mybots into BOTBRIDGE_TELEGRAM__TOKEN")
            return [Row("Telegram", reason, needed, Status.UPGRADE, Sentence("the right token"), how)]
        case Unanswered(reason, _):
            upgrade = Sentence("Telegram could not be asked")
            return [Row("Telegram", reason, needed, Status.UNKNOWN, upgrade, NO_NETWORK)]
        case Account() as account:
            return [Row("Telegram", account.name, needed), _privacy(account)]


def _privacy(account: Account) -> Row:
    component = Sentence("Telegram privacy mode")
    needed = Sentence("either: what is meant for the bot comes in both")
    if not account.joins_groups:
        found, upgrade = Sentence("the bot cannot be added to groups"), Sentence("only for groups")
        return Row(component, found, needed, Status.OPTIONAL, upgrade, "@BotFather: /setjoingroups")
    if account.reads_everything:
        found = Sentence("off: Telegram sends every message of a group; only those meant for the bot are read")
        upgrade = Sentence("on, so that Telegram sends less")
        how = Sentence("@BotFather: /setprivacy; then remove the bot from its groups and add it again")
        return Row(component, found, needed, Status.OPTIONAL, upgrade, how)
    return Row(component, Sentence("on: commands, replies to the bot and mentions of it come"), needed)


def discord(examined: Examined) -> list[Row]:
    """Judge token and intents."""
    needed = Sentence("a token that Discord knows")
    match examined.discord:
        case None:
            command = "echo BOTBRIDGE_DISCORD__TOKEN=... >> .env"
            how = Sentence("{command}, with the bot token of {portal}", command=command, portal=PORTAL)
            return [Row("Discord", NO_TOKEN, needed, Status.OPTIONAL, Sentence("a token"), how)]
        case Unanswered(reason, True):
            how = Sentence(
                "reset the token on the Bot page of {portal}, and put it into BOTBRIDGE_DISCORD__TOKEN", portal=PORTAL
            )
            return [Row("Discord", reason, needed, Status.UPGRADE, Sentence("the right token"), how)]
        case Unanswered(reason, _):
            upgrade = Sentence("Discord could not be asked")
            return [Row("Discord", reason, needed, Status.UNKNOWN, upgrade, NO_NETWORK)]
        case Account() as account:
            return [Row("Discord", account.name, needed), _intents(account, wanted=examined.wants_message_content)]


def _intents(account: Account, *, wanted: bool) -> Row:
    component = Sentence("Discord intents")
    if account.reads_everything:
        found = Sentence("Message Content is granted")
    else:
        found = Sentence("Message Content is not granted")
    if not wanted:
        needed = Sentence("none that is privileged: mentions, replies with a ping and private messages")
        return Row(component, found, needed)
    needed = Sentence("Message Content, because DISCORD__MESSAGE_CONTENT is on")
    if account.reads_everything:
        return Row(component, found, needed)
    how = Sentence(
        "switch on Message Content Intent on the Bot page of {portal}, or unset BOTBRIDGE_DISCORD__MESSAGE_CONTENT",
        portal=PORTAL,
    )
    return Row(component, found, needed, Status.UPGRADE, Sentence("the intent"), how)
