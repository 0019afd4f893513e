"""backup, list, verify and restore, as a user types them and sees them."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import psycopg
from tests.backups import make
from tests.doors.commands import FILES, SUPAPY, Commands, env_file, environment, run, settings_of
from tests.projects import ProjectFactory, owner, superuser

from supapy.catalog import Catalog
from supapy.sandbox.project import SandboxProject
from supapy.store.local import LocalStore


def test_a_backup_holds_everything_and_says_what(supapy: Commands) -> None:
    ran = supapy.process("backup")
    assert (ran.code, ran.err) == (0, "")
    (label,) = supapy.labels
    assert (supapy.folder / "backups" / label / "storage" / "photos" / "trip" / "b.png").read_bytes() == b"two" * 1000
    lines = ran.out.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == ["database", "tables", "auth", "storage"]
    assert re.search(r"^auth +1 user +1 ", ran.out, re.MULTILINE)
    assert re.search(r"^storage +1 bucket, 3 objects +5 ", ran.out, re.MULTILINE)
    assert ran.out.count("left out: sign-ins under way") == 1
    assert lines[-1].startswith(f"backups/{label}: ")
    assert lines[-1].endswith(" of project source")


def test_a_backup_can_be_put_elsewhere_and_found_there(supapy: Commands, tmp_path: Path) -> None:
    assert supapy("backup", "-o", tmp_path / "other", "--no-storage").code == 0
    assert supapy.labels == []
    assert "No backup in" in supapy("list").out
    listed = supapy("--json", "list", "-o", tmp_path / "other").result["backups"]
    assert [backup["included"] for backup in listed] == [["database", "auth"]]
    assert supapy("verify", "--offline", "-o", tmp_path / "other").code == 0


def test_each_component_can_be_left_out_but_not_all(supapy: Commands) -> None:
    assert supapy("--json", "backup", "--no-database", "--no-auth").result["included"] == ["storage"]
    ran = supapy("backup", "--no-database", "--no-auth", "--no-storage")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: nothing is left to do\nhint: ")


def test_what_could_not_be_saved_is_named_once_and_ends_with_three(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    project = project_factory("holes")
    with owner(project.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
        connection.execute("INSERT INTO storage.objects (bucket_id, name, version) VALUES ('b', E'lost\\nfile', 'v')")
    supapy = Commands(tmp_path, settings_of(project))
    ran = supapy("backup")
    assert ran.code == 3
    assert ran.out.count("not saved: storage b/lost\\nfile: ") == 1
    assert ran.out.splitlines()[-1].endswith("of project holes, 1 problem")
    assert "not saved: storage b/lost\\nfile: " in supapy("--quiet", "backup").out
    told = supapy("--json", "backup").result
    assert [problem["name"] for problem in told["problems"]] == ["b/lost\nfile"]
    assert told["exit_code"] == 3
    assert re.search(r" holes +database, storage, auth +1$", supapy("list").out, re.MULTILINE)
    assert "not saved: storage b/lost\\nfile: " in supapy("verify", "--offline").out


def test_list_shows_the_newest_first_and_the_damaged_as_damaged(tmp_path: Path) -> None:
    supapy = Commands(tmp_path, {})
    catalog = Catalog(LocalStore(tmp_path / "backups"))
    oldest, middle, newest = (make(catalog, []).label for _ in range(3))
    (tmp_path / "backups" / middle / "metadata.json").write_text("{")
    (tmp_path / "backups" / oldest / "metadata.json").unlink()
    ran = supapy("list")
    assert ran.code == 0
    head, first, second, why = ran.out.splitlines()
    assert head.split() == ["label", "age", "size", "project", "included", "problems"]
    assert re.fullmatch(rf"{newest} +just now +0 bytes +abcdefghijklmnopqrst +database, storage, auth +-", first)
    assert re.fullmatch(rf"{middle} +.* damaged", second)
    assert why == f"damaged: {middle}: metadata.json is damaged: no JSON object"
    told = supapy("--json", "list").result["backups"]
    assert [backup["label"] for backup in told] == [newest, middle]
    assert "damaged" in told[1]


def test_list_needs_no_project(tmp_path: Path) -> None:
    ran = Commands(tmp_path, {})("list")
    assert (ran.code, ran.out) == (0, "No backup in backups. Make one with `supapy backup`.\n")


def test_a_name_that_the_terminal_can_not_show_stops_nothing(tmp_path: Path) -> None:
    ran = Commands(tmp_path, {}).process("list", "-o", "Ünï", PYTHONIOENCODING="ascii")
    assert (ran.code, ran.out) == (0, "No backup in \\xdcn\\xef. Make one with `supapy backup`.\n")


def test_verify_takes_the_newest_and_holds_it_against_the_project(supapy: Commands) -> None:
    supapy("backup", "--no-storage", "--no-auth")
    supapy("backup")
    ran = supapy("verify")
    assert ran.code == 0, ran.out
    assert re.search(r"^storage +1 +bucket rows$", ran.out, re.MULTILINE)
    assert re.search(r"^ +3 +files byte for byte$", ran.out, re.MULTILINE)
    assert ran.out.splitlines()[-1].startswith(f"{supapy.labels[0]}: ")
    assert ran.out.splitlines()[-1].endswith("files as saved, and equal to project source")


def test_verify_quick_leaves_the_bytes_alone(supapy: Commands, saved: Path) -> None:
    proofs = supapy("--json", "verify", saved, "--quick").result["proofs"]
    assert "bucket rows" in [proof["sort"] for proof in proofs]
    assert "files byte for byte" not in [proof["sort"] for proof in proofs]


def test_verify_without_a_project_checks_the_files_alone_and_says_so(saved: Path, tmp_path: Path) -> None:
    ran = Commands(tmp_path, {})("verify", saved)
    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("files as saved; no project is set to compare it with")


def test_verify_with_half_the_settings_is_told_which_one_is_missing(saved: Path, tmp_path: Path) -> None:
    ran = Commands(tmp_path, {"SUPABASE_URL": "http://127.0.0.1:1"})("verify", saved)
    assert ran.code == 2
    assert "SUPABASE_KEY is not set" in ran.err


def test_verify_names_the_first_differences_and_all_with_v(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    supapy = Commands(tmp_path, settings_of(project_factory("empty")))
    ran = supapy("verify", saved)
    assert ran.code == 3
    total = int(re.search(r"differs from it in (\d+) places$", ran.out.splitlines()[-1])[1])  # type: ignore[index]
    assert len(re.findall(r"^(?:missing|changed|extra): ", ran.out, re.MULTILINE)) == 20
    assert f"… and {total - 20} more differences; " in ran.out
    every = supapy("-v", "verify", saved)
    assert len(re.findall(r"^(?:missing|changed|extra): ", every.out, re.MULTILINE)) == total
    assert "missing: storage object photos/trip/b.png" in every.out
    assert len(supapy("--json", "verify", saved).result["differences"]) == total


def test_a_restore_brings_everything_back_and_proves_it(
    source: SandboxProject, saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    file = env_file(target, tmp_path)
    # What the environment says of the source must not matter once a file is named.
    supapy = Commands(tmp_path, settings_of(source))
    ran = supapy("--env-file", file, "restore", saved, "--yes")
    assert ran.code == 0, ran.out + ran.err
    assert f"{saved.name} of project source goes into project target:" in ran.out
    assert re.search(r"^ +3 +files byte for byte$", ran.out, re.MULTILINE)
    assert ran.out.splitlines()[-1] == f"{saved.name} is restored into project target: the two are equal"
    with owner(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM public.stops").fetchone() == (20,)
        assert connection.execute("SELECT count(*) FROM storage.objects").fetchone() == (len(FILES),)
    assert supapy("--env-file", file, "verify", saved).code == 0
    again = supapy("--env-file", file, "restore", saved, "--yes")
    assert again.code == 60
    assert "project target" in again.err


def test_a_target_that_grants_more_than_the_source_had_ends_with_three(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("generous")
    with superuser(target.database) as connection:
        # It comes after all grants are settled, and nothing that a restore takes away beforehand keeps it from that.
        connection.execute("""
            CREATE FUNCTION extensions.open_up() RETURNS event_trigger LANGUAGE plpgsql AS
                'BEGIN GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC; END';
            CREATE EVENT TRIGGER open_up ON ddl_command_end WHEN TAG IN ('ALTER DEFAULT PRIVILEGES')
                EXECUTE FUNCTION extensions.open_up();
            ALTER EVENT TRIGGER open_up ENABLE ALWAYS""")
    supapy = Commands(tmp_path, settings_of(target))
    ran = supapy("restore", saved, "--yes", "--no-storage")
    assert (ran.code, "not restored" in ran.out) == (3, False), ran.out + ran.err
    told = "SELECT to PUBLIC by postgres: saved nothing, found granted"
    assert re.findall(r"^(?:changed|missing|extra): .*$", ran.out, re.MULTILINE) == [
        f"changed: database grants on TABLE public.{table}: {told}" for table in ("names", "stops", "trips")
    ]


def test_a_restore_of_one_component_leaves_the_others_alone(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("users-only")
    supapy = Commands(tmp_path, settings_of(target))
    ran = supapy("--json", "restore", saved, "--yes", "--no-database", "--no-storage")
    assert {proof["part"] for proof in ran.result["proofs"]} == {"auth"}
    (plan,) = (event for event in ran.objects if event.get("event") == "planned")
    assert (plan["source"], plan["target"], len(plan["steps"]), plan["held"]) == ("source", "users-only", 1, [])
    with owner(target.database) as connection:
        assert connection.execute("SELECT email FROM auth.users").fetchall() == [("ada@example.com",)]
        assert connection.execute("SELECT count(*) FROM storage.buckets").fetchone() == (0,)


def test_a_restore_must_be_told_which_backup(supapy: Commands, saved: Path) -> None:
    for arguments in ((), (saved, "--latest")):
        ran = supapy("restore", *arguments, "--yes")
        assert (ran.code, ran.err.splitlines()[0]) == (2, "error: which backup?")


def test_a_restore_on_a_pipe_without_yes_shows_its_plan_and_writes_nothing(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("unasked")
    supapy = Commands(tmp_path, settings_of(target))
    ran = supapy.process("restore", saved, stdin="unasked\n")
    assert ran.code == 60
    assert "1. 1 user " in ran.out
    assert ran.err.splitlines() == [
        "error: nobody is here to confirm the restore into unasked",
        "hint: Nothing was written. Say --yes.",
    ]
    with owner(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)


def test_on_a_terminal_a_restore_asks_for_the_targets_ref(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("asked")
    # Who is asked sees what he is asked about, also when he wants quiet.
    wrong, said = on_terminal(settings_of(target), tmp_path, "-q", "restore", str(saved), typed="yes\r")
    assert wrong == 60
    assert "goes into project asked:" in said
    assert "error: not confirmed" in said
    for typed in ("\x03", "\x04"):
        given_up, said = on_terminal(
            settings_of(target), tmp_path, "restore", str(saved), typed=typed, once="ref (asked)"
        )
        assert given_up == 130
        assert "hint: Nothing was written." in said
    with owner(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)
    right, said = on_terminal(settings_of(target), tmp_path, "restore", str(saved), typed="asked\r")
    assert right == 0
    assert "the two are equal" in said


def test_a_terminal_gets_bars_and_colours_unless_it_asks_for_none(source: SandboxProject, tmp_path: Path) -> None:
    _, said = on_terminal(settings_of(source), tmp_path, "backup")
    assert "━" in said
    assert "\x1b[1;32m" in said
    _, plain = on_terminal({**settings_of(source), "NO_COLOR": "1"}, tmp_path, "backup")
    assert "━" in plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


def test_json_is_one_object_a_line_and_ends_with_the_result(supapy: Commands) -> None:
    ran = supapy("--json", "backup")
    assert (ran.code, ran.err) == (0, "")
    *events, last = ran.objects
    assert list(last) == ["result"]
    assert last["result"]["label"] == supapy.labels[0]
    of_tables = {"expected", "tablebegun", "tablemoved", "tableended"}
    assert {event["event"] for event in events} == {"started", "advanced", "finished", "saved", "noted"} | of_tables
    files = [event["path"] for event in events if event["event"] == "saved"]
    assert "storage/photos/trip/b.png" in files
    moved = sum(event["amount"] for event in events if event["event"] == "advanced")
    assert moved == last["result"]["bytes"]


def test_quiet_says_nothing_when_all_is_well(supapy: Commands) -> None:
    for arguments in (("backup",), ("verify",), ("doctor",), ("list",)):
        ran = supapy("-q", *arguments)
        assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_a_reader_that_goes_away_does_not_stop_a_backup(supapy: Commands) -> None:
    with supapy.started("backup") as child:
        assert child.stdout
        child.stdout.close()
        assert child.wait() == 0
        assert child.stderr
        assert child.stderr.read() == ""
    assert supapy("verify", "--offline").code == 0


def test_closed_streams_do_not_stop_a_backup(supapy: Commands) -> None:
    closed = ("sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *SUPAPY, "backup")
    assert run(closed, supapy.settings, supapy.folder).code == 0
    assert run((*closed[:-1], "restore", "--latest"), supapy.settings, supapy.folder).code == 60
    assert supapy("verify", "--offline").code == 0


def test_a_label_is_looked_for_in_the_folder_and_a_path_where_it_says(
    source: SandboxProject, saved: Path, tmp_path: Path
) -> None:
    elsewhere = Commands(tmp_path, {"BACKUP_DIR": str(saved.parent)})
    assert elsewhere("verify", saved.name, "--offline").code == 0
    assert elsewhere("verify", os.path.relpath(saved, tmp_path), "--offline").code == 0
    ran = elsewhere("verify", "backup_20200101_000000", "--offline")
    assert (ran.code, ran.err.splitlines()[0]) == (41, f"error: no backup backup_20200101_000000 in {saved.parent}")


TYPED_AGAIN_S = 2.0


def on_terminal(
    settings: dict[str, str], cwd: Path, *arguments: str, typed: str = "", once: str = ""
) -> tuple[int, str]:
    """Run the command on a terminal of its own and type something, once certain words are to be seen; gives its exit
    code and all that was shown."""
    ours, theirs = pty.openpty()
    # The terminal must be the child's own, or Ctrl-C means nothing there.
    take_it = "import os, sys; os.login_tty(0); os.execv(sys.executable, sys.argv[1:])"
    child = subprocess.Popen(
        [sys.executable, "-c", take_it, *SUPAPY, *arguments],
        env=environment({"TERM": "xterm-256color", **settings}),
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    try:
        os.close(theirs)
        said = b""
        while once.encode() not in said:
            said += os.read(ours, 65536)
        os.write(ours, typed.encode())
        while True:
            # What is typed before the command listens may be lost on its way from one mode of the terminal to another.
            if once and not select.select([ours], [], [], TYPED_AGAIN_S)[0]:
                os.write(ours, typed.encode())
                continue
            # A terminal whose last user has gone answers with an error, not with an end.
            if not (piece := _read(ours)):
                break
            said += piece
        return child.wait(), said.decode()
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_the_connection_is_given_back(supapy: Commands, source: SandboxProject) -> None:
    assert supapy("backup").code == 0
    with psycopg.connect(source.database.admin_dsn.reveal()) as connection:
        left = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('supapy', 'pg_dump', 'psql')"
        assert connection.execute(left).fetchone() == (0,)
