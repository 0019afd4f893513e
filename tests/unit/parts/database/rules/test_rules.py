"""Which entries are kept, left to the platform, or lost and named."""

from __future__ import annotations

from itertools import count

import pytest

from supapy.parts.database.rules.facts import Facts, TriggerFacts
from supapy.parts.database.rules.rules import Judgement, judge, owned
from supapy.parts.database.sql.archive import Section, TocEntry

PG_CLASS, PG_PROC = 1259, 1255
_numbers = count(1)


def entry(
    kind: str,
    schema: str,
    name: str,
    owner: str = "postgres",
    *needs: TocEntry,
    oid: int = 0,
    catalog: int = 0,
    section: Section = Section.PRE_DATA,
    drop: str = "",
) -> TocEntry:
    needed = tuple(one.id for one in needs)
    return TocEntry(next(_numbers), catalog, oid, name, kind, section, "", drop, schema, "", owner, needed)


FACTS = Facts(
    managed=frozenset({"auth", "storage", "realtime", "extensions", "cron"}),
    policies={1: ("storage", "objects"), 2: ("storage", "migrations")},
    restrictive=frozenset(),
    triggers={
        1: TriggerFacts("auth", "on_user", "public", "postgres", "O"),
        2: TriggerFacts("storage", "update_objects_updated_at", "storage", "supabase_storage_admin", "O"),
        3: TriggerFacts("storage", "update_objects_updated_at", "public", "postgres", "O"),
        4: TriggerFacts("auth", "on_user", "public", "postgres", "D"),
    },
    publication_members={1: "supabase_realtime", 2: "supabase_realtime_messages_publication", 3: "mine"},
    default_comments=frozenset({'EXTENSION "uuid-ossp"'}),
    impossible={(PG_PROC, 77): "Only a superuser can make it"},
    additions=[],
    extensions={},
    computed=frozenset(),
    tables={},
    webhooks={},
    reaching=frozenset(),
    reaching_views=frozenset(),
    queues=frozenset({(PG_CLASS, 88)}),
    queue_partitions=frozenset({88}),
)


def judged(*entries: TocEntry) -> Judgement:
    return judge(list(entries), FACTS)


@pytest.mark.parametrize(
    "one",
    [
        entry("TABLE", "public", "t"),
        entry("TABLE", "public", "t", "supabase_admin"),
        entry("TABLE", "net", "t"),
        entry("SCHEMA", "", "pgmq"),
        entry("TABLE", "extensions", "mine"),
        entry("FUNCTION", "extensions", "mine(integer)"),
        entry("POLICY", "storage", "objects p", "supabase_storage_admin", oid=1),
        entry("TRIGGER", "auth", "users on_user", "supabase_auth_admin", oid=1),
        entry("TRIGGER", "storage", "objects update_objects_updated_at", "supabase_storage_admin", oid=3),
        entry("PUBLICATION", "", "mine"),
        entry("PUBLICATION", "", "supabase_realtime_of_mine"),
        entry("TABLE", "public", "supabase_migrations"),
        entry("EVENT TRIGGER", "", "issue_tracker"),
        entry("PUBLICATION TABLE", "public", "supabase_realtime t", oid=1),
        entry("EVENT TRIGGER", "", "mine"),
        entry("EXTENSION", "", "hstore", ""),
        entry("CAST", "", "CAST (a AS b)", ""),
        entry("COMMENT", "", "SCHEMA public"),
    ],
    ids=lambda one: f"{one.kind} {one.schema}.{one.name}",
)
def test_what_a_user_made_is_kept(one: TocEntry) -> None:
    assert list(judged(one).kept) == [one]


@pytest.mark.parametrize(
    "one",
    [
        entry("TABLE", "auth", "users", "supabase_auth_admin"),
        entry("SCHEMA", "", "auth", "supabase_admin"),
        entry("SCHEMA", "", "public", "pg_database_owner"),
        entry("SCHEMA", "", "cron", "supabase_admin"),
        entry("FUNCTION", "extensions", "pgrst_ddl_watch()"),
        entry("FUNCTION", "auth", "uid()"),
        entry("TRIGGER", "storage", "objects update_objects_updated_at", "supabase_storage_admin", oid=2),
        entry("PUBLICATION", "", "supabase_realtime"),
        entry("PUBLICATION", "", "supabase_realtime_messages_publication"),
        entry("PUBLICATION TABLE", "realtime", "x messages", oid=2),
        entry("EVENT TRIGGER", "", "pgrst_ddl_watch"),
        entry("EVENT TRIGGER", "", "mine", "supabase_admin"),
        entry("ACL", "public", "TABLE t"),
        entry("TABLE", "supabase_migrations", "schema_migrations"),
        entry("SCHEMA", "", "supabase_migrations"),
        entry("ROW SECURITY", "storage", "objects", "supabase_storage_admin"),
    ],
    ids=lambda one: f"{one.kind} {one.schema}.{one.name}",
)
def test_what_the_platform_makes_is_left_to_it_without_a_word(one: TocEntry) -> None:
    judgement = judged(one)
    assert list(judgement.kept) == []
    assert judgement.lost == []
    assert judgement.omissions == []


