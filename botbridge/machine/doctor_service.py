"""Judges what the bot keeps and whom it speaks to: model, licence, database, port, clock, Telegram, Discord."""

from __future__ import annotations

from typing import Final

from botbridge.accounts import Account, Unanswered
from botbridge.machine.doctor_facts import ChosenModel, Examined, Licence, ModelState, Row, Status

CLOCK_TOLERANCE_S: Final = 60.0
"""Our own bound: certificates and the 30 minutes after which a message on Discord is too old go by the clock."""

NO_NETWORK: Final = "try again with a network"

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
        return Row("Model", "not looked at", "a model", Status.UNKNOWN)
    found, needed = f"{chosen.name}: {chosen.detail}", "here, every file as it was pulled"
    match chosen.state:
        case ModelState.MISSING if chosen.comes_unasked:
            how = f"botbridge run, or {chosen.pull_command}"
            return Row("Model", found, needed, Status.OPTIONAL, "it is fetched at the first start", how)
        case ModelState.MISSING:
            return Row("Model", found, needed, Status.UPGRADE, "fetch it", chosen.pull_command)
        case ModelState.DAMAGED:
            return Row("Model", found, needed, Status.UPGRADE, "fetch it again", chosen.pull_command)
        case ModelState.HERE:
            return Row("Model", found, needed)
        case ModelState.REMOTE | ModelState.NONE:
            return Row("Model", found, "nothing on this machine")


def licence(examined: Examined) -> Row:
    """Show what was found of the licence; nobody looked unless somebody says so."""
    needed = "one that allows the use in question, accepted where it wants that"
    match examined.licence, examined.model:
        case Licence(found, status, upgrade, how), _:
            return Row("Licence", found, needed, status, upgrade, how)
        case None, ChosenModel(name=name, state=ModelState.HERE | ModelState.MISSING | ModelState.DAMAGED):
            how = f"botbridge models licence {name}"
            return Row("Licence", "not checked", needed, Status.UNKNOWN, "look at it", how)
        case _:
            return Row("Licence", "not checked", "that of whoever runs the model", Status.UNKNOWN)


def database(examined: Examined) -> Row:
    """Judge the database: sound, and of a schema that this version can use."""
    facts = examined.database
    if facts is None:
        return Row("Database", "not looked at", "a file of ours", Status.UNKNOWN)
    needed = f"sound, schema {facts.head}"
    if facts.obstacle:
        how = "botbridge db check; a backup comes back with: botbridge db restore FILE"
        return Row("Database", str(facts.path), needed, Status.UPGRADE, facts.obstacle, how)
    if facts.revision is None:
        return Row("Database", f"{facts.path}: none yet, the first start makes it", needed)
    found = f"{facts.path}: sound, schema {facts.revision}"
    if facts.revision == facts.head:
        return Row("Database", found, needed)
    upgrade = f"schema {facts.head}; the next start brings it there after a backup"
    return Row("Database", found, needed, Status.OPTIONAL, upgrade, "botbridge db upgrade")


def port(examined: Examined) -> Row:
    """Judge the port of the webhook; polling needs none."""
    hook = examined.webhook
    if hook is None:
        return Row("Port", "none is opened", "only with TELEGRAM__MODE=webhook")
    place, needed = f"{hook.host}:{hook.port}", "free, for Telegram's deliveries"
    if examined.running_model is not None:
        return Row("Port", f"{place}: the running bot has it" if hook.obstacle else f"{place}: free", needed)
    if hook.obstacle:
        how = "echo BOTBRIDGE_WEB__PORT=8081 >> .env, and tell the proxy"
        return Row("Port", f"{place}: {hook.obstacle}", needed, Status.UPGRADE, "a free port", how)
    return Row("Port", f"{place}: free", needed)


