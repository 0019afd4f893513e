"""`supapy config`."""

from __future__ import annotations

import re

import click

from supapy.cli.shell import Shell
from supapy.secret import Secret
from supapy.settings import ACCESS_TOKEN, ANON_KEY, MANAGEMENT_URL


@click.command()
@click.pass_obj
def config(shell: Shell) -> None:
    """Show the settings and where they come from. Secrets are masked; nothing is asked of the project."""
    from supapy.cli.words import shown

    settings, screen = shell.settings, shell.screen
    url, key, db_url = (settings.values[name] for name in ("SUPABASE_URL", "SUPABASE_KEY", "SUPABASE_DB_URL"))
    values = {
        "SUPABASE_URL": _without_user(url),
        "SUPABASE_KEY": _masked(key),
        ANON_KEY: _masked(settings.anon_key),
        "SUPABASE_DB_URL": _without_password(Secret(db_url)) if db_url else "",
        ACCESS_TOKEN: _masked(settings.access_token),
        MANAGEMENT_URL: _without_user(settings.management_url),
        "BACKUP_DIR": str(settings.backup_dir),
        "SUPAPY_PG_BIN": str(settings.pg_bin or ""),
    }
    origins = {name: settings.origins.get(name, "default" if value else "") for name, value in values.items()}
    rows = [(name, shown(value) or "not set", origins[name]) for name, value in values.items()]
    screen.table(("setting", "value", "from"), rows)
    screen.result({name: {"value": value or None, "from": origins[name] or None} for name, value in values.items()})


def _without_user(url: str) -> str:
    return re.sub(r"//[^/]*@", "//******@", url)


def _masked(secret: str) -> str:
    return Secret(secret).masked() if secret else ""


def _without_password(db_url: Secret) -> str:
    """A connection string put together anew from the pieces that may be seen; masked whole when it can't be read."""
    from supapy.errors import SupapyError
    from supapy.project.postgres import parse

    try:
        parts = parse(db_url)
    except SupapyError:
        return db_url.masked()
    name = parts.get("host") or parts.get("hostaddr")
    where = f"{name}:{parts.get('port', '5432')}/{parts.get('dbname', '')}"
    return f"postgresql://{parts.get('user', '')}{':******' if 'password' in parts else ''}@{where}"
