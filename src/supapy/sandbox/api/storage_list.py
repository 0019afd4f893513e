"""The two lists of objects (F§1.4)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from supapy.sandbox.api import refusals, rules, schema
from supapy.sandbox.api.call import Call
from supapy.sandbox.api.database import OBJECT_TIMES, shown_time

_DEFAULT_V1 = 100
_MOST_V1 = 1500
_MOST_V2 = 1000
_V2_COLUMNS = ("name", "updated_at", "created_at")

_NO_TIMES = "null::text as updated_at, null::text as created_at, null::text as last_accessed_at"

# `%(whole)s` is folder and search together, `%(folder)s` the part that is cut off the names. Case is folded, as on the
# real server: `Docs/` and `docs/` are shown as one folder.
_V1 = f"""
    with found as (
      select *, position('/' in substr(name, length(%(whole)s) + 1)) as cut from storage.objects
      where bucket_id = %(bucket)s and starts_with(lower(name), lower(%(whole)s))
    ), folders as (
      select min(left(name, length(%(whole)s) + cut - 1)) as name, lower(left(name, length(%(whole)s) + cut)) as path
      from found where cut > 0 group by 2
    )
    select substr(name, length(%(folder)s) + 1) as name, id, updated_at, created_at, last_accessed_at, metadata from (
      select name, id::text, {OBJECT_TIMES}, metadata, false as folder, lower(name) as path, {{sort}} as sort
      from found where cut = 0
      union all
      select name, null, {_NO_TIMES}, null, true, path, null from folders
    ) as entry order by {{order}} limit %(limit)s offset %(offset)s
"""

_V2_FLAT = f"""
    select id::text, name, metadata, {OBJECT_TIMES}, {{sort}} as sort from storage.objects
    where bucket_id = %(bucket)s and name like %(pattern)s {{after}}
    order by {{order}} limit %(limit)s
"""

_V2_FOLDERS = f"""
    with found as (
      select *, position('/' in substr(name, length(%(prefix)s) + 1)) as cut from storage.objects
      where bucket_id = %(bucket)s and name like %(pattern)s
    ), entry as (
      select name, id::text, metadata, {OBJECT_TIMES}, {{sort}} as sort from found where cut = 0
      union all
      select left(name, length(%(prefix)s) + cut), null, null, {_NO_TIMES}, min({{sort}})
      from found where cut > 0 group by 1
    )
    select * from entry where true {{after}} order by {{order}} limit %(limit)s
"""


# Where a page of files and folders goes on.
_LAST_OF_FOLDERS = {
    "asc": "%(last)s || '/'",
    "desc": """(select case when exists (select from found where starts_with(name, %(last)s || '/'))
                       then %(last)s || '/' else %(last)s end)""",
}


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a page of list v2 ended. In its text form: lines of a letter, a colon and the value, in base64.

    `order` and `column` are None where nobody has named them.
    """

    last: str
    order: str | None
    column: str | None
    after: str | None

    def text(self) -> str:
        """What the client gets, to be sent back with the next request."""
        values = (("l", self.last), ("o", self.order), ("c", self.column), ("a", self.after))
        lines = [f"{letter}:{value}" for letter, value in values if value]
        return base64.b64encode("\n".join(lines).encode()).decode()

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        """Reads one back. Refuses what isn't one."""
        try:
            lines = base64.b64decode(text).decode().split("\n")
        except (binascii.Error, UnicodeDecodeError):
            lines = [""]
        values: dict[str, str] = {}
        for line in lines:
            if not re.match(r"[loca]:", line):
                raise refusals.invalid_parameter("Invalid Parameter continuation token")
            values[line[0]] = line[2:]
        order = "desc" if values.get("o") == "desc" else "asc"
        column = values["c"] if values.get("c") in _V2_COLUMNS else None
        return cls(values.get("l", ""), order, column, values.get("a"))


