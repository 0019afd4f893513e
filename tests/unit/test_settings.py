"""Which value counts, and that a named file isn't mixed with what happens to be set."""

from __future__ import annotations

from pathlib import Path

import pytest

from supapy.errors import UsageError
from supapy.settings import DEFAULT_BACKUP_DIR, load

URL, KEY, DB = "SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_DB_URL"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_every_setting_is_missing_but_the_folder() -> None:
    settings = load(environment={})
    assert settings.backup_dir == Path(DEFAULT_BACKUP_DIR)
    assert settings.pg_bin is None
    for name in (URL, KEY, DB):
        with pytest.raises(UsageError, match=f"{name} is not set in the environment") as caught:
            settings.need(name)
        assert caught.value.exit_code == 2


def test_the_environment_wins_over_the_working_folders_file(here: Path) -> None:
    (here / ".env").write_text(f"{URL}=https://file\n{DB}=postgresql://file\nBACKUP_DIR=/file\n")
    settings = load(environment={URL: "https://environment", "BACKUP_DIR": "/environment"})
    assert (settings.need(URL), settings.need(DB)) == ("https://environment", "postgresql://file")
    assert settings.backup_dir == Path("/environment")


def test_an_empty_variable_counts_as_none(here: Path) -> None:
    (here / ".env").write_text(f"{URL}=https://file\n")
    assert load(environment={URL: " "}).need(URL) == "https://file"
    with pytest.raises(UsageError):
        load(environment={URL: "", DB: "  "}).need(DB)


@pytest.mark.parametrize("alias", ["SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY"])
def test_the_key_has_three_names(alias: str) -> None:
    assert load(environment={alias: " the key "}).need(KEY) == "the key"


def test_of_several_names_the_first_counts_within_one_source_and_the_nearer_source_before_it(here: Path) -> None:
    (here / ".env").write_text("SUPABASE_KEY=from the file\n")
    both = {"SUPABASE_SECRET_KEY": "third", "SUPABASE_SERVICE_ROLE_KEY": "second"}
    assert load(environment=both).need(KEY) == "second"
    assert load(environment={"SUPABASE_SECRET_KEY": "third"}).need(KEY) == "third"
    assert load(environment={}).need(KEY) == "from the file"


def test_a_named_file_alone_says_which_project_is_meant(here: Path) -> None:
    (here / ".env").write_text(f"{DB}=postgresql://source\n")
    (here / "target.env").write_text(f"{URL}=https://target\n")
    settings = load(here / "target.env", {KEY: "source key", DB: "postgresql://source", URL: "https://source"})
    assert settings.need(URL) == "https://target"
    for name in (KEY, DB):
        with pytest.raises(UsageError, match=r"is not set in .*target\.env"):
            settings.need(name)


def test_a_named_file_wins_where_backups_lie_and_the_environment_fills_in(here: Path) -> None:
    (here / "target.env").write_text("BACKUP_DIR=/target\n")
    settings = load(here / "target.env", {"BACKUP_DIR": "/environment", "SUPAPY_PG_BIN": "/pg"})
    assert (settings.backup_dir, settings.pg_bin) == (Path("/target"), Path("/pg"))
    (here / "target.env").write_text("")
    assert load(here / "target.env", {"BACKUP_DIR": "/environment"}).backup_dir == Path("/environment")


def test_a_named_file_that_is_not_there_is_told(here: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file: .*gone\.env"):
        load(here / "gone.env", {})


def test_a_file_that_is_no_text_is_told(here: Path) -> None:
    (here / "binary.env").write_bytes(b"SUPABASE_URL=\xff\xfe\x00")
    with pytest.raises(UsageError, match="can't be read"):
        load(here / "binary.env", {})


def test_values_are_taken_as_they_stand(here: Path) -> None:
    (here / ".env").write_text(
        f"# a comment\nexport {URL}='https://quoted'\n{DB}=postgresql://u:pa$HOME${{HOME}}ss#word@h/db # a comment\n"
    )
    settings = load(environment={})
    assert settings.need(URL) == "https://quoted"
    assert settings.need(DB) == "postgresql://u:pa$HOME${HOME}ss#word@h/db"


def test_a_file_from_an_editor_that_marks_its_encoding_is_read(here: Path) -> None:
    (here / ".env").write_bytes(b"\xef\xbb\xbf" + f"{URL}=https://marked\r\n{KEY}=k\r\n".encode())
    settings = load(environment={})
    assert (settings.need(URL), settings.need(KEY)) == ("https://marked", "k")


def test_settings_do_not_show_their_values() -> None:
    assert "sesame" not in repr(load(environment={KEY: "sesame", DB: "postgresql://u:sesame@h/db"}))
