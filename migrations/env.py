"""Run migrations on the connection that `botbridge.storage.migrate` hands over.

Alembic's usual template also sets up logging and opens a connection from an
ini file; here the application has done both.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite changes schemas inside transactions, which Alembic does not expect of it.
    transactional_ddl=True,
    render_as_batch=True,
    on_version_apply=lambda **_facts: context.config.attributes["migrated"](),
)

with context.begin_transaction():
    context.run_migrations()
