"""The users: auth_users.json, and which of them are meant."""

from __future__ import annotations

from supapy.parts.auth.document import sessions_back
from supapy.parts.auth.part import AuthPart
from supapy.parts.auth.people import EVERYBODY, People, ids_meant, sessions_saved

__all__ = ["EVERYBODY", "AuthPart", "People", "ids_meant", "sessions_back", "sessions_saved"]
