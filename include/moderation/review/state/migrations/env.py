"""Run by Alembic: takes the steps on the connection that it is given, in that connection's transaction."""

from alembic import context

if hasattr(context, "config"):  # only while Alembic runs it: anybody else who imports it starts nothing
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
    context.run_migrations()
