"""`supapy config`: every setting, where it comes from, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def config(folder: Path, *options: str, **settings: str) -> dict[str, Any]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("SUPA", "BACKUP_DIR"))}
    command = [sys.executable, "-m", "supapy", "--json", *options, "config"]
    said = subprocess.run(command, cwd=folder, env=plain | settings, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(said)["result"])


def test_what_is_not_set_is_told_and_so_is_what_is_by_default(tmp_path: Path) -> None:
    said = config(tmp_path)
    assert said["SUPABASE_URL"] == {"value": None, "from": None}
    assert said["BACKUP_DIR"] == {"value": "backups", "from": "default"}
    assert list(said) == [
        *("SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_DB_URL", "SUPABASE_ACCESS_TOKEN"),
        *("SUPABASE_MANAGEMENT_URL", "BACKUP_DIR", "SUPAPY_PG_BIN"),
    ]


def test_each_setting_tells_its_source_and_its_alias(tmp_path: Path) -> None:
    anon = config(tmp_path, SUPABASE_PUBLISHABLE_KEY="sb_publishable_x")["SUPABASE_ANON_KEY"]
    assert (anon["value"][:6], anon["from"]) == ("******", "the environment, as SUPABASE_PUBLISHABLE_KEY")
    (tmp_path / ".env").write_text("SUPABASE_SECRET_KEY=sb_secret_x\nBACKUP_DIR=/mnt/b\nSUPABASE_URL=https://old.co\n")
    said = config(tmp_path, SUPABASE_URL="https://new.co")
    assert said["SUPABASE_URL"] == {"value": "https://new.co", "from": "the environment"}
    assert said["SUPABASE_KEY"]["from"] == ".env, as SUPABASE_SECRET_KEY"
    assert said["BACKUP_DIR"] == {"value": "/mnt/b", "from": ".env"}
    (tmp_path / "other.env").write_text("SUPABASE_URL=https://other.co\n")
    named = config(tmp_path, "--env-file", "other.env", SUPABASE_URL="https://new.co", SUPABASE_KEY="sb_secret_x")
    assert named["SUPABASE_URL"] == {"value": "https://other.co", "from": "other.env"}
    assert named["SUPABASE_KEY"] == {"value": None, "from": None}


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        (
            "postgresql://postgres.abc:correct%2Fhorse@aws-0-x.pooler.supabase.com:5432/postgres?sslmode=require",
            "postgresql://postgres.abc:******@aws-0-x.pooler.supabase.com:5432/postgres",
        ),
        ("host=db.x.co user=p password='correct horse' dbname=d", "postgresql://p:******@db.x.co:5432/d"),
        ("postgresql://p@db.x.co/d?password=correct-horse", "postgresql://p:******@db.x.co:5432/d"),
        ("postgresql://p@db.x.co/d", "postgresql://p@db.x.co:5432/d"),
    ],
)
def test_a_connection_is_shown_without_its_password(tmp_path: Path, dsn: str, shown: str) -> None:
    assert config(tmp_path, SUPABASE_DB_URL=dsn)["SUPABASE_DB_URL"]["value"] == shown


@pytest.mark.parametrize("dsn", ["correct-horse", "postgresql://p:correct-horse@x.co:6543/d", "p:correct@horse@x"])
def test_a_connection_that_can_not_be_used_is_masked_whole(tmp_path: Path, dsn: str) -> None:
    assert "correct" not in config(tmp_path, SUPABASE_DB_URL=dsn)["SUPABASE_DB_URL"]["value"]
