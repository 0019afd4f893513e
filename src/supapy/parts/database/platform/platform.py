"""What the platform owns and makes itself, told apart from what is the user's (F§4.3-4.7)."""

from __future__ import annotations

# Reserved roles (F§4.3, F§4.4), which a restore neither makes nor alters. `postgres` is the user's own.
_PLATFORM_ROLES = frozenset(
    {"pgbouncer", "dashboard_user", "authenticator", "anon", "authenticated", "service_role", "pgtle_admin"}
)
_PLATFORM_ROLE_PREFIXES = ("supabase_", "pg_", "cli_login_", "pgsodium_")
# The owner of a database is its implicit member, so what it owns (schema public) is the user's.
_DATABASE_OWNER = "pg_database_owner"

# The roles of the API: not the user's, but postgres is their member with admin option, may give objects to them,
# change their settings and grant them.
API_ROLES = frozenset({"anon", "authenticated", "service_role"})
# The platform's roles whose settings users change (F§4.3).
SETTABLE_ROLES = API_ROLES | {"authenticator", "postgres"}

# Roles of PostgreSQL's that reach out of the database: supautils lets nobody grant them (F§4.4).
RESERVED_MEMBERSHIPS = frozenset({"pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"})

# Why a security label doesn't come back; hosted projects of old had one, pgsodium's (recipe §10).
UNLABELLED = "No project has a provider for it"

# Prefixes of the settings with a dot that postgres may set (F§4.4).
SETTABLE_PREFIXES = frozenset(
    {"pgrst", "pgaudit", "auto_explain", "pg_stat_statements", "plan_filter", "safeupdate", "plpgsql", "cron"}
)

# Functions in `extensions` that are the platform's; on older projects postgres owns them.
EXTENSIONS_FUNCTIONS = frozenset(
    {
        "grant_pg_cron_access",
        "grant_pg_graphql_access",
        "grant_pg_net_access",
        "pgrst_ddl_watch",
        "pgrst_drop_watch",
        "set_graphql_placeholder",
    }
)
# Functions that policies and triggers call; whoever owns them on an older project, every target has them.
PLATFORM_ROUTINES = frozenset(
    {("auth", name) for name in ("uid", "role", "email", "jwt")}
    | {("storage", name) for name in (
        "foldername", "filename", "extension", "operation", "allow_any_operation", "allow_only_operation",
        "can_insert_object", "search", "search_v2", "get_size_by_bucket",
    )}
)  # fmt: skip
# Event triggers of the platform, whoever owns them (F§4.7).
EVENT_TRIGGERS = frozenset(
    {
        "issue_pg_cron_access",
        "issue_pg_graphql_access",
        "issue_graphql_placeholder",
        "issue_pg_net_access",
        "pgrst_ddl_watch",
        "pgrst_drop_watch",
    }
)
# The publication that every project has and users change (F§4.6), and the beginning of those that are not for users.
REALTIME_PUBLICATION = "supabase_realtime"
PLATFORM_PUBLICATION_PREFIX = "supabase_realtime_messages"

# Tables whose policies postgres may write without owning them (F§4.4).
POLICY_TABLES = frozenset(
    {("auth", name) for name in (
        "audit_log_entries", "flow_state", "identities", "instances", "mfa_amr_claims", "mfa_challenges",
        "mfa_factors", "oauth_clients", "one_time_tokens", "refresh_tokens", "saml_providers", "saml_relay_states",
        "sessions", "sso_domains", "sso_providers", "users",
    )}
    | {("realtime", name) for name in ("messages", "subscription")}
    | {("storage", name) for name in (
        "buckets", "buckets_analytics", "objects", "prefixes", "s3_multipart_uploads", "s3_multipart_uploads_parts",
    )}
)  # fmt: skip
# Triggers that the platform's own migrations make on its tables.
PLATFORM_TRIGGERS = frozenset(
    {
        "update_objects_updated_at",
        "enforce_bucket_name_length_trigger",
        "protect_buckets_delete",
        "protect_objects_delete",
        "tr_check_filters",
        "objects_insert_create_prefix",
        "objects_update_create_prefix",
        "objects_delete_delete_prefix",
        "prefixes_create_hierarchy",
        "prefixes_delete_hierarchy",
    }
)

# Extensions that new projects come with (F§4.7), more or fewer of them over the years.
PREINSTALLED = frozenset(
    {"plpgsql", "pg_stat_statements", "pgcrypto", "uuid-ossp", "supabase_vault", "pg_graphql", "pgjwt", "pgsodium"}
)

# The tables of schema storage that describe files (F§1.9). The others are the server's bookkeeping, or index stores
# that can't be filled by SQL (F§1.14).
STORAGE_TABLES = ("buckets", "objects")

# The migration history of the CLI: it exists on some targets already.
MIGRATIONS_SCHEMA = "supabase_migrations"


def is_platform_role(role: str) -> bool:
    """Whether a role is the platform's own."""
    return role in _PLATFORM_ROLES or (role.startswith(_PLATFORM_ROLE_PREFIXES) and role != _DATABASE_OWNER)


# The same as a regular expression of SQL; and without the roles of the API and of the database's owner.
PLATFORM_ROLE_PATTERN = (
    f"^(?!{_DATABASE_OWNER}$)(({'|'.join(sorted(_PLATFORM_ROLES))})$|{'|'.join(_PLATFORM_ROLE_PREFIXES)})"
)
RESERVED_ROLE_PATTERN = PLATFORM_ROLE_PATTERN.replace("^", f"^(?!({'|'.join(sorted(API_ROLES))})$)", 1)


def is_platform_publication(name: str) -> bool:
    """Whether a publication is the platform's own."""
    return name.startswith(PLATFORM_PUBLICATION_PREFIX)


def can_own(role: str) -> bool:
    """Whether postgres can give an object to the role."""
    return role in API_ROLES or not is_platform_role(role)


def owner_after_restore(role: str) -> str:
    """Who owns an object of the user's once it is restored: what can't be given back stays with postgres."""
    return role if can_own(role) else "postgres"
