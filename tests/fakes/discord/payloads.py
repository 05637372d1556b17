"""How Discord writes the things of the world as JSON.

Source: https://discord.com/developers/docs/resources and discord.py 2.7.1,
whose parsers say which fields must be there.
"""

from __future__ import annotations

import re

from tests.fakes.discord.world import (
    DIRECT,
    EVERYDAY,
    MANAGE_SERVER,
    PUBLIC_THREAD,
    Channel,
    Guild,
    Interaction,
    Json,
    Message,
    User,
    World,
    iso_now,
)


def user(person: User) -> Json:
    """A user object."""
    return {
        "id": person.id,
        "username": person.username,
        "discriminator": "0000" if person.bot else "0",
        "global_name": None if person.bot else person.shown,
        "avatar": None,
        "bot": person.bot,
        "public_flags": 0,
    }


def member(guild: Guild, person: User, *, with_user: bool = True) -> Json:
    """A member of a server."""
    payload: Json = {
        "roles": _role_ids(guild, person),
        "nick": None,
        "avatar": None,
        "joined_at": iso_now(),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
        "communication_disabled_until": None,
    }
    return payload | ({"user": user(person)} if with_user else {})


def _role_ids(guild: Guild, person: User) -> list[str]:
    if person.bot:
        return [guild.bot_role_id]
    return [guild.manager_role_id] if person.id in guild.managers else []


def permissions(guild: Guild, person: User) -> int:
    """What a member may do; the owner may do everything."""
    if person.id == guild.owner.id:
        return (1 << 50) - 1
    return EVERYDAY | (MANAGE_SERVER if person.id in guild.managers else 0)


def roles(guild: Guild, bot: User) -> list[Json]:
    """The everyone role, the managers' role, and the one that Discord makes for a bot, which bears its name."""
    common = {"color": 0, "hoist": False, "managed": False, "mentionable": False, "flags": 0, "icon": None}
    colours = {"primary_color": 0, "secondary_color": None, "tertiary_color": None}
    return [
        {"id": guild.id, "name": "@everyone", "permissions": str(EVERYDAY), "position": 0, "colors": colours, **common},
        {
            "id": guild.manager_role_id,
            "name": "managers",
            "permissions": str(EVERYDAY | MANAGE_SERVER),
            "position": 1,
            "colors": colours,
            **common,
        },
        {
            "id": guild.bot_role_id,
            "name": bot.username,
            "permissions": str(EVERYDAY),
            "position": 2,
            "colors": colours,
            **common,
            "managed": True,
            "tags": {"bot_id": bot.id},
        },
    ]


def channel(place: Channel) -> Json:
    """A channel, thread or direct conversation."""
    payload: Json = {"id": place.id, "type": place.type, "last_message_id": None, "flags": 0}
    if place.type == DIRECT:
        return payload | {"recipients": [user(place.recipient)] if place.recipient else []}
    payload |= {"guild_id": place.guild_id, "name": place.name, "parent_id": place.parent_id, "rate_limit_per_user": 0}
    if place.type == PUBLIC_THREAD:
        return payload | {
            "owner_id": "1",
            "message_count": 0,
            "member_count": 1,
            "total_message_sent": 0,
            "thread_metadata": {
                "archived": place.archived,
                "auto_archive_duration": 1440,
                "archive_timestamp": iso_now(),
                "locked": place.locked,
                "create_timestamp": iso_now(),
            },
        }
    return payload | {"position": 0, "permission_overwrites": [], "topic": None, "nsfw": False}


def guild(server: Guild, world: World) -> Json:
    """A server as REST shows it."""
    return {
        "id": server.id,
        "name": server.name,
        "owner_id": server.owner.id,
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "banner": None,
        "description": None,
        "afk_channel_id": None,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "premium_progress_bar_enabled": False,
        "preferred_locale": "en-US",
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "vanity_url_code": None,
        "application_id": None,
        "features": [],
        "emojis": [],
        "stickers": [],
        "roles": roles(server, world.bot),
    }


def guild_create(server: Guild, world: World) -> Json:
    """A server as the gateway introduces it: without the members' intent, only the bot is listed."""
    places = list(server.channels.values())
    return guild(server, world) | {
        "joined_at": iso_now(),
        "large": False,
        "unavailable": False,
        "member_count": len(server.members),
        "members": [member(server, world.bot)],
        "channels": [channel(place) for place in places if place.type != PUBLIC_THREAD],
        "threads": [channel(place) for place in places if place.type == PUBLIC_THREAD and not place.archived],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def message(posted: Message, *, nonce: str | None = None) -> Json:
    """A message; the one it replies to is included."""
    payload: Json = {
        "id": posted.id,
        "channel_id": posted.channel.id,
        "author": user(posted.author),
        "content": posted.content,
        "timestamp": posted.timestamp,
        "edited_timestamp": posted.edited,
        "tts": False,
        "mention_everyone": False,
        "mentions": [user(person) for person in posted.mentions],
        "mention_roles": re.findall(r"<@&(\d+)>", posted.content),
        "attachments": [_attachment(number) for number in range(posted.attachments)],
        "embeds": [],
        "components": [],
        "pinned": False,
        "type": posted.type,
        "flags": posted.flags,
    }
    if nonce is not None:
        payload["nonce"] = nonce
    if posted.webhook_id is not None:
        payload["webhook_id"] = posted.webhook_id
    if posted.reply_to is not None:
        payload["message_reference"] = {
            "type": 0,
            "message_id": posted.reply_to.id,
            "channel_id": posted.channel.id,
        }
        payload["referenced_message"] = message(posted.reply_to)
    return payload


def interaction(used: Interaction, world: World, data: Json, locale: str) -> Json:
    """The event that tells an application that somebody used its command."""
    payload: Json = {
        "id": used.id,
        "application_id": world.application_id,
        "type": 2,
        "token": used.token,
        "version": 1,
        "data": data,
        "channel_id": used.channel.id,
        "channel": channel(used.channel),
        "locale": locale,
        "entitlements": [],
        "authorizing_integration_owners": {},
        "attachment_size_limit": 10_485_760,
        "app_permissions": str(EVERYDAY),
    }
    if used.channel.guild_id is None:
        return payload | {"user": user(used.user), "context": 1}
    server = world.guilds[used.channel.guild_id]
    actor = member(server, used.user) | {"permissions": str(permissions(server, used.user))}
    return payload | {"member": actor, "guild_id": server.id, "guild_locale": "en-US", "context": 0}


def _attachment(number: int) -> Json:
    return {
        "id": str(1000 + number),
        "filename": f"picture-{number}.png",
        "size": 1,
        "url": "https://cdn.invalid/picture.png",
        "proxy_url": "https://cdn.invalid/picture.png",
        "content_type": "image/png",
    }
