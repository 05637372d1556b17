"""What an operator uses a model for, as licences tell uses apart."""

from __future__ import annotations

from enum import StrEnum


class Use(StrEnum):
    """From narrow to wide: whoever may do the wider may do the narrower, too.

    Attributes:
        PERSONAL: For yourself, or to try and study it: it is offered to nobody else, and nobody pays.
        SAAS: A bot that you host and other people write to, as a service or as part of a business.
        EMBED: The weights themselves go to others, in a product or by themselves.
    """

    PERSONAL = "personal"
    SAAS = "saas"
    EMBED = "embed"

    def includes(self, other: Use) -> bool:
        """Whether this use is as wide as the other.

        >>> Use.SAAS.includes(Use.PERSONAL), Use.SAAS.includes(Use.EMBED)
        (True, False)
        """
        order = list(Use)
        return order.index(self) >= order.index(other)
