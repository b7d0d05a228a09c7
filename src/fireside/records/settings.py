"""What can be set about records: where they are kept, and what is written down."""

import msgspec


class RecordsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``database``: ``postgresql://USER@HOST/NAME`` where several machines serve one team; empty: a SQLite file in the data folder.

    ``usage``: count requests and tokens by key, model and day. Budgets of keys need it.
    """

    database: str = ""
    usage: bool = True


class AuditSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``requests``: a line for each request; logins refused, keys and settings changed are written down in any case.

    ``prompts``: also what was asked. ``file_mb``: a file larger than this is put aside, and a new one begun.
    """

    requests: bool = True
    prompts: bool = False
    file_mb: int = 64
