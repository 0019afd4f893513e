"""Which project is meant, and that URL, key and database are of one."""

from __future__ import annotations

import base64
import json

import pytest

from supapy.errors import AccessDenied, SupapyError, UsageError, WrongConnection, WrongProject
from supapy.project.project import Project
from supapy.secret import Secret

REF, OTHER = "abcdefghijklmnopqrst", "zyxwvutsrqponmlkjihg"
URL = f"https://{REF}.supabase.co"
DIRECT = f"postgresql://postgres:sesame@db.{REF}.supabase.co:5432/postgres"
POOLER = "postgresql://postgres.{}:sesame@aws-0-eu-central-1.pooler.supabase.com:5432/postgres"
LOCAL = "postgresql://postgres:sesame@127.0.0.1:54322/postgres"


def key(**claims: object) -> str:
    said = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{said}.c2lnbmF0dXJl"


SERVICE = key(iss="supabase", ref=REF, role="service_role")
SELF_HOSTED = key(iss="supabase", role="service_role")


def ref(url: str, secret: str, dsn: str) -> str:
    with Project(url, Secret(secret), Secret(dsn)) as project:
        return project.ref


@pytest.mark.parametrize(
    ("url", "secret", "dsn", "expected"),
    [
        (URL, SERVICE, DIRECT, REF),
        (f"{URL}/", SERVICE, POOLER.format(REF), REF),
        (URL, "sb_secret_0123456789", DIRECT, REF),
        (URL, SELF_HOSTED, LOCAL, REF),
        ("http://127.0.0.1:54321", SERVICE, LOCAL, REF),
        ("http://localhost:54321", SELF_HOSTED, LOCAL, "localhost:54321"),
        ("https://supabase.example.com/base/", "sb_secret_x", LOCAL, "supabase.example.com"),
        ("https://api.example.com", "sb_secret_x", POOLER.format(OTHER), OTHER),
    ],
)
def test_the_ref_is_told_by_the_url_the_key_or_the_database(url: str, secret: str, dsn: str, expected: str) -> None:
    assert ref(url, secret, dsn) == expected


@pytest.mark.parametrize(
    ("url", "secret", "dsn", "error"),
    [
        ("", SERVICE, DIRECT, UsageError),
        ("ftp://x", SERVICE, DIRECT, UsageError),
        (REF, SERVICE, DIRECT, UsageError),
        (f"http://{REF}.supabase.co", SERVICE, DIRECT, UsageError),
        ("http://192.168.0.7:8000", SELF_HOSTED, LOCAL, UsageError),
        ("http://127.0.0.1.example.com", SELF_HOSTED, LOCAL, UsageError),
        ("http://localhost.example.com", SELF_HOSTED, LOCAL, UsageError),
        (f"https://{OTHER}.supabase.co", SERVICE, DIRECT, WrongProject),
        (URL, SERVICE, DIRECT.replace(REF, OTHER), WrongProject),
        (URL, SERVICE, POOLER.format(OTHER), WrongProject),
        (URL, key(ref=REF, role="anon"), DIRECT, AccessDenied),
        (URL, key(ref=REF), DIRECT, AccessDenied),
        (URL, "sb_publishable_0123456789", DIRECT, AccessDenied),
        (URL, "nonsense", DIRECT, AccessDenied),
        (URL, "a.b.c", DIRECT, AccessDenied),
        (URL, "a.Ww.c", DIRECT, AccessDenied),
        (URL, SERVICE, "nonsense", UsageError),
        (URL, SERVICE, "postgresql://", UsageError),
        (URL, SERVICE, DIRECT.replace("5432", "6543"), WrongConnection),
        (URL, SERVICE, POOLER.format(REF).replace("5432", "6543"), WrongConnection),
        (URL, SERVICE, f"postgresql://postgres:pa@sesame@db.{REF}.supabase.co/postgres", UsageError),
        (URL, SERVICE, f"postgresql://postgres:pa/sesame@db.{REF}.supabase.co/postgres", UsageError),
    ],
)
def test_what_can_not_be_right_is_refused_before_anything_is_sent(
    url: str, secret: str, dsn: str, error: type[SupapyError]
) -> None:
    with pytest.raises(error) as caught:
        ref(url, secret, dsn)
    assert caught.value.hint
    said = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    assert "sesame" not in said
    assert secret == "nonsense" or secret not in said


def test_a_project_shows_its_ref_and_no_secret() -> None:
    with Project(URL, Secret(SERVICE), Secret(DIRECT)) as project:
        assert repr(project) == f"Project({REF})"
        assert "sesame" not in str(vars(project))
        assert SERVICE not in str(vars(project))
