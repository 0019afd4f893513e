"""What is left to a person after a restore, found out from the backup and the target: nothing that doesn't apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

from supapy.activate import Sleeper, has_key_of, sleepers
from supapy.backup import Backup
from supapy.choice import Choice
from supapy.errors import SupapyError
from supapy.model import Json
from supapy.names import literal, many, quoted
from supapy.parts.auth import ids_meant, sessions_back, sessions_saved
from supapy.parts.database.alive.cron import read_jobs
from supapy.parts.database.alive.quiesced import SUBSCRIPTION, Quiesce
from supapy.parts.database.alive.webhooks import unseen
from supapy.parts.database.inventory.contents import TOC_FILE, Contents
from supapy.parts.database.inventory.sealed import new_ids, not_back, saved_ids, sealed_in
from supapy.parts.database.platform.vault import SEALED
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.schema import Table, tables_of, user_tables

# Types whose texts hold no address.
_NO_TEXT = ("integer", "bigint", "smallint", "boolean", "numeric", "double", "real", "uuid", "bytea", "date", "time")
_AUTH_TABLES = ("users", "identities")
# How a backup names a role's password that it couldn't read.
_PASSWORD = "password of role "  # noqa: S105


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing to do by hand: what sort it is of, what to do, and with what by name."""

    sort: str
    text: str
    names: tuple[str, ...] = ()

    def to_json(self) -> Json:
        return asdict(self)


def cut_over(
    backup: Backup, project: Project, choice: Choice, *, users: int | None = None, scan_urls: bool = False
) -> list[Duty]:
    """What is left to do until the target can take the source's place. Reads only.

    `users` is how many were brought, None where that isn't known: nothing is left to do for nobody.
    With `scan_urls` every text of every table is looked through for the old project's address. What can't be found out
    is a duty of its own, and hides no other: the restore is done.
    """
    moved = project.ref != backup.source_ref
    found: list[tuple[str, Callable[[], Iterable[Duty]]]] = []
    if moved and choice.takes_the_place and (users != 0 or choice.database or choice.storage):
        found.append(("the new keys", partial(_keys, backup, project)))
    if project.has_database:
        if choice.brings_what_acts:
            found.append(("what sleeps", partial(_asleep, project)))
        finders = (_OF_USERS if choice.auth and moved and (users != 0 or choice.whole_database) else ()) + _FINDERS
        finders += _SCANNERS if moved and scan_urls else ()
        found += [(what, partial(_in_moment, project, find, backup, choice, moved)) for what, find in finders]
    elif choice.auth and moved and users != 0:
        found.append(("who is still signed in", partial(_signed_out, backup, choice)))
    if choice.auth and moved and choice.takes_the_place and users != 0:
        found.append(("the Auth server's settings", _auth_settings))
    found.append(("what the backup never had", partial(_by_hand, backup, choice)))
    return [duty for what, find in found for duty in _told(what, find)]


def _told(what: str, find: Callable[[], Iterable[Duty]]) -> list[Duty]:
    try:
        return list(find())
    except SupapyError as error:
        return [Duty("unknown", f"Find out by hand: {what}. It could not be found out: {error.message}")]


def _in_moment(project: Project, find: Finder, backup: Backup, choice: Choice, moved: bool) -> list[Duty]:
    # Each in one of its own: after an error nothing more can be asked in it.
    with project.moment() as moment:
        return list(find(backup, moment, choice, moved))


def _keys(backup: Backup, project: Project) -> Iterator[Duty]:
    yield Duty("keys", f"Put this project's address and keys into what uses {_host(backup)}: {project.url}")


def _host(backup: Backup) -> str:
    return str(backup.metadata["source"].get("host") or backup.source_ref)


def _asleep(project: Project) -> Iterator[Duty]:
    asleep: list[Sleeper] = [one for one in sleepers(project) if not one.gone]
    if asleep:
        old = sum(bool(one.old_urls) for one in asleep)
        calls = f", {old} of which would call the old project" if old else ""
        text = f"Look at {many(len(asleep), 'thing')} asleep{calls}, and wake what you want with supapy activate"
        yield Duty("asleep", text, tuple(one.name for one in asleep))
    if waiting := tuple(one.name for one in asleep if one.sort == SUBSCRIPTION):
        text = "Before these wake, switch them off where they run: what their publishers have sent since the backup, to"
        yield Duty("subscriptions", f"{text} whomever, isn't sent again", waiting)


