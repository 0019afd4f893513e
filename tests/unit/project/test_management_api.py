"""The Management API as supapy asks it, and as the sandbox answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.projects import ProjectFactory

from supapy.errors import AccessDenied, ApiError, Unreachable
from supapy.project.management_api import ManagementApi
from supapy.sandbox.api.faults import Fault
from supapy.sandbox.project import SandboxProject
from supapy.secret import Secret

KEY = Secret("ab" * 32)


@pytest.fixture
def api(project: SandboxProject) -> Iterator[ManagementApi]:
    with closing(ManagementApi(project.account.access_token, project.url)) as api:
        yield api


def test_a_root_key_is_read_and_set_in_each_project_of_the_account(
    api: ManagementApi, project: SandboxProject, project_factory: ProjectFactory
) -> None:
    other = project_factory("other")
    assert api.root_key("other") != api.root_key("project")
    api.set_root_key("other", KEY)
    assert api.root_key("other") == KEY
    assert other.database.root_key_file.read_text() == KEY.reveal()
    assert project.database.root_key_file.read_text() != KEY.reveal()


def test_the_token_is_sent_as_a_token_and_not_as_a_projects_key(api: ManagementApi, project: SandboxProject) -> None:
    with (
        closing(ManagementApi(project.service_key, project.url)) as with_a_key,
        pytest.raises(AccessDenied, match="refused the access token: Unauthorized") as refused,
    ):
        with_a_key.root_key("project")
    assert "SUPABASE_ACCESS_TOKEN" in str(refused.value.hint)
    assert project.service_key.reveal() not in str(refused.value)


@pytest.mark.parametrize("ref", ["nobody", "../project", "a b", "ä"])
def test_a_project_that_is_not_there_is_told(api: ManagementApi, ref: str) -> None:
    with pytest.raises(ApiError, match=f"project {ref}: its root key can't be read: 404 Project not found") as refused:
        api.root_key(ref)
    assert "paused" in str(refused.value.hint)


def test_what_is_no_key_is_not_taken_for_one(api: ManagementApi, project: SandboxProject) -> None:
    with pytest.raises(ApiError, match="its root key can't be set: 400 root_key"):
        api.set_root_key("project", Secret("short"))
    assert project.api
    for body in (b"{}", b"[]", b'{"root_key": 7}', b'{"root_key": ""}'):
        project.api.faults.append(Fault(status=200, body=body))
        with pytest.raises(ApiError, match="gives no root key of project project"):
            api.root_key("project")
    project.api.faults.append(Fault(status=200, body=b"<html>"))
    with pytest.raises(ApiError, match="isn't JSON"):
        api.root_key("project")


def test_too_many_requests_are_asked_again(api: ManagementApi, project: SandboxProject) -> None:
    assert project.api
    project.api.faults.append(Fault(status=429, headers={"Retry-After": "0"}))
    assert api.root_key("project")


def test_an_address_at_which_nobody_answers_is_told(project: SandboxProject) -> None:
    with (
        closing(ManagementApi(Secret("sbp_x"), "https://nowhere.invalid")) as api,
        pytest.raises(Unreachable) as refused,
    ):
        api.root_key("project")
    assert "Management API is at https://nowhere.invalid" in str(refused.value.hint)
