"""Collations that a target can't have are known before anything is written; those that it can have come back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.fidelity.saved import Saved, differences, loaded, moment_of, save
from tests.projects import DEFAULT_MAJOR, MAJORS, ClusterFactory, asked, owner, run

from supapy.parts.base import Obstacle
from supapy.parts.database.part import DatabasePart
from supapy.project.patterns import Patterns
from supapy.sandbox.cluster import Cluster

HAS_ICU = "SELECT EXISTS (SELECT FROM pg_collation WHERE pg_collation_actual_version(oid) <> '' AND collprovider = 'i')"
ICU = """
CREATE COLLATION numbers (provider = icu, locale = 'en-u-kn-true');
CREATE COLLATION whatever_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE rooms (id int, name text COLLATE numbers);
CREATE TABLE people (name text COLLATE whatever_case UNIQUE);
CREATE TABLE towns (name text COLLATE "de-x-icu");
CREATE VIEW sorted AS SELECT id FROM rooms ORDER BY id::text COLLATE "fr-x-icu";
CREATE DOMAIN word AS text COLLATE "sv-x-icu";
CREATE TABLE plain (name text COLLATE "C");
INSERT INTO rooms VALUES (10, 'a10'), (9, 'a9');
INSERT INTO plain VALUES ('kept');
"""
OF_SYSTEM = """
CREATE COLLATION local (provider = libc, locale = 'C.utf8');
CREATE TABLE words (word text COLLATE local);
CREATE TABLE others (word text COLLATE "C.utf8");
CREATE TABLE plain (word text);
"""


def obstacles(saved: Saved, target: Cluster, major: int, patterns: str = "", excluded: str = "") -> list[Obstacle]:
    part = DatabasePart(patterns=chosen(patterns, excluded))
    with moment_of(target, major) as moment:
        return list(part.obstacles(saved, moment))


def chosen(tables: str = "", excluded: str = "") -> Patterns:
    return Patterns(tables=tuple(tables.split()), excluded=tuple(excluded.split()))


def with_icu(cluster_factory: ClusterFactory, *, built_with: bool) -> tuple[Cluster, int]:
    """A server that was built with it, or without."""
    for major in MAJORS if built_with else reversed(MAJORS):
        cluster = cluster_factory(major)
        if asked(cluster, HAS_ICU) == [(built_with,)]:
            return cluster, major
    pytest.skip(f"no server here was built with{'' if built_with else 'out'} ICU")


def test_where_the_server_has_icu_its_collations_come_back(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, major = with_icu(cluster_factory, built_with=True)
    run(source, ICU)
    saved = save(source, major, tmp_path)
    target = cluster_factory(major)
    assert obstacles(saved, target, major) == []
    assert (loaded(saved, target, major), differences(saved, target, major)) == ([], [])
    assert run(target, "SELECT id FROM rooms ORDER BY name") == [(9,), (10,)]
    with owner(target) as connection:
        assert connection.execute("SELECT 'Ada' = 'ada' COLLATE whatever_case").fetchall() == [(True,)]


def test_where_it_has_not_this_is_known_before_anything_is_written(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, source_major = with_icu(cluster_factory, built_with=True)
    target, major = with_icu(cluster_factory, built_with=False)
    if major < source_major:
        pytest.skip("the one without is older")
    run(source, ICU)
    saved = save(source, source_major, tmp_path)
    found = obstacles(saved, target, major)
    assert all(one.final and "--exclude-table" in one.hint for one in found)
    assert [one.text for one in found] == [
        "it can't make collation public.numbers (its server was built without ICU), which is needed by public.rooms",
        "it can't make collation public.whatever_case (its server was built without ICU), "
        "which is needed by public.people",
        'it has no collation "de-x-icu", which is needed by public.towns',
        'it has no collation "fr-x-icu", which is needed by public.sorted',
        'it has no collation "sv-x-icu", which is needed by public.word',
    ]
    assert obstacles(saved, target, major, "plain") == []
    assert loaded(saved, target, major, DatabasePart(patterns=chosen("plain"))) == []
    assert run(target, "SELECT * FROM plain") == [("kept",)]


def test_locales_that_the_targets_system_lacks_are_known_as_well(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(source, OF_SYSTEM)
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    assert obstacles(saved, target, DEFAULT_MAJOR) == []
    # As if the source's system had more of them.
    elsewhere(saved)
    found = obstacles(saved, target, DEFAULT_MAJOR)
    assert [(one.final, one.text) for one in found] == [
        (
            True,
            "it can't make collation public.local (its server's system has no locale X.utf8), "
            "which is needed by public.words",
        ),
        (True, 'it has no collation "X.utf8", which is needed by public.others'),
    ]
    assert len(obstacles(saved, target, DEFAULT_MAJOR, "words")) == 1
    # Nothing that is restored needs it: it is told, and all else comes back.
    assert obstacles(saved, target, DEFAULT_MAJOR, excluded="words others") == []
    part = DatabasePart(patterns=chosen(excluded="words others"))
    (problem,) = loaded(saved, target, DEFAULT_MAJOR, part)
    assert problem.name == "collation public.local"
    assert "could not create locale" in problem.reason
    assert run(target, "SELECT count(*) FROM plain") == [(0,)]


def elsewhere(saved: Saved) -> None:
    """Change the locale's name everywhere in a backup, for one as long."""
    script, contents = saved.script, saved.folder / "database.toc.json"
    text = script.read_bytes().replace(b"C.utf8", b"X.utf8")
    script.write_bytes(text)
    said = json.loads(contents.read_bytes().replace(b"C.utf8", b"X.utf8"))
    for one in said["segments"]:
        one["sha256"] = hashlib.sha256(text[one["offset"] : one["offset"] + one["length"]]).hexdigest()
    contents.write_text(json.dumps(said))
