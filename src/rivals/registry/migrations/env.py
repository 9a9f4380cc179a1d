"""What Alembic runs: the migrations on the connection it was given, inside the transaction that is under way."""

from alembic import context

from rivals.registry.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
