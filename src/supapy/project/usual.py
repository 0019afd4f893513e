"""What every connection to a project's database sets: another session's habits would bend what is read and written."""

from __future__ import annotations

from collections.abc import Mapping

# A table that someone holds an exclusive lock on stops a backup after this long, not for ever.
LOCK_TIMEOUT_S = 120
# What the text form of a value depends on, and what could cut a read short (F§4.2). Rounded floats, filtered rows and
# a two-minute limit are the platform's defaults, all three fatal to a backup.
SETTINGS: Mapping[str, str] = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "xmloption": "content",
    "extra_float_digits": "3",
    # Amounts of money, list items that say NULL, backslashes and names: what a database or a role may have otherwise.
    "lc_monetary": "C",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "search_path": "",
    "row_security": "off",
    # A compiled query saves nothing in catalogs and ranges of tables, and costs a tenth of a second each.
    "jit": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
}
# Since 17 a role may also be given so long for a whole transaction: a moment is one.
_SINCE_17: Mapping[str, str] = {"transaction_timeout": "0"}


def settings(major: int) -> Mapping[str, str]:
    """What every connection to a server of that major sets: `SETTINGS`, and what newer servers know besides."""
    return {**SETTINGS, **_SINCE_17} if major >= 17 else SETTINGS
