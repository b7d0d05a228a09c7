"""The tables, and how an older database becomes a newer one. Every statement means the same to SQLite and to PostgreSQL.

A step is never changed once it was released; a new one is added at the end. The version is the number of steps taken.
"""

KEYS = (
    "CREATE TABLE api_keys (id TEXT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, prefix TEXT NOT NULL, role TEXT NOT NULL,"
    " scopes TEXT NOT NULL, limits TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, expires DOUBLE PRECISION, last_used DOUBLE PRECISION,"
    " revoked DOUBLE PRECISION)",
    # A name may be given again when its key was revoked.
    "CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked IS NULL",
    # Counts the changes of keys: a server asks for this one number, and reads the keys only when it has moved.
    "CREATE TABLE generations (name TEXT PRIMARY KEY, number BIGINT NOT NULL)",
    "INSERT INTO generations (name, number) VALUES ('keys', 0)",
)
USAGE = (
    "CREATE TABLE usage (day TEXT NOT NULL, key_id TEXT NOT NULL, model TEXT NOT NULL, requests BIGINT NOT NULL, failed BIGINT NOT NULL,"
    " prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL, PRIMARY KEY (day, key_id, model))",
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (KEYS, USAGE)
VERSION_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"
