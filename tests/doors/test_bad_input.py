"""What a user gets wrong: a clear error with its exit code, before anything is written or lost."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from tests.doors.commands import Commands, settings_of
from tests.projects import ProjectFactory, owner, superuser

from supapy.draft import sealed
from supapy.sandbox.project import SandboxProject

HOSTED = "https://abcdefghijklmnopqrst.supabase.co"
# A name that is reserved for not being there.
NO_SUCH_HOST = "project.invalid"


def refused(supapy: Commands, *arguments: str | Path, **settings: str) -> tuple[int, str, str]:
    """Exit code, message and hint of a run that is refused, and leaves nothing behind."""
    before = supapy.labels
    ran = supapy(*arguments, **settings)
    assert ran.out == ""
    error, hint = ran.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert supapy.labels == before
    return ran.code, error.removeprefix("error: "), hint.removeprefix("hint: ")


@pytest.mark.parametrize("name", ["SUPABASE_URL", "SUPABASE_KEY"])
@pytest.mark.parametrize("value", ["", " "])
def test_a_missing_or_empty_setting_is_named(supapy: Commands, name: str, value: str) -> None:
    code, error, hint = refused(supapy, "backup", **{name: value})
    assert (code, error) == (2, f"{name} is not set in the environment or .env")
    assert ".env.example" in hint


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("backup",), "database"),
        (("backup", "--no-database"), "auth"),
        (("backup", "--no-storage", "--no-auth"), "database"),
        (("verify", "--no-storage"), "database"),
        (("restore", "--latest"), "database"),
    ],
)
def test_what_needs_a_database_is_refused_without_one_and_told_what_does_not(
    supapy: Commands, saved: Path, arguments: tuple[str, ...], part: str
) -> None:
    shown = {} if arguments[0] == "backup" else {"BACKUP_DIR": str(saved.parent)}
    ran = supapy("-q", *arguments, SUPABASE_DB_URL=" ", **shown)
    assert (ran.code, ran.out, supapy.labels) == (2, "", [])
    assert ran.err.splitlines()[0] == f"error: the {part} part needs SUPABASE_DB_URL, which is not set"
    assert "--no-database --no-auth" in ran.err


def test_a_file_of_settings_that_lacks_one_is_named(supapy: Commands) -> None:
    (supapy.folder / "half.env").write_text(f"SUPABASE_URL={HOSTED}\n")
    assert refused(supapy, "--env-file", "half.env", "backup")[:2] == (2, "SUPABASE_KEY is not set in half.env")
    assert refused(supapy, "--env-file", "gone.env", "backup")[:2] == (2, "no such file: gone.env")


def test_a_wrong_password_is_told_without_it(supapy: Commands, source: SandboxProject) -> None:
    wrong = source.db_url.reveal().replace(str(source.db_url.reveal().split(":")[2].split("@")[0]), "wrong-horse")
    code, error, hint = refused(supapy, "backup", SUPABASE_DB_URL=wrong)
    assert (code, error) == (22, "the database refused the password of postgres")
    assert "Settings > Database" in hint
    assert "wrong-horse" not in error + hint


def test_a_role_from_which_row_security_hides_rows_is_refused(supapy: Commands, source: SandboxProject) -> None:
    with superuser(source.database) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reader-secret'; GRANT pg_read_all_data TO reader")
    try:
        dsn = make_conninfo(source.db_url.reveal(), user="reader", password="reader-secret")
        code, error, hint = refused(supapy, "backup", SUPABASE_DB_URL=dsn)
    finally:
        with superuser(source.database) as connection:
            connection.execute("DROP ROLE reader")
    assert code == 22
    assert error.startswith("row security hides rows of table")
    assert hint.startswith("Connect as the project's postgres role")


def test_a_host_that_is_not_there_is_told_with_the_session_pooler(supapy: Commands) -> None:
    code, error, hint = refused(supapy, "backup", SUPABASE_DB_URL=f"postgresql://postgres:x@{NO_SUCH_HOST}/postgres")
    assert (code, error) == (21, f"no such host: {NO_SUCH_HOST}")
    assert "Session pooler" in hint


def test_a_port_where_nobody_listens_is_told(supapy: Commands) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        dsn = f"postgresql://postgres:x@127.0.0.1:{port}/postgres"
        code, error, hint = refused(supapy, "backup", SUPABASE_DB_URL=dsn)
    assert (code, error) == (21, f"no connection to 127.0.0.1 port {port}")
    assert "Connection refused" in hint


def test_the_transaction_pooler_is_refused_with_the_right_string(supapy: Commands) -> None:
    dsn = "postgresql://postgres.abc:x@aws-0-eu-west-1.pooler.supabase.com:6543/postgres"
    code, error, hint = refused(supapy, "backup", SUPABASE_DB_URL=dsn)
    assert (code, error.split(",")[0]) == (23, "port 6543 is the transaction pooler")
    assert "5432" in hint


@pytest.mark.parametrize(
    "dsn",
    ["nonsense", "https://correct-horse@x.co", "postgresql:///postgres", "postgresql://p:correct-horse@no..host/p"],
)
def test_what_is_no_connection_string_is_told(supapy: Commands, dsn: str) -> None:
    code, error, hint = refused(supapy, "backup", SUPABASE_DB_URL=dsn)
    assert code == 2
    assert error.startswith("SUPABASE_DB_URL ")
    assert "correct-horse" not in error + hint


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://x",
        "https://no..host",
        "https://x.co:99999",
        "https://a b.co",
        HOSTED.replace("https", "http"),
    ],
)
def test_a_url_that_can_not_be_used_is_told(supapy: Commands, url: str) -> None:
    code, error, _ = refused(supapy, "backup", SUPABASE_URL=url)
    assert code == 2
    assert error.startswith("SUPABASE_URL is")


def test_a_key_of_too_little_right_is_refused(supapy: Commands, source: SandboxProject) -> None:
    anon = source.anon_key.reveal()
    for key, said in (
        (anon, "the role 'anon'"),
        ("sb_publishable_x", "a publishable key"),
        ("x", "neither"),
        ("sb_secret_ä", "holds"),
    ):
        code, error, hint = refused(supapy, "backup", SUPABASE_KEY=key)
        assert code == 22
        assert said in error
        assert "service_role" in hint


def test_a_key_that_is_no_longer_valid_is_told_before_anything_is_read_or_written(
    supapy: Commands, source: SandboxProject, saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    key = source.service_key.reveal()
    ran = supapy("backup", SUPABASE_KEY=key[:-6] + "AAAAAA")
    assert ran.code == 22
    assert "the project refused the key" in ran.err
    assert "a secret key that is still valid" in ran.err
    assert "1 table" not in ran.out
    assert supapy.labels == []
    target = project_factory("target")
    settings = settings_of(target) | {"SUPABASE_KEY": target.service_key.reveal()[:-6] + "AAAAAA"}
    ran = Commands(tmp_path, settings)("restore", saved, "--yes")
    assert ran.code == 22
    assert "the project refused the key" in ran.err
    assert "half restored" not in ran.err
    with owner(target.database) as connection:
        assert connection.execute("SELECT count(*) FROM auth.users").fetchall() == [(0,)]
        assert connection.execute("SELECT to_regnamespace('supapy_restore')").fetchall() == [(None,)]


def test_a_key_of_another_project_is_refused(supapy: Commands) -> None:
    code, error, _ = refused(supapy, "backup", SUPABASE_URL=HOSTED)
    assert (code, error) == (24, "the service key is of project source, SUPABASE_URL of abcdefghijklmnopqrst")


def test_a_database_of_another_project_is_refused(supapy: Commands) -> None:
    dsn = "postgresql://postgres:x@db.zzzzzzzzzzzzzzzzzzzz.supabase.co:5432/postgres"
    code, error, _ = refused(supapy, "backup", SUPABASE_DB_URL=dsn)
    assert (code, error) == (24, "SUPABASE_DB_URL leads to project zzzzzzzzzzzzzzzzzzzz, SUPABASE_URL to source")


def test_a_folder_that_can_not_be_written_is_told(supapy: Commands) -> None:
    (supapy.folder / "backups").write_text("a file")
    ran = supapy("backup")
    assert ran.code in range(30, 40)
    assert (supapy.folder / "backups").read_text() == "a file"


@pytest.mark.parametrize("option", ["--password", "--key", "--db-url", "--service-role-key", "--token", "--dsn", "-p"])
def test_no_option_takes_a_secret(tmp_path: Path, option: str) -> None:
    commands = ("backup", "restore", "verify", "list", "config", "doctor", None)
    for command in commands if option == "--password" else ("backup",):
        ran = Commands(tmp_path, {})(*((command,) if command else ()), option, "correct-horse")
        assert ran.code == 2
        assert "visible to everyone in the list of processes" in ran.err
        assert "correct-horse" not in ran.err + ran.out


def test_an_address_given_as_a_backup_is_not_repeated(supapy: Commands) -> None:
    code, error, hint = refused(supapy, "restore", "postgresql://postgres:correct-horse@host/postgres")
    assert code == 2
    assert "correct-horse" not in error + hint


def test_an_option_in_the_wrong_place_is_told_its_place(supapy: Commands) -> None:
    code, _, hint = refused(supapy, "backup", "--quiet")
    assert (code, hint) == (2, "It stands before the command: supapy --quiet backup.")
    ran = supapy("backup", "--json")
    assert ran.err.endswith("hint: It stands before the command: supapy --json backup.\n")


def test_with_json_an_error_is_one_object_whatever_is_wrong(supapy: Commands) -> None:
    for arguments, code in ((("--nothing",), 2), (("frob",), 2), (("verify", "nothing"), 41), (("restore",), 2)):
        ran = supapy("--json", *arguments)
        assert (ran.code, ran.out) == (code, "")
        said = json.loads(ran.err)
        assert list(said) == ["error", "hint", "exit_code"]
        assert said["exit_code"] == code


@pytest.mark.parametrize("arguments", [("frobnicate",), ("--frobnicate",), ("backup", "extra"), ("list", "--frob")])
def test_what_there_is_not_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, _, hint = refused(Commands(tmp_path, {}), *arguments)
    assert code == 2
    assert "--help` shows" in hint


# What happens to the copy of a backup, the exit code, and words of the error.
Damage = Callable[[Path], object]


def _longer(folder: Path) -> None:
    with (folder / "database.sql").open("ab") as file:
        file.write(b"\n")


def _other_format(folder: Path) -> None:
    said = json.loads((folder / "metadata.json").read_text())
    said.pop("sha256")
    (folder / "metadata.json").write_bytes(sealed(said | {"format": 99}))


def _flip(folder: Path) -> None:
    file = folder / "storage" / "photos" / "a.png"
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def _truncate(name: str) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


DAMAGES: dict[str, tuple[Damage, int, str]] = {
    "no metadata": (lambda folder: (folder / "metadata.json").unlink(), 50, "has no metadata.json"),
    "metadata cut off": (_truncate("metadata.json"), 50, "metadata.json is damaged"),
    "metadata not JSON": (lambda folder: (folder / "metadata.json").write_text("[]"), 50, "metadata.json is damaged"),
    "manifest cut off": (_truncate("manifest.jsonl"), 50, "manifest.jsonl isn't the one that was saved"),
    "manifest gone": (lambda folder: (folder / "manifest.jsonl").unlink(), 50, "manifest.jsonl is missing"),
    "users cut off": (_truncate("auth_users.json"), 50, "auth_users.json (not the bytes that were saved)"),
    "script longer": (_longer, 50, "database.sql (not the bytes that were saved)"),
    "a bit flipped": (_flip, 50, "storage/photos/a.png (not the bytes that were saved)"),
    "a file gone": (lambda folder: (folder / "storage/photos/a.png").unlink(), 50, "a.png (the file is gone)"),
    "a strange file": (lambda folder: (folder / "storage/photos/x").write_text(""), 50, "x (not in the manifest)"),
    "another format": (_other_format, 51, "is of format 99, this version knows 1"),
}


@pytest.fixture(scope="module")
def empty(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProject]:
    """A project that stays empty."""
    with ExitStack() as cleanup:
        yield ProjectFactory(server_folder, cleanup)("empty")


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_backup_is_told_and_nothing_of_it_is_applied(
    saved: Path, empty: SandboxProject, tmp_path: Path, kind: str
) -> None:
    damage, code, said = DAMAGES[kind]
    folder = tmp_path / saved.name
    shutil.copytree(saved, folder)
    damage(folder)
    supapy = Commands(tmp_path, settings_of(empty))
    seen = len(empty.api.requests) if empty.api else 0
    for command in (("verify", folder, "--offline"), ("restore", folder, "--yes")):
        ran = supapy(*command)
        assert ran.code == code
        assert said in ran.err
    assert nothing_in(empty)
    assert empty.api
    assert len(empty.api.requests) == seen


def test_a_folder_that_is_no_backup_at_all_is_told(supapy: Commands, tmp_path: Path) -> None:
    (tmp_path / "photos of the sea").mkdir()
    for path in (tmp_path / "photos of the sea", tmp_path / "nothing"):
        code, _, _ = refused(supapy, "verify", path, "--offline")
        assert code == (50 if path.exists() else 41)


def test_a_target_that_is_not_empty_is_refused_and_left_as_it_was(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("lived-in")
    with owner(target.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('mine', 'mine')")
    supapy = Commands(tmp_path, settings_of(target))
    ran = supapy("restore", saved, "--yes")
    assert ran.code == 60
    assert ran.err.splitlines()[0] == "error: project lived-in isn't empty: it holds 1 storage bucket"
    assert "--into lived-in" in ran.err
    wrong = supapy("restore", saved, "--yes", "--into", "another")
    assert wrong.code == 60
    assert "lead to project lived-in, not to another" in wrong.err
    with owner(target.database) as connection:
        assert connection.execute("SELECT id FROM storage.buckets").fetchall() == [("mine",)]
        assert connection.execute("SELECT count(*) FROM auth.users").fetchone() == (0,)
    meant = supapy("restore", saved, "--yes", "--into", "lived-in")
    assert meant.code == 0, meant.out + meant.err
    assert "lived-in isn't empty: it holds 1 storage bucket" in meant.out


def test_the_source_itself_is_refused_as_a_target(supapy: Commands, saved: Path) -> None:
    ran = supapy("restore", saved, "--yes", "--no-database", "--no-storage")
    assert ran.code == 60
    assert "source is the one this backup was made of" in ran.err


def nothing_in(project: SandboxProject) -> bool:
    """Whether a project has no table, no user and no bucket."""
    counts = (
        "SELECT (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') + (SELECT count(*) FROM auth.users)"
        " + (SELECT count(*) FROM storage.buckets)"
    )
    with owner(project.database) as connection:
        return connection.execute(counts).fetchone() == (0,)


def test_a_bug_is_told_as_one_and_shows_its_place_only_when_asked_and_never_a_secret(tmp_path: Path) -> None:
    # No input is known that meets a bug; a library that fails at once, with words nobody expected, comes close.
    (tmp_path / "psycopg.py").write_text("import os\nraise KeyError(os.environ['SUPABASE_KEY'])\n")
    supapy = Commands(tmp_path, {"SUPABASE_KEY": "sb_secret_correct-horse", "PYTHONPATH": str(tmp_path)})
    ran = supapy.process("backup")
    assert (ran.code, ran.err.splitlines()[0]) == (1, "error: this is a bug in supapy: KeyError")
    assert "Traceback" not in ran.err
    told = supapy.process("--json", "-v", "backup")
    assert json.loads(told.err)["exit_code"] == 1
    loud = supapy.process("-v", "backup")
    assert "psycopg.py" in loud.err
    assert "KeyError: '******'" in loud.err
    assert "correct-horse" not in ran.err + told.err + loud.err
