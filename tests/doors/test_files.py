"""Files, by the command: choosing some, fetching all, as many at once, into another bucket, out of a backup."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.doors.commands import FILES, Commands, settings_of
from tests.projects import ProjectFactory, superuser
from tests.waiting import put

from supapy.project.project import Project
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject

STORAGE = ("--no-database", "--no-auth")


def told(supapy: Commands, *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, message and hint of a run that is refused."""
    ran = supapy(*arguments)
    error, _, hint = ran.err.partition("\n")
    return ran.code, error.removeprefix("error: "), hint.strip().removeprefix("hint: ")


def fetched(source: SandboxProject) -> list[str]:
    """The files asked for since the last look."""
    assert source.api
    found = [seen.raw_path.partition("/photos/")[2] for seen in source.api.requests if "/photos/" in seen.raw_path]
    source.api.requests.clear()
    return sorted(found)


def held(supapy: Commands) -> set[str]:
    """The files in the newest backup."""
    folder = supapy.folder / "backups" / supapy.labels[0] / "storage" / "photos"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# --- backups ---------------------------------------------------------------------------------------------------------


def test_a_second_backup_fetches_nothing_and_a_full_one_everything(supapy: Commands, source: SandboxProject) -> None:
    assert supapy("backup", *STORAGE).code == 0
    fetched(source)
    assert supapy("backup", *STORAGE).code == 0
    assert fetched(source) == []
    assert supapy("backup", *STORAGE, "--full").code == 0
    assert fetched(source) == sorted(FILES)
    assert supapy("verify", "--offline").code == 0


@pytest.mark.parametrize(
    ("options", "files"),
    [
        (("--bucket", "photos"), set(FILES)),
        (("--bucket", "ph*"), set(FILES)),
        (("--prefix", "trip/"), {"trip/b.png"}),
        (("--prefix", "trip/", "--prefix", "a"), {"trip/b.png", "a.png"}),
        (("--exclude", "photos/trip/*"), {"a.png", "empty.png"}),
        (("--exclude", "*/a.png", "--exclude", "*empty*", "--concurrency", "1"), {"trip/b.png"}),
    ],
)
def test_some_files_are_saved_and_the_backup_says_so(
    supapy: Commands, options: tuple[str, ...], files: set[str]
) -> None:
    ran = supapy("--json", "backup", *STORAGE, *options)
    assert (ran.code, ran.result["problems"]) == (0, [])
    assert held(supapy) == files
    assert supapy("verify").code == 0


def test_what_fits_nothing_is_named(supapy: Commands) -> None:
    said = ("--bucket", "photos", "--bucket", "fotos", "--prefix", "", "--prefix", "Trip/", "--exclude", "*.tmp")
    ran = supapy("backup", *STORAGE, *said)
    assert ran.code == 3
    words = " ".join(ran.out.split())
    assert "--bucket fotos: there is no such bucket" in words
    assert "--prefix Trip/: no file that is meant begins like this" in words
    assert "--exclude *.tmp: no file looks like this" in words
    assert held(supapy) == set(FILES)


def test_an_exclusion_that_fits_nothing_is_no_failure(supapy: Commands) -> None:
    assert supapy("backup", *STORAGE, "--exclude", "*.tmp").code == 0


@pytest.mark.parametrize("number", ["0", "-1", "1001", "x", "1.5"])
def test_concurrency_is_a_number_from_one_to_a_thousand(supapy: Commands, number: str) -> None:
    code, error, _ = told(supapy, "backup", "--concurrency", number)
    assert (code, "--concurrency" in error) == (2, True)
    assert supapy.labels == []


def test_nothing_to_resume_is_told_with_what_to_do(supapy: Commands) -> None:
    code, error, hint = told(supapy, "backup", "--resume")
    assert (code, hint) == (41, "Leave --resume out.")
    assert "was cut short" in error
    assert supapy.labels == []


