"""Messages as JSON, and text as every database can hold it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from botbridge.answers import Sampling
from botbridge.characters import storable
from botbridge.messages import (
    Address,
    ChatKind,
    IncomingMessage,
    MessageKind,
    Person,
)
from botbridge.storage.codec import (
    decode_address,
    decode_message,
    encode_address,
    encode_message,
    storable_message,
)

# Lone surrogates and NUL included.
anything = st.text(st.characters(codec=None, categories=None))
maybe = st.none() | anything
people = st.builds(Person, anything, anything, maybe, maybe)
addresses = st.builds(Address, anything, anything, anything, st.sampled_from(ChatKind), maybe, maybe, maybe)
messages = st.builds(
    IncomingMessage,
    addresses,
    anything,
    st.sampled_from(MessageKind),
    people,
    anything,
    st.datetimes(timezones=st.just(UTC)),
    st.none() | people,
    st.none() | st.builds(Sampling, seed=st.none() | st.integers(0, 2**64 - 1)),
    st.booleans(),
)


@given(messages)
def test_a_message_survives_the_round_trip(incoming: IncomingMessage) -> None:
    assert decode_message(encode_message(incoming)) == incoming


@given(messages)
def test_a_message_that_was_stored_before_attachments_were_noticed_is_read(incoming: IncomingMessage) -> None:
    stored = json.loads(encode_message(incoming))
    del stored["has_attachment"]
    assert decode_message(json.dumps(stored)) == replace(incoming, has_attachment=False)


@given(addresses)
def test_an_address_survives_the_round_trip(address: Address) -> None:
    assert decode_address(encode_address(address)) == address


@given(messages)
def test_what_is_encoded_is_plain_ascii(incoming: IncomingMessage) -> None:
    """So that no database has an opinion on it."""
    assert encode_message(incoming).isascii()


@given(anything)
def test_storable_text_can_be_bound_and_is_left_alone_the_second_time(text: str) -> None:
    clean = storable(text)
    assert "\0" not in clean
    assert clean.encode().decode() == clean
    assert storable(clean) == clean


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_text_that_is_sound_is_not_touched(text: str) -> None:
    assert storable(text) == text


@given(messages)
def test_a_storable_message_keeps_its_ids(incoming: IncomingMessage) -> None:
    clean = storable_message(incoming)
    assert (clean.address, clean.message_id, clean.kind) == (incoming.address, incoming.message_id, incoming.kind)
    for text in (clean.text, clean.sender.display_name, clean.sender.username or ""):
        assert storable(text) == text
