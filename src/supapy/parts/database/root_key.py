"""The root key of the source's vault, carried into the target before anything else: there its secrets can be opened.

The key goes from the one project to the other by the Management API (F§4.6, F§5.6) and is kept nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from supapy.errors import ProjectError, RestoreRefused, Unreachable
from supapy.journal import Journal
from supapy.model import Dump, Finding, Problem, Progress, Step
from supapy.names import many
from supapy.parts.base import Obstacle, Source
from supapy.parts.database.inventory.contents import Contents
from supapy.parts.database.inventory.sealed import sealed_in
from supapy.parts.database.platform.vault import VaultSecret, opened, read_names
from supapy.project.moment import Moment
from supapy.project.project import Project
from supapy.project.schema import Reader

# A database reads its root key when it starts: a restart of a small project takes about a minute.
PATIENCE_S = 180.0
POLL_S = 2.0


class RootKeyPart:
    """No content: the key without which the vault's sealed secrets are of no use. Nothing is done where the backup has
    none of these, or goes into its own project.

    Another root key makes unreadable whatever the target's own one has sealed: so it is put there only where there is
    nothing of the kind. The target's database is given `patience_s` to begin to use it.
    """

    name = "database"
    side_by_side = False

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s

    def dump(self, moment: Moment) -> Dump:
        """Nothing: the key is never saved."""
        yield from ()

    def obstacles(self, backup: Source, moment: Moment) -> Iterator[Obstacle]:
        """Why the key can't be put there. Reads only; raises what `ManagementApi.root_key` raises."""
        project, source = moment.project, backup.source_ref
        if not self._sealed(backup, project):
            return
        if not moment.rows(_INSTALLED, ("supabase_vault",)):
            hint = "Switch the Vault on in its dashboard (Integrations), or leave --vault-root-key out."
            yield Obstacle(
                "database", "its Vault is switched off, so that no root key is of use", final=True, hint=hint
            )
        elif not moment.rows(_OPENS):
            hint = "Upgrade it (Settings > Infrastructure), or leave --vault-root-key out."
            yield Obstacle(
                "database", "its Vault is older than version 0.3, and can't open them", final=True, hint=hint
            )
        elif project.management.root_key(source) != project.management.root_key(project.ref):
            for text in _sealed_there(moment):
                hint = "Delete them there, or leave --vault-root-key out: then the backup's secrets don't come back."
                yield Obstacle("database", text, final=True, hint=hint)

    def load(self, backup: Source, project: Project, journal: Journal) -> Iterator[Step]:
        """One step."""
        sealed = self._sealed(backup, project)
        if sealed:
            title = f"the vault's root key of project {backup.source_ref}, in place of the target's own"
            yield Step(self.name, title, partial(self._carry, backup.source_ref, project, sealed))

    def compare(self, backup: Source, moment: Moment) -> Iterator[Finding]:
        """Nothing: whether the secrets are there is the database's to say."""
        yield from ()

    def _sealed(self, backup: Source, project: Project) -> list[VaultSecret]:
        return [] if project.ref == backup.source_ref else sealed_in(backup, Contents.of(backup))

    def _carry(self, source: str, project: Project, sealed: list[VaultSecret], progress: Progress) -> list[Problem]:
        key = project.management.root_key(source)
        if key != project.management.root_key(project.ref):
            with project.session() as session:
                for text in _sealed_there(session):
                    raise RestoreRefused(f"project {project.ref} can't take another root key: {text}")
            project.management.set_root_key(project.ref, key)
        self._wait(project, sealed)
        return []

    def _wait(self, project: Project, sealed: list[VaultSecret]) -> None:
        """Until the database opens what the key has sealed; meanwhile it may be gone."""
        deadline = time.monotonic() + self._patience_s
        while True:
            with suppress(Unreachable), project.session() as session:
                if opened(session, sealed):
                    return
            if time.monotonic() > deadline:
                raise ProjectError(
                    f"project {project.ref} has the root key by now, but its database doesn't use it",
                    "Restart the project in its dashboard (Settings > General).",
                )
            time.sleep(POLL_S)


def _sealed_there(reader: Reader) -> Iterator[str]:
    """What another root key would make unreadable."""
    if own := len(read_names(reader)):
        yield f"its vault has {many(own, 'secret')} of its own, which another root key would make unreadable"
    if reader.rows(_INSTALLED, ("pgsodium",)):
        yield "it has the extension pgsodium, and what that has sealed another root key would make unreadable"


# What this connection opens a sealed secret with; versions before 0.3 lack it.
_OPENS = """
SELECT WHERE pg_catalog.has_function_privilege(
    pg_catalog.to_regprocedure('vault._crypto_aead_det_decrypt(bytea,bytea,bigint,bytea,bytea)'), 'EXECUTE')
"""
_INSTALLED = "SELECT FROM pg_catalog.pg_extension WHERE extname = %s"