def clock(examined: Examined) -> Row:
    """Judge this machine's clock by what the platforms say of the time."""
    told = {
        name: account.clock_ahead_s
        for name, account in (("Telegram", examined.telegram), ("Discord", examined.discord))
        if isinstance(account, Account) and account.clock_ahead_s is not None
    }
    needed = f"right within {CLOCK_TOLERANCE_S:.0f} s"
    if not told:
        return Row("Clock", "nobody told the time", needed, Status.UNKNOWN, "", "set a token, and have a network")
    name, ahead_s = max(told.items(), key=lambda one: abs(one[1]))
    found = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s >= 0 else 'behind'} {name}"
    if abs(ahead_s) <= CLOCK_TOLERANCE_S:
        return Row("Clock", found, needed)
    machine = examined.machine
    how = SET_CLOCK_WSL if machine.wsl else SET_CLOCK.get(machine.system, "set the clock by a time server")
    return Row("Clock", found, needed, Status.UPGRADE, "the right time", how)


def telegram(examined: Examined) -> list[Row]:
    """Judge token and privacy mode."""
    needed = "a token that Telegram knows"
    match examined.telegram:
        case None:
            how = "echo BOTBRIDGE_TELEGRAM__TOKEN=... >> .env, with the token of @BotFather's /newbot"
            return [Row("Telegram", "off: no token", needed, Status.OPTIONAL, "a token", how)]
        case Unanswered(reason, True):
            how = "take the token that @BotFather shows with /mybots into BOTBRIDGE_TELEGRAM__TOKEN"
            return [Row("Telegram", reason, needed, Status.UPGRADE, "the right token", how)]
        case Unanswered(reason, _):
            return [Row("Telegram", reason, needed, Status.UNKNOWN, "Telegram could not be asked", NO_NETWORK)]
        case Account() as account:
            return [Row("Telegram", account.name, needed), _privacy(account)]


def _privacy(account: Account) -> Row:
    component, needed = "Telegram privacy mode", "either: what is meant for the bot comes in both"
    if not account.joins_groups:
        found, how = "the bot cannot be added to groups", "@BotFather: /setjoingroups"
        return Row(component, found, needed, Status.OPTIONAL, "only for groups", how)
    if account.reads_everything:
        found = "off: Telegram sends every message of a group; only those meant for the bot are read"
        how = "@BotFather: /setprivacy; then remove the bot from its groups and add it again"
        return Row(component, found, needed, Status.OPTIONAL, "on, so that Telegram sends less", how)
    return Row(component, "on: commands, replies to the bot and mentions of it come", needed)


def discord(examined: Examined) -> list[Row]:
    """Judge token and intents."""
    needed = "a token that Discord knows"
    match examined.discord:
        case None:
            how = f"echo BOTBRIDGE_DISCORD__TOKEN=... >> .env, with the bot token of {PORTAL}"
            return [Row("Discord", "off: no token", needed, Status.OPTIONAL, "a token", how)]
        case Unanswered(reason, True):
            how = f"reset the token on the Bot page of {PORTAL}, and put it into BOTBRIDGE_DISCORD__TOKEN"
            return [Row("Discord", reason, needed, Status.UPGRADE, "the right token", how)]
        case Unanswered(reason, _):
            return [Row("Discord", reason, needed, Status.UNKNOWN, "Discord could not be asked", NO_NETWORK)]
        case Account() as account:
            return [Row("Discord", account.name, needed), _intents(account, wanted=examined.wants_message_content)]


def _intents(account: Account, *, wanted: bool) -> Row:
    component = "Discord intents"
    found = f"Message Content is {'granted' if account.reads_everything else 'not granted'}"
    if not wanted:
        return Row(component, found, "none that is privileged: mentions, replies with a ping and private messages")
    needed = "Message Content, because DISCORD__MESSAGE_CONTENT is on"
    if account.reads_everything:
        return Row(component, found, needed)
    how = f"switch on Message Content Intent on the Bot page of {PORTAL}, or unset BOTBRIDGE_DISCORD__MESSAGE_CONTENT"
    return Row(component, found, needed, Status.UPGRADE, "the intent", how)