def _read_only(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not choice.whole_database:
        return
    if names := tuple(name for (name,) in moment.rows(_READ_ONLY)):
        text = "These take no changes, as in the source, and supapy activate makes none either. Where that isn't meant"
        yield Duty("read-only", f"{text}: ALTER … RESET default_transaction_read_only", names)


def _webhooks(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if choice.brings_what_acts and moment.rows(_WAITS_FOR_WEBHOOKS if moment.rows(_LISTED) else _NOTHING):
        yield Duty("webhooks", "Switch Database Webhooks on in the dashboard (Integrations) before webhooks are woken")


def _unseen(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not (choice.brings_what_acts and choice.quiesce is Quiesce.ALL and moment.rows(_WAYS_OUT)):
        return
    if names := unseen(moment):
        text = "These are awake, and run statements that functions build as text (EXECUTE), in which a call out of the"
        yield Duty("unseen", f"{text} database isn't seen. Disable those that call what they mustn't", tuple(names))


def _sessions(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not moment.value("SELECT EXISTS (SELECT FROM auth.users)"):
        return
    came = sessions_back(backup, moment) if choice.people.brings_sessions(same_project=False) else 0
    if came:
        text = f"{many(came, 'session')} came back: they are good only once this project has the old signing keys"
        yield Duty("sessions", f"{text} or JWT secret; else users sign in anew")
    else:
        yield from _signed_out(backup, choice)


def _signed_out(backup: Backup, choice: Choice) -> Iterator[Duty]:
    if choice.people.is_everybody or sessions_saved(backup, choice.people):
        yield Duty("sessions", "Users sign in anew, with their old passwords: no session came back")


def _auth_settings() -> Iterator[Duty]:
    text = (
        "Set the Auth server up as the old one was (Authentication: URLs, e-mail templates, SMTP, hooks): mails that "
    )
    yield Duty("auth settings", f"{text}people ask for lead elsewhere until then. No backup has its settings")


def _providers(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    ids = ids_meant(backup, choice.people)
    there = {table.name for table in tables_of(moment, "auth") if table.readable}
    ways = " UNION ALL ".join(query for table, query in _WAYS if table in there)
    rows = moment.rows(_PROVIDERS.format(ways=ways), (None if ids is None else list(ids),))
    found = [f"{provider} ({many(count, 'user')})" for provider, count in rows]
    if found:
        text = (
            "Set up these ways to sign in, with their secrets and the new callback address (Authentication > Providers)"
        )
        yield Duty("providers", text, tuple(found))


def _apps(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not (choice.people.is_everybody and moment.rows(_HAS_APPS)):
        return
    if apps := tuple(name for (name,) in moment.rows(_APPS)):
        text = "Give this project's address to the apps that people sign in to with their accounts here (OAuth server)"
        yield Duty("oauth clients", text, apps)


def _functions(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not (choice.brings_what_acts and moved):
        return
    has_cron = bool(moment.rows("SELECT FROM pg_extension WHERE extname = 'pg_cron'"))
    listed = bool(moment.rows(_LISTED))
    query = _CALLED + (_CALLED_BY_JOBS if has_cron else "") + (_CALLED_ON_WAKING if listed else "")
    names = tuple(sorted({name for (name,) in moment.rows(query)}))
    if names:
        yield Duty("functions", "Deploy these Edge Functions, which the database calls, and enter their secrets", names)


def _vault(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not choice.whole_database or not backup.has(TOC_FILE):
        return
    contents = Contents.of(backup)
    missing = not_back(sealed_in(backup, contents), moment)
    if missing:
        text = "Make these secrets of the vault anew (SELECT vault.create_secret(value, name, description)): they are "
        yield Duty("vault", f"{text}sealed by a root key that this project hasn't", tuple(missing))
    changed = new_ids(saved_ids(backup, contents), moment)
    if changed:
        text = "Secrets of the vault have new ids: put them where the old ones stand"
        yield Duty("vault", text, tuple(f"{name}: {old} is {new}" for name, old, new in changed))
        servers = [name for name, options in moment.rows(_SERVERS) if any(old in options for _, old, _ in changed)]
        if servers:
            text = "These foreign servers name old ids of the vault (ALTER SERVER … OPTIONS (SET …))"
            yield Duty("foreign servers", text, tuple(servers))


def _by_hand(backup: Backup, choice: Choice) -> Iterator[Duty]:
    """What the backup says that it never had."""
    omissions = [one for one in backup.manifest[2] if one.part == "database" and choice.brings_what_acts]
    roles = tuple(one.name.removeprefix(_PASSWORD) for one in omissions if one.name.startswith(_PASSWORD))
    if roles:
        yield Duty("passwords", "Set the passwords of these roles (ALTER ROLE … PASSWORD '…')", roles)
    for omission in omissions:
        if not omission.name.startswith((_PASSWORD, SEALED)):
            yield Duty("not in the backup", f"{omission.name}. {omission.remedy}")


def _needle(backup: Backup) -> str:
    """What all addresses of the old project have: a hosted one answers at several names, which begin with its ref."""
    host, ref = _host(backup), backup.source_ref
    return f"{ref}." if host.startswith(f"{ref}.") else host


def _definitions(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    if not (choice.brings_what_acts and moved):
        return
    needle = _needle(backup)
    texts = [*moment.rows(_TEXTS), *((job.title, job.command) for job in read_jobs(moment) if job.acts)]
    names = sorted(name for name, text in texts if needle in text or has_key_of(text, backup.source_ref))
    if names:
        text = f"These have the old project's address ({needle.rstrip('.')}) or a key in them"
        yield Duty("definitions", f"{text}: define them anew with this project's", tuple(names))


def _addresses(backup: Backup, moment: Moment, choice: Choice, moved: bool) -> Iterator[Duty]:
    needle = _needle(backup)
    auth = [table for table in tables_of(moment, "auth") if table.name in _AUTH_TABLES]
    found = [place for table in (*user_tables(moment), *auth) for place in _holding(moment, table, needle)]
    if found:
        yield Duty("addresses", f"These rows still name the old project ({needle.rstrip('.')})", tuple(found))


def _holding(moment: Moment, table: Table, needle: str) -> Iterator[str]:
    columns = [one for one in table.stored_columns if not one.type.startswith(_NO_TEXT)]
    if not columns or not table.readable:
        return
    counts = ", ".join(
        f"count(*) FILTER (WHERE strpos({quoted(one.name)}::text, {literal(needle)}) > 0)" for one in columns
    )
    (row,) = moment.rows(f"SELECT {counts} FROM ONLY {table.sql}")
    for column, count in zip(columns, row, strict=True):
        if count:
            yield f"{table.schema}.{table.name}.{column.name}: {many(count, 'row')}"


Finder = Callable[[Backup, Moment, Choice, bool], Iterator[Duty]]
_OF_USERS: tuple[tuple[str, Finder], ...] = (
    ("who is still signed in", _sessions),
    ("ways to sign in", _providers),
    ("apps that people sign in to", _apps),
)
_FINDERS: tuple[tuple[str, Finder], ...] = (
    ("what takes no changes", _read_only),
    ("whether webhooks can run", _webhooks),
    ("what builds statements as text", _unseen),
    ("Edge Functions that are called", _functions),
    ("what is defined with the old address", _definitions),
    ("secrets of the vault", _vault),
)
_SCANNERS: tuple[tuple[str, Finder], ...] = (("rows with the old address", _addresses),)

_NOTHING = "SELECT WHERE false"
_LISTED = "SELECT WHERE pg_catalog.to_regclass('_supapy.quiesced') IS NOT NULL"
_READ_ONLY = """
SELECT coalesce('role ' || pg_catalog.quote_ident(r.rolname), 'the database')
FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
CROSS JOIN LATERAL pg_catalog.pg_options_to_table(s.setconfig)
WHERE option_name = 'default_transaction_read_only' AND option_value::boolean
    AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
ORDER BY 1
"""
_WAITS_FOR_WEBHOOKS = """
SELECT FROM _supapy.quiesced WHERE routine LIKE 'supabase_functions.%'
    AND pg_catalog.to_regproc('supabase_functions.http_request') IS NULL
"""
_WAYS_OUT = "SELECT FROM pg_catalog.pg_extension WHERE extname IN ('pg_net', 'http', 'dblink')"
# What acts or answers as it is written, and isn't asleep: what is has its addresses shown by `supapy activate`.
_TEXTS = """
SELECT pg_catalog.pg_describe_object(catalog, oid, 0), text FROM (
    SELECT tableoid, oid, pg_catalog.pg_get_functiondef(oid) FROM pg_catalog.pg_proc
        WHERE prokind IN ('f', 'p') AND oid >= 16384
    UNION ALL SELECT tableoid, oid, pg_catalog.pg_get_viewdef(oid) FROM pg_catalog.pg_class WHERE relkind IN ('v', 'm')
    UNION ALL SELECT tableoid, oid, pg_catalog.pg_get_expr(adbin, adrelid) FROM pg_catalog.pg_attrdef
    UNION ALL SELECT tableoid, oid, pg_catalog.concat_ws(' ', pg_catalog.pg_get_expr(polqual, polrelid),
        pg_catalog.pg_get_expr(polwithcheck, polrelid)) FROM pg_catalog.pg_policy
    UNION ALL SELECT tableoid, oid, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
        WHERE contype = 'c'
    UNION ALL SELECT tableoid, oid, pg_catalog.pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger
        WHERE NOT tgisinternal AND tgparentid = 0 AND tgenabled <> 'D'
    UNION ALL SELECT tableoid, oid, pg_catalog.pg_get_ruledef(oid) FROM pg_catalog.pg_rewrite
        WHERE rulename <> '_RETURN' AND ev_enabled <> 'D'
    UNION ALL SELECT tableoid, oid, typdefault FROM pg_catalog.pg_type WHERE typtype = 'd'
    UNION ALL SELECT tableoid, oid, pg_catalog.array_to_string(srvoptions, ' ') FROM pg_catalog.pg_foreign_server
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, ftrelid, pg_catalog.array_to_string(ftoptions, ' ')
        FROM pg_catalog.pg_foreign_table
) AS texts (catalog, oid, text) WHERE oid >= 16384 AND text IS NOT NULL
"""
# How people sign in, by the table that says so; a provider that nobody has come by yet is one, too.
_WAYS = (
    (
        "identities",
        "SELECT CASE WHEN starts_with(provider, 'sso:') THEN 'SSO' ELSE provider END, user_id FROM auth.identities "
        "WHERE provider <> 'email'",
    ),
    ("sso_providers", "SELECT 'SSO', NULL FROM auth.sso_providers"),
    ("custom_oauth_providers", "SELECT identifier, NULL FROM auth.custom_oauth_providers"),
    ("webauthn_credentials", "SELECT 'passkeys', user_id FROM auth.webauthn_credentials"),
    (
        "mfa_factors",
        "SELECT 'second factor by ' || factor_type, user_id FROM auth.mfa_factors "
        "WHERE factor_type <> 'totp' AND status = 'verified'",
    ),
)
_PROVIDERS = """
SELECT way, count(DISTINCT user_id) FROM ({ways}) AS ways (way, user_id), (SELECT %s::text[]) AS meant (ids)
WHERE ids IS NULL OR user_id::text = ANY (ids) GROUP BY 1 ORDER BY 1
"""
# Older Auth servers have no such table.
_HAS_APPS = "SELECT WHERE pg_catalog.to_regclass('auth.oauth_clients') IS NOT NULL"
_APPS = "SELECT coalesce(client_name, id::text) FROM auth.oauth_clients WHERE deleted_at IS NULL ORDER BY 1"
_NAME = "'/functions/v1/([A-Za-z][A-Za-z0-9_-]*)'"
_CALLED = f"""
SELECT (regexp_matches(prosrc, {_NAME}, 'g'))[1] FROM pg_catalog.pg_proc WHERE oid >= 16384
UNION SELECT (regexp_matches(pg_catalog.pg_get_triggerdef(oid), {_NAME}, 'g'))[1]
    FROM pg_catalog.pg_trigger WHERE NOT tgisinternal
UNION SELECT (regexp_matches(pg_catalog.pg_get_ruledef(oid), {_NAME}, 'g'))[1]
    FROM pg_catalog.pg_rewrite WHERE rulename <> '_RETURN' AND oid >= 16384
"""
_CALLED_BY_JOBS = f"UNION SELECT (regexp_matches(command, {_NAME}, 'g'))[1] FROM cron.job "
_CALLED_ON_WAKING = f"UNION SELECT (regexp_matches(statement, {_NAME}, 'g'))[1] FROM _supapy.quiesced "
_SERVERS = "SELECT srvname, pg_catalog.array_to_string(srvoptions, ' ') FROM pg_catalog.pg_foreign_server ORDER BY 1"
