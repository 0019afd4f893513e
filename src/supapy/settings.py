"""The settings: the only place that reads the environment.

Without `--env-file` the environment wins over a `.env` in the working folder. A file that is named wins over the
environment, and everything that says which project is meant then comes from it alone: a variable left over in a shell
must never turn a restore towards another project.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from supapy.errors import UsageError

# Each setting with the names it may have, the first being the one that messages and documents use.
PROJECT_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "SUPABASE_URL": ("SUPABASE_URL",),
    "SUPABASE_KEY": ("SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY"),
    "SUPABASE_DB_URL": ("SUPABASE_DB_URL",),
}
# Only asked for where an old project's key is to be replaced by it.
ANON_KEY = "SUPABASE_ANON_KEY"
ANON_KEY_NAMES = (ANON_KEY, "SUPABASE_PUBLISHABLE_KEY")
# An account's token, not a project's; Supabase's own tools call it so. Asked for by what the platform alone can do.
ACCESS_TOKEN = "SUPABASE_ACCESS_TOKEN"  # noqa: S105
# Where that API is, if not at Supabase's own address: a sandbox's.
MANAGEMENT_URL = "SUPABASE_MANAGEMENT_URL"
DEFAULT_BACKUP_DIR = "./backups"


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What the user set; values, `anon_key` and `access_token` may be secret. `origin` says where a missing one was
    looked for, `origins` where each one that is set was found."""

    values: Mapping[str, str]
    backup_dir: Path
    pg_bin: Path | None
    origin: str
    origins: Mapping[str, str] = field(default_factory=dict)
    anon_key: str = ""
    access_token: str = ""
    management_url: str = ""

    def need(self, name: str) -> str:
        """A setting that can't be done without. Raises UsageError naming it."""
        value = self.values.get(name, "")
        if not value:
            others = " or ".join(PROJECT_SETTINGS[name][1:])
            raise UsageError(
                f"{name} is not set in {self.origin}",
                f"Put it into .env or the environment{f' (also as {others})' if others else ''}; "
                ".env.example shows where to find it.",
            )
        return value


def load(env_file: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings from a named file, or else from the environment and the working folder's `.env`."""
    environ = os.environ if environment is None else environment
    if env_file is not None and not env_file.is_file():
        raise UsageError(f"no such file: {env_file}", "--env-file takes a file like .env.example.")
    filed = (str(env_file or ".env"), _read(env_file or Path(".env")))
    surroundings = ("the environment", environ)
    both = (filed, surroundings) if env_file else (surroundings, filed)
    naming_the_project = (filed,) if env_file else both
    of_the_project = {**PROJECT_SETTINGS, ANON_KEY: ANON_KEY_NAMES}
    found = {name: _first(naming_the_project, names) for name, names in of_the_project.items()}
    others = {name: _first(both, (name,)) for name in ("BACKUP_DIR", "SUPAPY_PG_BIN", ACCESS_TOKEN, MANAGEMENT_URL)}
    backup_dir, pg_bin, access_token, management_url = (value for value, _ in others.values())
    return Settings(
        values={name: found[name][0] for name in PROJECT_SETTINGS},
        backup_dir=Path(backup_dir or DEFAULT_BACKUP_DIR).expanduser(),
        pg_bin=Path(pg_bin) if pg_bin else None,
        origin=str(env_file) if env_file else "the environment or .env",
        origins={name: origin for name, (_, origin) in (found | others).items() if origin},
        anon_key=found[ANON_KEY][0],
        access_token=access_token,
        management_url=management_url.rstrip("/"),
    )


def _first(sources: Iterable[tuple[str, Mapping[str, str]]], names: Iterable[str]) -> tuple[str, str]:
    """The first value that isn't empty, and where it stands: sources in order, and in each the names in order."""
    wanted = tuple(names)
    for origin, source in sources:
        for name in wanted:
            if value := source.get(name, "").strip():
                return value, origin if name == wanted[0] else f"{origin}, as {name}"
    return "", ""


def _read(path: Path) -> dict[str, str]:
    try:
        # No interpolation: a password may well hold a dollar sign.
        return {key: value or "" for key, value in dotenv_values(path, interpolate=False, encoding="utf-8-sig").items()}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}", "It is a text file of NAME=value lines.") from None
