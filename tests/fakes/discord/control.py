"""What a test does on the fake Discord: people who write, admins, disturbances, and the ledger to read.

JSON in, JSON out, under /control; `client.FakeDiscord` is the way to call it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.fakes.discord import payloads
from tests.fakes.discord.faults import Fault, Faults
from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.ledger import Ledger
from tests.fakes.discord.world import MESSAGE, Channel, Guild, Json, Message, User, World, iso_now

USER_OPTION = 6


class Control:
    """The test's side of the server."""

    def __init__(self, world: World, gateway: Gateway, ledger: Ledger, faults: Faults) -> None:
        self._world = world
        self._gateway = gateway
        self._ledger = ledger
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Everything a test may do."""
        return [
            web.get("/control/bot", self._bot),
            web.post("/control/person", self._person),
            web.post("/control/say", self._say),
            web.post("/control/slash", self._slash),
            web.post("/control/delete", self._delete),
            web.post("/control/archive", self._archive),
            web.post("/control/dispatch", self._dispatch),
            web.post("/control/faults", self._plan),
            web.post("/control/gateway", self._upset),
            web.post("/control/clock", self._advance),
            web.get("/control/ledger", self._read),
        ]

    async def _bot(self, request: web.Request) -> web.Response:
        bot = self._world.bot
        return web.json_response({"user_id": bot.id, "application_id": self._world.application_id})

    async def _person(self, request: web.Request) -> web.Response:
        """Bring somebody into a server, and make them its manager or not."""
        wanted = await request.json()
        person = self._world.person(wanted["name"], shown=wanted.get("shown"), bot=wanted.get("bot", False))
        guild = await self._guild(wanted.get("guild", "harbour"))
        guild.members[person.id] = person
        if "manager" in wanted:
            change = guild.managers.add if wanted["manager"] else guild.managers.discard
            change(person.id)
        return web.json_response({"user_id": person.id})

    async def _say(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        author, place = await self._author_and_place(wanted)
        text = str(wanted["text"])
        replied = self._world.messages.get(wanted["reply_to"]) if wanted.get("reply_to") else None
        if wanted.get("mention"):
            text = f"<@{self._world.bot.id}> {text}"
        if wanted.get("mention_role"):
            text = f"<@&{self._world.guilds[place.guild_id or ''].bot_role_id}> {text}"
        rung = (replied.author,) if replied is not None and wanted.get("ping", True) else ()
        posted = self._world.post(
            place,
            author,
            text,
            reply_to=replied,
            mentions=rung,
            type=int(wanted.get("type", MESSAGE)),
            attachments=int(wanted.get("attachments", 0)),
            ago_s=float(wanted.get("ago_s", 0.0)),
            edited=iso_now() if wanted.get("edited") is True else wanted.get("edited"),
            webhook_id=self._world.next_id() if wanted.get("webhook") else None,
        )
        self._ledger.add("said", message_id=posted.id, channel_id=place.id, user_id=author.id, content=text)
        await self._announce(posted)
        return web.json_response({"message_id": posted.id, "channel_id": place.id, "user_id": author.id})

    async def _slash(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        author, place = await self._author_and_place(wanted)
        command = next((one for one in self._world.commands if one["name"] == wanted["command"]), None)
        if command is None:
            raise web.HTTPConflict(text=f"/{wanted['command']} is not registered")
        used = self._world.interaction(author, place)
        data = self._command_data(command, wanted.get("options", {}), place)
        self._ledger.add(
            "slash", interaction_id=used.id, channel_id=place.id, user_id=author.id, command=command["name"]
        )
        payload = payloads.interaction(used, self._world, data, wanted.get("locale", "en-US"))
        await self._gateway.dispatch("INTERACTION_CREATE", payload)
        return web.json_response({"interaction_id": used.id, "channel_id": place.id, "user_id": author.id})

    def _command_data(self, command: Json, options: Json, place: Channel) -> Json:
        known = {option["name"]: option for option in command.get("options", [])}
        given, people, members = [], {}, {}
        for name, chosen in options.items():
            value = chosen
            if name not in known:
                raise web.HTTPConflict(text=f"/{command['name']} has no option {name}")
            if known[name]["type"] == USER_OPTION:
                person = self._world.person(str(chosen))
                value = person.id
                people[person.id] = payloads.user(person)
                if place.guild_id is not None and person.id in (guild := self._world.guilds[place.guild_id]).members:
                    members[person.id] = payloads.member(guild, person, with_user=False) | {"permissions": "0"}
            choices = [choice["value"] for choice in known[name].get("choices", [])]
            if choices and value not in choices:
                raise web.HTTPConflict(text=f"{value!r} is no choice of {name}")
            given.append({"name": name, "type": known[name]["type"], "value": value})
        data: Json = {"id": command["id"], "name": command["name"], "type": 1, "options": given}
        return data | ({"resolved": {"users": people, "members": members}} if people else {})

    async def _delete(self, request: web.Request) -> web.Response:
        """Take a message away, as its author or a moderator can."""
        posted = self._world.messages.pop(str((await request.json())["message_id"]))
        event: Json = {"id": posted.id, "channel_id": posted.channel.id}
        if posted.channel.guild_id is not None:
            event["guild_id"] = posted.channel.guild_id
        await self._gateway.dispatch("MESSAGE_DELETE", event)
        return web.json_response({})

    async def _archive(self, request: web.Request) -> web.Response:
        """Put a thread aside, as its age or a moderator does."""
        wanted = await request.json()
        thread = self._world.channels[str(wanted["thread_id"])]
        thread.archived, thread.locked = True, bool(wanted["locked"])
        await self._gateway.dispatch("THREAD_UPDATE", payloads.channel(thread))
        return web.json_response({})

    async def _dispatch(self, request: web.Request) -> web.Response:
        """Send an event as it is given, e.g. one that Discord never would."""
        wanted = await request.json()
        await self._gateway.dispatch_as_given(wanted["event"], wanted["data"])
        return web.json_response({})

    async def _plan(self, request: web.Request) -> web.Response:
        wanted = await request.json() if request.can_read_body else None
        if wanted is None:
            self._faults.clear()
        else:
            self._faults.plan(Fault(**wanted))
        return web.json_response({})

    async def _upset(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        if (interval_ms := wanted.get("heartbeat_interval_ms")) is not None:
            self._gateway.heartbeat_interval_ms = int(interval_ms)
        if (after_s := wanted.get("guilds_after_s")) is not None:
            self._gateway.guilds_after_s = float(after_s)
        if wanted.get("how"):
            await self._gateway.upset(wanted["how"], int(wanted.get("code", 4000)))
        return web.json_response({})

    async def _advance(self, request: web.Request) -> web.Response:
        self._world.clock.advance(float((await request.json())["advance_s"]))
        return web.json_response({})

    async def _read(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        timeout_s = float(request.query.get("timeout_s", 0))
        return web.json_response(await self._ledger.after(after, timeout_s))

    async def _author_and_place(self, wanted: Json) -> tuple[User, Channel]:
        author = self._world.person(str(wanted["person"]), bot=bool(wanted.get("bot", False)))
        if wanted.get("direct"):
            return author, self._world.direct(author)
        guild = await self._guild(wanted.get("guild", "harbour"))
        guild.members[author.id] = author
        place, is_new = self._world.channel(wanted.get("channel", "general"), guild)
        if is_new:
            await self._gateway.dispatch("CHANNEL_CREATE", payloads.channel(place))
        if wanted.get("thread"):
            place, is_new = self._world.thread(wanted["thread"], place, guild)
            if is_new and not wanted.get("hidden_thread"):
                await self._gateway.dispatch("THREAD_CREATE", payloads.channel(place))
        return author, place

    async def _guild(self, name: str) -> Guild:
        guild, is_new = self._world.guild(name)
        if is_new:
            self._world.channel("general", guild)
            await self._gateway.dispatch("GUILD_CREATE", payloads.guild_create(guild, self._world))
        return guild

    async def _announce(self, posted: Message) -> None:
        payload: dict[str, Any] = payloads.message(posted)
        if posted.channel.guild_id is not None:
            guild = self._world.guilds[posted.channel.guild_id]
            payload["guild_id"] = guild.id
            if posted.webhook_id is None:
                payload["member"] = payloads.member(guild, posted.author, with_user=False)
        await self._gateway.dispatch("MESSAGE_CREATE", payload)
