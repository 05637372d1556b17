"""Small facts that outlive a restart, in SQL."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from botbridge.faults import Boundary
from botbridge.storage.database import Database
from botbridge.storage.tables import state, utc_now


class SqlState:
    """`ports.State` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> str | None:
        """Return the value stored under a name, None if there is none."""

        def work(connection: Connection) -> str | None:
            return connection.execute(select(state.c.value).where(state.c.name == name)).scalar_one_or_none()

        return await self._database.read(work)

    async def put(self, name: str, value: str) -> None:
        """Store a value, replacing the former one."""
        new = {"value": value, "updated_at": utc_now()}

        def work(connection: Connection) -> None:
            changed = connection.execute(update(state).where(state.c.name == name).values(**new))
            if changed.rowcount == 0:
                connection.execute(insert(state).values(name=name, **new))

        await self._database.write(work, at=Boundary.STATE)
