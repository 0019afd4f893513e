"""A local project: its address, its keys, what survives a stop, and what is left when it can't start."""

from __future__ import annotations

import base64
import json
import socket
import stat
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.projects import ProjectFactory, owner, tools

from supapy.sandbox import process
from supapy.sandbox.project import SandboxProject


def get(project: SandboxProject, path: str, key: str) -> Any:
    request = urllib.request.Request(project.url + path, headers={"apikey": key, "Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def claims(key: str) -> dict[str, Any]:
    payload = key.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def test_a_bucket_made_by_sql_is_seen_by_the_service_key_and_not_by_the_anon_key(
    project: SandboxProject,
) -> None:
    with owner(project.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('photos', 'photos')")
    assert [bucket["id"] for bucket in get(project, "/storage/v1/bucket", project.service_key.reveal())] == ["photos"]
    assert get(project, "/storage/v1/bucket", project.anon_key.reveal()) == []


def test_the_keys_say_their_role_and_the_project(project_factory: ProjectFactory) -> None:
    project = project_factory("shop")
    for key, role in ((project.service_key, "service_role"), (project.anon_key, "anon")):
        said = claims(key.reveal())
        assert (said["iss"], said["ref"], said["role"]) == ("supabase", "shop", role)
        assert said["exp"] > said["iat"]


def test_keys_rows_and_ports_outlive_a_stop(project: SandboxProject) -> None:
    with owner(project.database) as connection:
        connection.execute("INSERT INTO storage.buckets (id, name) VALUES ('kept', 'kept')")
    before, ports = project.env_text(), (project.database.port, project.api.port if project.api else 0)
    project.down()
    project.up(*ports)
    assert project.env_text() == before
    assert [bucket["id"] for bucket in get(project, "/storage/v1/bucket", project.service_key.reveal())] == ["kept"]


def test_a_port_that_was_taken_meanwhile_gives_way_to_a_free_one(project: SandboxProject) -> None:
    project.down()
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = one.getsockname()[1], other.getsockname()[1]
        project.up(*ports)
        assert project.api
        assert not {project.database.port, project.api.port} & set(ports)
    assert get(project, "/storage/v1/bucket", project.service_key.reveal()) == []


def test_no_database_is_left_running_when_the_http_server_cannot_start(project: SandboxProject) -> None:
    project.down()
    (project.root / "storage").rmdir()
    (project.root / "storage").write_text("a file where a folder must be")
    with pytest.raises(OSError):
        project.up()
    assert project.database.pid is None


def test_a_project_whose_making_was_cut_short_is_made_anew(server_folder: Path, project: SandboxProject) -> None:
    project.down()
    (project.root / "keys.json").unlink()
    again = SandboxProject(project.root, "project", tools(17))
    try:
        again.up()
        assert get(again, "/storage/v1/bucket", again.service_key.reveal()) == []
    finally:
        again.down()


def test_a_stopped_project_leaves_no_process(project: SandboxProject) -> None:
    pid = project.database.pid
    assert pid
    project.down()
    assert process.identity(pid) is None


def test_the_keys_stand_in_a_file_that_others_cannot_read(project: SandboxProject) -> None:
    assert stat.S_IMODE((project.root / "keys.json").stat().st_mode) == 0o600
