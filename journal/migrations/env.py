"""Alembic's entry: runs the migrations on the connection that `journal.migrate.upgrade` gives."""

from alembic import context

from journal.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can do DDL in a transaction; Alembic assumes that its driver can't.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
