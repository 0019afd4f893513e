"""auth_users.json with its rows in another order than they were written in, and with rows that stand there twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.doors.commands import Commands, settings_of
from tests.fidelity.test_auth import ALICE, ANON, BOB, OLD, SSO
from tests.fidelity.test_users_edited import edited, line_of, source
from tests.fidelity.test_users_met import auth, ids
from tests.fidelity.whole import as_superuser, backed_up, compared, differences, opened, posted, restored
from tests.projects import ProjectFactory

from supapy.errors import IntegrityError, RestoreRefused
from supapy.model import Difference, Proof
from supapy.parts.auth.live import Live, readers
from supapy.parts.auth.people import OnConflict
from supapy.parts.auth.tables import readable
from supapy.sandbox.project import SandboxProject

__all__ = ["source"]

STRANGER = "99999999-0000-4000-8000-000000000000"


ALL = auth(sessions=True, audit_log=True)


def shuffled(text: str) -> str:
    """Each table's rows in another order."""
    found, rows = list[str](), list[str]()
    for line in text.split("\n"):
        if line.startswith('{"id":'):
            rows.append(line.removesuffix(","))
            continue
        if rows:
            random.Random(1).shuffle(rows)
            found.append(",\n".join(rows))
            rows.clear()
        found.append(line)
    return "\n".join(found)


def doubled(text: str) -> str:
    return text.replace(line_of(text, ALICE), line_of(text, ALICE) * 2)


def test_the_test_changes_the_order_of_users_and_of_what_is_beside_them(source: SandboxProject, tmp_path: Path) -> None:
    true = b"".join(backed_up(source, tmp_path / "by-itself", ALL).read("auth_users.json")).decode()
    other = shuffled(true)
    assert sorted(line.removesuffix(",") for line in other.split("\n")) == (
        sorted(line.removesuffix(",") for line in true.split("\n"))
    )
    for begin in (',"users":[', ',"refresh_tokens":['):
        first, second = (text.partition(begin)[2].split("\n")[1] for text in (true, other))
        assert first.startswith('{"id":')
        assert first != second


def test_rows_in_any_order_come_back_and_are_compared(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup, target = edited(source, tmp_path, shuffled), project_factory("target")
    outcome = restored(backup, target, ALL)
    assert outcome.is_whole, (outcome.problems, outcome.differences)
    proofs = {proof.sort: proof.count for proof in outcome.proofs}
    assert proofs == {"users": 5, "sessions": 1, "refresh_tokens": 3, "mfa_amr_claims": 1, "audit_log_entries": 1}
    for table in ("identities", "mfa_factors", "sessions", "refresh_tokens"):
        rows = f"SELECT t::text FROM auth.{table} t ORDER BY 1"
        assert as_superuser(target, rows) == as_superuser(source, rows)
    assert differences(backup, source, ALL) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"users": ("*@example.com",), "sessions": True}, {ALICE, BOB, SSO, OLD, STRANGER}),
        ({"on_conflict": "skip"}, {ALICE, SSO, ANON, OLD, STRANGER}),
        ({"on_conflict": "replace", "sessions": True}, {ALICE, BOB, SSO, ANON, OLD}),
        ({"on_conflict": "skip", "via": "api"}, {ALICE, OLD, STRANGER}),
    ],
)
def test_rows_in_any_order_are_chosen_and_meet_who_is_there(
    source: SandboxProject,
    project_factory: ProjectFactory,
    tmp_path: Path,
    said: dict[str, object],
    expected: set[str],
) -> None:
    backup, target = edited(source, tmp_path, shuffled), project_factory("target")
    address = "bob@example.com" if "on_conflict" in said else "stranger@example.com"
    assert posted(target, "/auth/v1/admin/users", {"id": STRANGER, "email": address})[0] == 200
    outcome = restored(backup, target, auth(**said), into="target")
    assert outcome.is_whole, (outcome.problems, outcome.differences)
    assert ids(target) == expected
    # And once more: whoever came is there as he was saved.
    assert restored(backup, target, auth(**{"on_conflict": "skip", **said}), into="target").is_whole
    assert ids(target) == expected


def test_a_file_of_the_format_before_which_stood_by_ids_is_read(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, lambda text: text.replace('"format":3', '"format":2'))
    assert restored(backup, project_factory("target"), ALL).is_whole


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (None, {}),
        (STRANGER, {"on_conflict": "skip"}),
        (ALICE, {"on_conflict": "replace"}),
        (None, {"via": "api"}),
        (ALICE, {"via": "api", "on_conflict": "replace"}),
    ],
)
def test_with_a_user_who_stands_there_twice_nobody_comes_and_nobody_goes(
    source: SandboxProject,
    project_factory: ProjectFactory,
    tmp_path: Path,
    there: str | None,
    said: dict[str, object],
) -> None:
    backup, target = edited(source, tmp_path, doubled), project_factory("target")
    if there:
        as_superuser(target, f"INSERT INTO auth.users (id, email) VALUES ('{there}', 'alice@example.com')")
    with pytest.raises(IntegrityError, match=f"user {ALICE} .* more than once"):
        restored(backup, target, auth(**said), into="target")
    assert ids(target) == ({there} if there else set())