def test_a_run_that_broke_off_is_resumed_as_it_was_begun_and_not_otherwise(
    supapy: Commands, source: SandboxProject
) -> None:
    assert source.api
    source.api.faults.append(Fault(path="/photos/trip/", status=403, body=b'{"statusCode":"403"}'))
    code, error, hint = told(supapy, "backup", *STORAGE, "--concurrency", "1")
    assert (code, "refused the key" in error, "supapy backup --resume" in hint) == (22, True, True)
    code, error, hint = told(supapy, "backup", "--no-database", "--resume")
    assert (code, hint) == (40, "Leave --resume out, or say what was said then.")
    fetched(source)
    assert supapy("backup", *STORAGE, "--resume").code == 0
    assert "trip/b.png" in fetched(source)
    assert len(supapy.labels) == 1
    assert supapy("verify").code == 0


# --- restores --------------------------------------------------------------------------------------------------------


def keys(project: SandboxProject) -> set[tuple[str, str]]:
    with superuser(project.database) as connection:
        return set(connection.execute("SELECT bucket_id, name FROM storage.objects"))  # type: ignore[arg-type]


def test_some_files_are_restored_and_others_then_into_another_bucket(
    saved: Path, project_factory: ProjectFactory, tmp_path: Path
) -> None:
    target = project_factory("target")
    supapy = Commands(tmp_path, settings_of(target))
    some = ("restore", saved, "--yes", *STORAGE)
    ran = supapy(*some, "--bucket", "photos", "--prefix", "trip/")
    assert ran.code == 0, ran.err
    assert keys(target) == {("photos", "trip/b.png")}
    with superuser(target.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('rescued', 'rescued')")
    named = ("--into", "target", "--bucket", "photos", "--to-bucket", "rescued", "--exclude", "*/trip/*")
    ran = supapy(*some, *named)
    assert ran.code == 0, ran.err
    assert keys(target) == {("photos", "trip/b.png"), ("rescued", "a.png"), ("rescued", "empty.png")}
    code, error, _ = told(supapy, *some, "--into", "target", "--bucket", "photos", "--to-bucket", "nowhere")
    assert (code, "it has no bucket nowhere" in error) == (60, True)


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        (("--bucket", "fotos"), "--bucket fotos"),
        (("--bucket", "photos", "--bucket", "x", "--bucket", "y*"), "--bucket x, --bucket y*"),
        (("--prefix", "Trip/"), "--prefix Trip/"),
        (("--exclude", "trip/*"), "--exclude trip/*"),
    ],
)
def test_a_restore_of_what_the_backup_has_not_is_refused_and_its_buckets_are_named(
    saved: Path, supapy: Commands, options: tuple[str, ...], unused: str
) -> None:
    code, error, hint = told(supapy, "restore", saved, "--yes", "--into", "source", *STORAGE, *options)
    assert (code, error) == (2, f"the backup has nothing that fits {unused}")
    assert hint == "Nothing was written. It has files of the buckets: photos."


def test_a_restore_that_leaves_no_file_is_refused(saved: Path, supapy: Commands) -> None:
    code, error, hint = told(supapy, "restore", saved, "--yes", "--into", "source", *STORAGE, "--exclude", "photos/*")
    assert (code, error) == (2, "of the backup's files none is left")
    assert "--exclude" in hint


@pytest.mark.parametrize("options", [(), ("--bucket", "a", "--bucket", "b")])
def test_only_one_buckets_files_go_into_another(saved: Path, supapy: Commands, options: tuple[str, ...]) -> None:
    code, error, hint = told(supapy, "restore", saved, "--yes", *options, "--to-bucket", "x")
    assert (code, error) == (2, "into one bucket go the objects of one")
    assert "--bucket" in hint


# --- taking files out ------------------------------------------------------------------------------------------------

