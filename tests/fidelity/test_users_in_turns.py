"""What is nested in users comes in some at a time, and all of it does."""

from __future__ import annotations

from tests.fidelity.whole import opened
from tests.projects import ProjectFactory

from supapy.parts.auth.tables import readable
from supapy.parts.auth.target import Target

COLUMNS = ["id", "user_id", "friendly_name", "factor_type", "status", "created_at", "updated_at"]
OWNER = "00000000-0000-4000-8000-000000000001"


def test_nested_rows_wait_until_there_are_enough_and_the_last_ones_come_at_the_end(
    project_factory: ProjectFactory,
) -> None:
    with opened(project_factory("target")) as project, project.session() as session, session.transaction():
        session.execute("SET LOCAL session_replication_role = replica")
        table = readable(session)["mfa_factors"]
        target = Target.of(session, table, "mfa_factors", COLUMNS, nested=True, replaces=False, partial=False)
        target.held_bytes = 2 * len(_row(0))
        came = [target.take(session, (_row(number), [])) for number in range(4)]
        assert came == [0, 0, 3, 0]
        assert list(target.settle(session)) == []
        assert session.value("SELECT count(*) FROM auth.mfa_factors") == 4


def _row(number: int) -> bytes:
    at = "2026-11-22 10:00:00+00"
    values = (f"{number:08}-0000-4000-8000-000000000000", OWNER, f"phone {number}", "totp", "verified", at, at)
    return ("\t".join(values) + "\n").encode()
