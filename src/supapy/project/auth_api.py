"""The calls of Supabase's Auth server that supapy needs (F§2). Users are read and written by SQL, not here."""

from __future__ import annotations

from supapy.errors import ApiError
from supapy.project.http import Http
from supapy.secret import Secret


class AuthApi:
    """The Auth server of one project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def count_users(self) -> int:
        """How many users the server sees (F§2.2), which proves that the key may administer them."""
        answer = self._http.request("GET", "/auth/v1/admin/users?page=1&per_page=1")
        total = answer.headers.get("X-Total-Count", "")
        return int(total) if total.isdigit() else len(answer.json()["users"])

    def can_sign_in(self, email: str, password: Secret) -> bool:
        """Whether a user signs in with that password. It makes a session, as any sign-in does."""
        body = {"email": email, "password": password.reveal()}
        try:
            self._http.request_json("POST", "/auth/v1/token?grant_type=password", body)
        except ApiError as error:
            if error.status == 400:
                return False
            raise
        return True
