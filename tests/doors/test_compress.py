"""A compressed backup does all that a plain one does, and any zstd reads it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.doors.commands import FILES, Commands, env_file
from tests.projects import ProjectFactory

from supapy.sandbox.project import SandboxProject

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def test_a_compressed_backup_holds_what_a_plain_one_does(supapy: Commands) -> None:
    plain, made = (supapy("--json", "backup", *options).result for options in ((), ("--compress",)))
    one, other = (Path(supapy.folder, found["path"]) for found in (plain, made))
    written = {path.relative_to(other).as_posix() for path in other.rglob("*") if path.is_file()}
    objects = {f"storage/photos/{key}" for key in FILES}
    by_us = {path.relative_to(one).as_posix() for path in one.rglob("*") if path.is_file()} - objects
    by_us -= {"metadata.json", "manifest.jsonl"}
    assert {"database.sql", "tables_json/trips.json", "storage/objects.jsonl", "auth_users.json"} <= by_us
    assert written == objects | {f"{path}.zst" for path in by_us} | {"metadata.json", "manifest.jsonl"}
    for name in ("auth_users.json", "tables_json/trips.json", "storage/objects.jsonl"):
        assert zstd.decompress((other / f"{name}.zst").read_bytes()) == (one / name).read_bytes()
    # The files of Storage are the earlier backup's own.
    assert all((other / name).samefile(one / name) for name in objects)
    assert made["stored_bytes"] < made["bytes"]
    assert "compressed to" in supapy("backup", "--compress").out


def test_a_compressed_backup_is_verified_extracted_and_restored(
    supapy: Commands, project_factory: ProjectFactory
) -> None:
    target = project_factory("empty")
    assert supapy("backup", "--compress").code == 0
    assert supapy("verify").out.splitlines()[-1].endswith("and equal to project source")
    assert supapy("extract", supapy.labels[0], "photos/", "--to", "out").code == 0
    assert (supapy.folder / "out" / "photos" / "trip" / "b.png").read_bytes() == FILES["trip/b.png"]
    ran = supapy("--env-file", env_file(target, supapy.folder), "restore", "--latest", "--yes")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].endswith("the two are equal")


def test_a_damaged_compressed_file_is_named_and_nothing_is_restored(supapy: Commands, source: SandboxProject) -> None:
    assert supapy("backup", "--compress").code == 0
    for name in ("database.sql", "auth_users.json", "tables_json/trips.json"):
        damaged = supapy.folder / "backups" / supapy.labels[0] / f"{name}.zst"
        sound = damaged.read_bytes()
        for content in (sound[:-1], sound[:-20] + b"x" + sound[-19:], b"", sound + b"x"):
            damaged.write_bytes(content)
            ran = supapy("restore", "--latest", "--yes", "--into", source.ref)
            assert (ran.code, name in ran.err) == (50, True)
        assert supapy("verify", "--offline").code == 50
        damaged.write_bytes(sound)
