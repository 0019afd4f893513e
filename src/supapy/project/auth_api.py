"""The calls of Supabase's Auth server that supapy needs (F§2). What they show of a user is less than SQL does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from supapy.errors import ApiError
from supapy.model import Json
from supapy.project.answers import Answer
from supapy.project.http import Http
from supapy.secret import Secret

# What clients commonly ask for; fewer may come.
PER_PAGE = 1000
FAILED = 500
# F§2.6, and measured on a server of today.
_NULLS = (
    "Most often a row of auth.users has NULL where the server can't read one (aud, role, created_at, updated_at, the "
    "token columns), and it lists nobody then. Find it by SQL, and give it a value."
)


class AuthApi:
    """The Auth server of one project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def count_users(self) -> int:
        """How many users the server sees (F§2.2), which proves that the key may administer them."""
        answer = self._page(1, 1)
        total = answer.headers.get("X-Total-Count", "")
        return int(total) if total.isdigit() else len(answer.json()["users"])

    def users(self) -> Iterator[Json]:
        """All users that the server sees, page by page, as it shows them in a list (F§2.2), none of them twice."""
        seen: set[str] = set()
        for page in count(1):
            found = self._page(page, PER_PAGE).json()["users"]
            if not found:
                return
            # Who is made meanwhile shifts the pages.
            yield from (user for user in found if user["id"] not in seen)
            seen.update(user["id"] for user in found)

    def _page(self, page: int, per_page: int) -> Answer:
        """Raises ApiError, also where one user's row keeps the server from showing any."""
        try:
            return self._http.request("GET", f"/auth/v1/admin/users?page={page}&per_page={per_page}")
        except ApiError as error:
            if error.status == FAILED:
                error.hint = _NULLS
            raise

    async def find(self, identifier: str) -> Json | None:
        """A user with his identities; None when there is none of that id."""
        path = f"/auth/v1/admin/users/{identifier}"
        answer = await self._http.ask("GET", path, expect=frozenset({200, 404}))
        said = answer.json()
        return said if answer.status == 200 and isinstance(said, dict) else None

    async def create(self, body: bytes) -> None:
        """Make a user of what the server takes (F§2.4), as JSON. Raises ApiError when it doesn't take it."""
        await self._http.ask("POST", "/auth/v1/admin/users", body=body, headers={"Content-Type": "application/json"})

    async def delete(self, identifier: str) -> None:
        """Delete a user for good; one who isn't there is gone already."""
        path = f"/auth/v1/admin/users/{identifier}"
        await self._http.ask("DELETE", path, body=b"{}", expect=frozenset({200, 404}))

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
