"""A port whose database is locked for the first calls of some methods."""

from __future__ import annotations

from typing import Any

from botbridge.errors import StorageUnavailable


class Locked:
    """Stands before a port.

    Args:
        port: What is asked once the lock is gone.
        refusals: How many calls of each method are still refused; counted down, and shared between ports.
    """

    def __init__(self, port: Any, refusals: dict[str, int]) -> None:
        self._port = port
        self._refusals = refusals

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._port, name)

        async def ask(*args: Any, **kwargs: Any) -> Any:
            if self._refusals.get(name, 0) > 0:
                self._refusals[name] -= 1
                raise StorageUnavailable("the database is locked")
            return await call(*args, **kwargs)

        return ask
