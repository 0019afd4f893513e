"""What an extension has in one of two versions only is that version's business; what the user granted is his."""

from __future__ import annotations

from pathlib import Path

from tests.fidelity.saved import differences, loaded, save
from tests.projects import DEFAULT_MAJOR, ClusterFactory, run

EXTENSIONS = """
CREATE EXTENSION amcheck SCHEMA extensions;
CREATE EXTENSION pg_walinspect;
CREATE EXTENSION pgstattuple;
CREATE ROLE looker;
GRANT EXECUTE ON FUNCTION extensions.bt_index_check(regclass) TO looker;
"""


def test_functions_that_only_the_newer_version_has_are_no_difference(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(15), cluster_factory(17)
    run(source, EXTENSIONS)
    saved = save(source, 15, tmp_path)
    assert loaded(saved, target, 17) == []
    assert differences(saved, target, 17) == []
    # What both have is still looked at.
    run(target, "REVOKE EXECUTE ON FUNCTION extensions.bt_index_check(regclass) FROM looker")
    (found,) = differences(saved, target, 17)
    assert found.name == "grants on ROUTINE extensions.bt_index_check(regclass)"


def test_functions_that_only_the_older_version_had_are_none_either(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    source, target = cluster_factory(), cluster_factory()
    run(source, "CREATE EXTENSION amcheck VERSION '1.2'", "CREATE EXTENSION pg_walinspect VERSION '1.0'")
    run(target, "CREATE EXTENSION amcheck", "CREATE EXTENSION pg_walinspect VERSION '1.1'")
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    # 1.1 has them no longer.
    gone = "SELECT to_regprocedure('pg_get_wal_records_info_till_end_of_wal(pg_lsn)')"
    assert (run(source, gone) != [(None,)], run(target, gone)) == (True, [(None,)])
    assert differences(saved, target) == []
    # One that is there, where nobody may do anything with it any more, isn't one of these.
    there = "FUNCTION pg_get_wal_stats(pg_lsn, pg_lsn, boolean)"
    everybody = "PUBLIC, postgres, pg_read_server_files, anon, authenticated, service_role"
    run(target, f"REVOKE ALL ON {there} FROM {everybody}")
    assert len(differences(saved, target)) == 1


def test_of_one_version_everything_counts(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    source, target = cluster_factory(), cluster_factory()
    for one in (source, target):
        run(one, "CREATE EXTENSION amcheck")
    saved = save(source, DEFAULT_MAJOR, tmp_path)
    run(target, "REVOKE EXECUTE ON FUNCTION bt_index_check(regclass) FROM anon")
    assert len(differences(saved, target)) == 1
