"""Which remote servers answer, and how long they are waited for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from botbridge.inference.options import Patience

UNTOLD_CONTEXT_TOKENS: Final = 4096
"""Assumed of a server that does not tell its context; short enough for what is served today."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Where to ask for what.

    Attributes:
        urls: Addresses of OpenAI-compatible servers with the same model; one or more.
        model: The server's name of the model.
        takes_only_model: Whether, where a server offers a single model, that one
            is taken whatever its name; for an operator who named none.
        key: Sent to each server as a bearer token; None sends none.
        slots: How many answers run side by side, on all servers together.
        context_tokens: Upper bound of prompt and answer together; None takes
            what the servers tell, or 4096 where they tell nothing.
    """

    urls: tuple[str, ...]
    model: str
    takes_only_model: bool = False
    key: SecretStr | None = None
    slots: int = 1
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RemotePatience:
    """How long a server is waited for, in seconds. The deadline of a prompt goes before all of them.

    Attributes:
        connect_s: Until the connection stands.
        look_s: For an answer that needs no computing, such as the list of models.
        first_token_s: From the question to the first sign of an answer; long
            enough for a long prompt on a slow server.
        between_tokens_s: Between two signs of an answer.
        counts_s: For the counts of an answer that is whole.
        busy_s: A pause that a server asks for; after a wish for a longer one it
            counts as unavailable until the pause is over, and nobody is kept in
            the belief that their answer is being made.
        again: Its `retry_least_s` and `retry_most_s` bound the pause before a
            server that failed is asked again, which doubles with each failure.
    """

    connect_s: float = 5.0
    look_s: float = 10.0
    first_token_s: float = 120.0
    between_tokens_s: float = 60.0
    counts_s: float = 2.0
    busy_s: float = 30.0
    again: Patience = field(default_factory=Patience)


def base_url(url: str) -> str:
    """Return the address below which a server speaks the API; one without a path gets the usual `/v1`.

    >>> base_url("http://127.0.0.1:8080"), base_url("https://host/openai/v1/")
    ('http://127.0.0.1:8080/v1', 'https://host/openai/v1')
    """
    url = url.rstrip("/")
    return url if "/" in url.partition("://")[2] else f"{url}/v1"