NO_PROJECT: dict[str, str] = {}


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        (("photos/a.png",), {"photos/a.png"}),
        (("photos/trip/",), {"photos/trip/b.png"}),
        (("photos/*.png",), {f"photos/{key}" for key in FILES}),
        (("photos/[ae]*", "photos/a.png"), {"photos/a.png", "photos/empty.png"}),
        (("photos/",), {f"photos/{key}" for key in FILES}),
    ],
)
def test_files_folders_and_patterns_are_taken_out_without_a_project(
    saved: Path, tmp_path: Path, wanted: tuple[str, ...], files: set[str]
) -> None:
    ran = Commands(tmp_path, NO_PROJECT)("--json", "extract", saved, *wanted, "--to", "out")
    assert ran.code == 0, ran.err
    assert {one["key"] for one in ran.result["files"]} == files
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == files
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == FILES[file.removeprefix("photos/")]


@pytest.mark.parametrize("wanted", ["photos/b.png", "photos/Trip/", "*.jpg", "photos", "objects", "../a.png"])
def test_what_the_backup_has_not_is_told_with_how_to_say_it(saved: Path, tmp_path: Path, wanted: str) -> None:
    supapy = Commands(tmp_path, NO_PROJECT)
    code, error, hint = told(supapy, "extract", saved, "photos/a.png", wanted, "--to", "out")
    assert (code, error) == (2, f"{saved.name} has no {wanted}")
    assert hint == "Say BUCKET/KEY, BUCKET/FOLDER/ or a pattern like 'b/*.jpg'."
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_there_is_not_written_over_nor_anything_beside_it(saved: Path, tmp_path: Path) -> None:
    supapy = Commands(tmp_path, NO_PROJECT)
    (tmp_path / "out" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "photos" / "empty.png").write_bytes(b"mine")
    code, error, hint = told(supapy, "extract", saved, "photos/", "--to", "out")
    assert (code, error) == (2, f"there is a file already: {Path('out/photos/empty.png')}")
    assert "--to" in hint
    assert [path.name for path in (tmp_path / "out" / "photos").iterdir()] == ["empty.png"]
    assert (tmp_path / "out" / "photos" / "empty.png").read_bytes() == b"mine"


def test_a_damaged_file_is_not_handed_out(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / saved.name)
    (tmp_path / saved.name / "storage/photos/a.png").write_bytes(b"0ne")
    code, error, _ = told(Commands(tmp_path, NO_PROJECT), "extract", saved.name, "photos/a.png", "--to", "out")
    assert (code, "a.png" in error) == (50, True)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_backup_that_is_none_is_told(tmp_path: Path) -> None:
    code, error, hint = told(Commands(tmp_path, NO_PROJECT), "extract", "backup_20200101_000000", "a/b")
    assert (code, bool(error), bool(hint)) == (41, True, True)


HOSTILE = ["A", "a", "a//b.txt", "CON", "dir", "dir/x", "q?x.txt", "trail ", "/lead", "folder/", "x:y*z"]


def test_files_of_awkward_names_are_taken_out_each_into_its_own(
    project_factory: ProjectFactory, tmp_path: Path
) -> None:
    awkward = project_factory("awkward")
    with superuser(awkward.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('b', 'b')")
    with Project(awkward.url, awkward.service_key, awkward.db_url) as project:
        for key in HOSTILE:
            put(project, "b", key, key.encode())
    supapy = Commands(tmp_path, settings_of(awkward))
    assert supapy("backup", *STORAGE).code == 0
    ran = supapy("--json", "extract", supapy.labels[0], *(f"b/{key}" for key in HOSTILE), "--to", "out")
    assert ran.code == 0, ran.err
    files = {one["key"]: tmp_path / one["path"] for one in ran.result["files"]}
    assert {key: path.read_bytes().decode() for key, path in files.items()} == {f"b/{key}": key for key in HOSTILE}
    assert len({str(path.resolve()).casefold() for path in files.values()}) == len(HOSTILE)
    assert all(path.resolve().is_relative_to(tmp_path / "out") for path in files.values())
