"""Collations that a target can't have: its server was built without ICU, or its system lacks a locale."""

from __future__ import annotations

from collections.abc import Container, Iterator

from supapy.errors import SqlError
from supapy.names import few
from supapy.parts.base import Obstacle
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.inventory.makers import STATEMENT
from supapy.parts.database.inventory.stood_on import SERVER_COLLATIONS
from supapy.parts.database.script.segments import Statement
from supapy.project.moment import Moment

_TITLE = "collation "
_SORT = "collations and conversions"
_HINT = "Restore the rest with --exclude-table, or choose a target that has it."


def lacking(contents: Contents, moment: Moment, *, needed: bool = False) -> Iterator[Obstacle]:
    """What the backup's collations want of the target and don't find there. Of the user's own only those that are
    `needed`, if so asked. Backups of early versions don't say what needs them, nor which of the server's are in use."""
    statements = {one.id: one for one in contents.index or []}
    for title, said in contents.inventory.get(_SORT, {}).items():
        maker = statements.get(said.get(STATEMENT, 0))
        if title.startswith(_TITLE) and maker and (why := _unmakeable(said, moment)):
            users = _users_of({maker.id}, statements)
            if users or not needed:
                yield _obstacle(f"it can't make {title} ({why})", users)
    uses: dict[str, set[int]] = {}
    for said in contents.inventory.get(SERVER_COLLATIONS, {}).values():
        if said.get(STATEMENT) in statements:
            uses.setdefault(said["collation"], set()).add(said[STATEMENT])
    for name, makers in sorted(uses.items()):
        if not moment.value("SELECT pg_catalog.to_regcollation(%s) IS NOT NULL", [name]):
            yield _obstacle(f"it has no {_TITLE}{name}", sorted({statements[one].full_name for one in makers}))


def _obstacle(text: str, users: list[str]) -> Obstacle:
    by = f", which is needed by {few(users)}" if users else ""
    return Obstacle("database", text + by, final=True, hint=_HINT)


def _users_of(ids: Container[int], statements: dict[int, Statement]) -> list[str]:
    return sorted({one.full_name for one in statements.values() if any(need in ids for need in one.needs)})


def _unmakeable(said: dict[str, object], moment: Moment) -> str:
    """Why the server can't make it; "" where it can. Nothing is made to find out."""
    match said:
        case {"provider": "i"} if not moment.value(_HAS_ICU):
            return "its server was built without ICU"
        case {"provider": "c", "locale": [str(order), str(kind), *_]}:
            for locale in dict.fromkeys((order, kind)):
                if not _has_locale(locale, moment):
                    return f"its server's system has no locale {locale}"
    return ""


def _has_locale(locale: str, moment: Moment) -> bool:
    """Whether the server's system knows it, which is only said by what wants to use it. A system has a locale for all
    that depends on one, and for times it can be asked for without making anything."""
    with moment.project.session() as session:
        try:
            session.value("SELECT pg_catalog.set_config('lc_time', %s, false)", [locale])
        except SqlError:
            return False
    return True


# A server without ICU may have such a collation (`unicode`, since 16), and no version of it.
_HAS_ICU = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_collation
    WHERE collprovider = 'i' AND pg_catalog.pg_collation_actual_version(oid) IS NOT NULL)
"""
