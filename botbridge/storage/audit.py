"""The record of acts of power, in SQL; triggers of the database refuse to change it."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, insert

from botbridge.faults import Boundary
from botbridge.messages import AuditEntry
from botbridge.storage.database import Database
from botbridge.storage.tables import audit


class SqlAudit:
    """`ports.Audit` over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, entry: AuditEntry) -> None:
        """Append an entry."""

        def work(connection: Connection) -> None:
            connection.execute(insert(audit).values(**asdict(entry)))

        await self._database.write(work, at=Boundary.AUDIT)
