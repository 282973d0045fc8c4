"""The schema history of the index (Alembic); shipped as ``store/migrations``."""