async def list_v1(call: Call) -> web.Response:
    """POST /object/list/:bucket: one level; folders are rows of nulls; a missing bucket is an empty one."""
    body = await call.json()
    folder: str = schema.take(body, "prefix", str, needed=True)
    limit = schema.take_number(body, "limit", 1) or _DEFAULT_V1
    offset = schema.take_number(body, "offset", 0) or 0
    search: str = schema.take(body, "search", str) or ""
    column, order = _sort(body, ("name", "updated_at", "created_at", "last_accessed_at"))
    rules.check_bucket(call.bucket)
    if folder and not folder.endswith("/"):
        folder += "/"
    by_name = f'path collate "C" {order or "asc"}'
    by_time = f"folder desc, sort {order or 'asc'}, path"
    query = _V1.format(order=by_time if column not in (None, "name") else by_name, sort=column or "name")
    parameters = {"whole": folder + search, "folder": folder, "bucket": call.bucket, "offset": offset}
    async with call.services.database.session(call.identity) as session:
        return web.json_response(await session.rows(query, {**parameters, "limit": min(limit, _MOST_V1)}))


async def list_v2(call: Call) -> web.Response:
    """POST /object/list-v2/:bucket: whole keys by pages; the only complete list when it is flat and sorted by name."""
    body = await call.json()
    prefix: str = schema.take(body, "prefix", str) or ""
    limit = min(schema.take_number(body, "limit", 1) or _MOST_V2, _MOST_V2)
    folders: bool = schema.take(body, "with_delimiter", bool) or False
    column, order = _sort(body, _V2_COLUMNS)
    cursor_text: str | None = schema.take(body, "cursor", str)
    cursor = _Cursor.parse(cursor_text) if cursor_text else None
    if cursor:
        column, order = cursor.column or column, cursor.order
    rules.check_bucket(call.bucket)
    query, parameters = _page(prefix, column or "name", order or "asc", folders, cursor)
    async with call.services.database.session(call.identity) as session:
        rows = await session.rows(query, {**parameters, "bucket": call.bucket, "limit": limit + 1})
    page = rows[:limit]
    answer: dict[str, Any] = {"hasNext": len(rows) > limit}
    if answer["hasNext"]:
        last = page[-1]["name"].removesuffix("/" * (page[-1]["id"] is None))
        answer |= {"nextCursor": _Cursor(last, order, column, page[-1]["sort"]).text(), "nextCursorKey": last}
    answer["folders"] = [_entry(row, prefix, folders) for row in page if row["id"] is None]
    answer["objects"] = [_entry(row, prefix, folders) for row in page if row["id"] is not None]
    return web.json_response(answer)


def _page(prefix: str, column: str, order: str, folders: bool, cursor: _Cursor | None) -> tuple[str, dict[str, str]]:
    """The query for one page, and its parameters. Both flaws of the real server are kept (F§1.4).

    With folders a page goes on behind `last/`, whether `last` was a folder or a file: what sorts between the two is
    lost; turned round it comes again, and a walk may never end. A flat page sorted by a time is in order of
    microseconds and goes on from a millisecond: rows of one millisecond are lost, or come twice.
    """
    sort = shown_time(column) if column != "name" else "null::text"
    compare = ">" if order == "asc" else "<"
    name, ordering = 'name collate "C"', f'name collate "C" {order}'
    last = _LAST_OF_FOLDERS[order] if folders else "%(last)s"
    after = f"{name} {compare} {last}"
    if column != "name":
        ordering = f"{'sort' if folders else f'objects.{column}'} {order}, {ordering}"
        after = f"({'sort' if folders else sort}, {name}) {compare} (%(after)s, {last})"
    parameters = {"prefix": prefix, "pattern": re.sub(r"([\\%_])", r"\\\1", prefix) + "%"}
    if cursor:
        parameters |= {"last": cursor.last, "after": cursor.after or ""}
    query = _V2_FOLDERS if folders else _V2_FLAT
    return query.format(sort=sort, after=f"and {after}" if cursor else "", order=ordering), parameters


def _entry(row: dict[str, Any], prefix: str, folders: bool) -> dict[str, Any]:
    """With folders an entry also has its own part of the name."""
    entry = {name: value for name, value in row.items() if name != "sort"}
    return {"key": row["name"].split("/")[prefix.count("/")], **entry} if folders else entry


def _sort(body: dict[str, Any], columns: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Column and order as they were asked for, if they were."""
    by: dict[str, Any] | None = schema.take(body, "sortBy", dict)
    if by is None:
        return None, None
    column = schema.take_choice(by, "column", columns, "body/sortBy")
    if column is None:
        raise refusals.bad_schema("body/sortBy must have required property 'column'")
    return column, schema.take_choice(by, "order", ("asc", "desc"), "body/sortBy")
