"""Steps from one release of the state to the next, for Alembic."""