@pytest.mark.parametrize(
    "one",
    [
        entry("TABLE", "auth", "mine"),
        entry("POLICY", "storage", "migrations p", "supabase_storage_admin", oid=2),
        entry("TRIGGER", "auth", "users on_user", "supabase_auth_admin", oid=4),
        entry("OPERATOR CLASS", "public", "c"),
        entry("FUNCTION", "public", "in_c()", catalog=PG_PROC, oid=77),
    ],
    ids=lambda one: f"{one.kind} {one.schema}.{one.name}",
)
def test_what_nobody_but_the_platform_can_make_is_lost_and_named(one: TocEntry) -> None:
    judgement = judged(one)
    assert list(judgement.kept) == []
    assert [omission.name for omission in judgement.omissions] == [
        f"{one.kind.lower()} {one.name} in schema {one.schema}"
    ]


def test_what_stands_on_something_lost_is_lost_too_and_named_once() -> None:
    table = entry("TABLE", "auth", "mine", catalog=PG_CLASS, oid=5)
    index = entry("INDEX", "auth", "mine_idx", "postgres", table)
    view = entry("VIEW", "public", "v", "postgres", table)
    comment = entry("COMMENT", "public", "VIEW v", "postgres", view)
    on_view = entry("VIEW", "public", "vv", "postgres", view)
    free = entry("VIEW", "public", "free")
    judgement = judged(table, index, view, comment, on_view, free)
    assert list(judgement.kept) == [free]
    assert [omission.name.partition(" in ")[0] for omission in judgement.omissions] == [
        "table mine",
        "view v",
        "view vv",
    ]
    assert judgement.lost_relations >= {5}


def test_needing_something_of_the_platforms_loses_nothing() -> None:
    users = entry("TABLE", "auth", "users", "supabase_auth_admin")
    view = entry("VIEW", "public", "v", "postgres", users)
    assert list(judged(users, view).kept) == [view]


def test_a_comment_goes_with_its_object() -> None:
    policy = entry("POLICY", "storage", "objects p", "supabase_storage_admin", oid=1, section=Section.POST_DATA)
    on_policy = entry("COMMENT", "storage", "POLICY p ON objects", "", policy, section=Section.NONE)
    trigger = entry("TRIGGER", "auth", "users on_user", "supabase_auth_admin", oid=1, section=Section.POST_DATA)
    on_trigger = entry("COMMENT", "auth", "TRIGGER on_user ON users", "", trigger, section=Section.NONE)
    extension = entry("EXTENSION", "", "uuid-ossp", "")
    on_extension = entry("COMMENT", "", 'EXTENSION "uuid-ossp"', "", extension, section=Section.NONE)
    platforms = entry("TABLE", "auth", "users", "supabase_auth_admin")
    on_platforms = entry("COMMENT", "auth", "TABLE users", "", platforms, section=Section.NONE)
    judgement = judged(extension, on_extension, platforms, on_platforms, policy, on_policy, trigger, on_trigger)
    assert judgement.post_data == [policy, on_policy, trigger]
    assert judgement.first == [extension]
    assert judgement.lost == [on_trigger]


def test_sections_come_in_the_order_of_a_restore() -> None:
    event = entry("EVENT TRIGGER", "", "e", section=Section.POST_DATA)
    index = entry("INDEX", "public", "i", section=Section.POST_DATA)
    table = entry("TABLE", "public", "t")
    schema = entry("SCHEMA", "", "s")
    assert list(judged(event, index, table, schema).kept) == [schema, table, index, event]


def test_an_owner_that_cannot_be_given_back_is_named() -> None:
    one = entry("TABLE", "public", "t", "supabase_admin", drop="DROP TABLE public.t;\n")
    assert [omission.name for omission in judged(one).omissions] == ["owner supabase_admin of table t in schema public"]
    api = entry("TABLE", "public", "t", "service_role", drop="DROP TABLE public.t;\n")
    assert judged(api).omissions == []


def test_the_object_of_an_owner_is_what_the_drop_statement_names() -> None:
    assert owned(entry("FUNCTION", "public", "f(integer)", drop='DROP FUNCTION public."f;"(integer);\n')) == (
        'FUNCTION public."f;"(integer)'
    )
    assert owned(entry("INDEX", "public", "i", drop="DROP INDEX public.i;\n")) is None


def test_what_attaches_a_partition_that_does_not_come_back_does_not_either() -> None:
    parent, part = entry("TABLE", "public", "whole"), entry("TABLE", "pgmq", "q_big_p0", catalog=PG_CLASS, oid=88)
    attach = entry("TABLE ATTACH", "pgmq", "q_big_p0", "postgres", parent, part)
    found = judged(parent, part, attach)
    assert [one.id for one in found.kept] == [parent.id]
    assert found.lost == []