@pytest.mark.parametrize("on_conflict", ["skip", "replace"])
def test_a_session_that_stands_there_twice_is_told_or_keeps_everybody_out(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path, on_conflict: OnConflict
) -> None:
    def edit(text: str) -> str:
        line = line_of(text, "aaaaaaaa")
        return text.replace(line, f"{line.strip()},\n{line}")

    backup, target = edited(source, tmp_path, edit), project_factory("target")
    as_superuser(target, f"INSERT INTO auth.users (id) VALUES ('{STRANGER}')")
    choice = auth(sessions=True, on_conflict=on_conflict)
    if on_conflict == "replace":
        with pytest.raises(RestoreRefused, match="the same key"):
            restored(backup, target, choice, into="target")
        assert ids(target) == {STRANGER}
    else:
        (difference,) = restored(backup, target, choice, into="target").differences
        assert difference.name == "auth.sessions aaaaaaaa-0000-4000-8000-000000000000"
        assert "more than once" in difference.detail


def test_a_comparison_names_who_is_twice_in_the_file_and_the_stranger_whom_he_makes_up_for(
    source: SandboxProject, tmp_path: Path
) -> None:
    backup = edited(source, tmp_path, doubled)
    as_superuser(source, f"INSERT INTO auth.users (id) VALUES ('{STRANGER}')")
    twice = Difference("auth", f"auth.users {ALICE}", "missing", "auth_users.json has it more than once")
    assert differences(backup, source, ALL) == [twice, Difference("auth", f"auth.users {STRANGER}", "extra")]
    assert differences(backup, source, auth(users=(ALICE,))) == [twice]


def test_of_chosen_users_what_the_target_alone_has_is_told_and_nothing_of_others(
    source: SandboxProject, tmp_path: Path
) -> None:
    backup = backed_up(source, tmp_path, ALL)
    as_superuser(
        source,
        f"INSERT INTO auth.users (id, email) VALUES ('{STRANGER}', 'stranger@example.com')",
        "INSERT INTO auth.refresh_tokens (id, token, user_id) "
        f"VALUES (7001, 'a', '{ALICE}'), (7002, 'b', '{BOB}'), (7003, 'c', '{STRANGER}')",
    )
    found = compared(backup, source, auth(users=(ALICE,), sessions=True))
    assert [one for one in found if isinstance(one, Difference)] == [
        Difference("auth", "auth.refresh_tokens 7001", "extra")
    ]
    proofs = {one.sort: one.count for one in found if isinstance(one, Proof)}
    assert proofs == {"users": 1, "sessions": 1, "refresh_tokens": 2}


@pytest.mark.parametrize("part_bytes", [10, 80, 1000])
def test_ids_are_held_against_each_other_in_parts(source: SandboxProject, part_bytes: int) -> None:
    saved = [f'{{"id":"{user}"}}'.encode() for user in (ALICE, BOB, ALICE, SSO, STRANGER)]
    with (
        opened(source) as project,
        project.moment() as moment,
        readers(moment, 2) as sessions,
        Live(moment, readable(moment), "users", sessions, part_bytes) as live,
    ):
        ((_, lines),) = live.beside(iter(saved))
        found = [line[7:43].decode() for line in lines.split(b"\n")]
        assert found == [ALICE, BOB, ALICE, SSO, ""]
        assert not live.is_one_to_one
        strays = {(one.id, one.user, one.is_saved) for one in live.strays()}
    assert strays == {(ALICE, "", True), (ANON, ANON, False), (OLD, OLD, False)}


def test_the_command_refuses_a_user_who_stands_there_twice_and_names_him_when_it_compares(
    source: SandboxProject, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    backup, target = edited(source, tmp_path, doubled), project_factory("target")
    refused = Commands(tmp_path, settings_of(target))("restore", backup.path, "--yes")
    assert refused.code == 50
    assert f"user {ALICE} stands in it more than once" in refused.err
    assert "Nothing was applied" in refused.err
    told = Commands(tmp_path, settings_of(source))("verify", backup.path)
    assert told.code == 3
    assert f"missing: auth auth.users {ALICE}: auth_users.json has it more than once" in told.out
