"""The users: auth_users.json, and which of them are meant."""

from __future__ import annotations

from supapy.parts.auth.document import sessions_back
from supapy.parts.auth.part import AuthPart
from supapy.parts.auth.people import EVERYBODY, People

__all__ = ["EVERYBODY", "AuthPart", "People", "sessions_back"]
