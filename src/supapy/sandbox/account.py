"""The sandbox's account: the projects side by side in one folder, and the access token that opens them all (F§5)."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from supapy.sandbox import private
from supapy.secret import Secret

# A token of an account is `sbp_` and forty hexadecimal digits.
TOKEN_BYTES = 20
KEY_FILE = "keys.json"
ROOT_KEY_FILE = Path("database/data/root_key")


class Account:
    """The projects whose folders lie in `home`."""

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def access_token(self) -> Secret:
        """The token, made when it is first asked for."""
        file = self._home / ".access_token"
        if not file.exists():
            private.write(file, f"sbp_{secrets.token_hex(TOKEN_BYTES)}")
        return Secret(file.read_text())

    def root_key_file(self, ref: str) -> Path | None:
        """What holds the root key of a project's vault; None when the account has no such project."""
        for file in self._home.glob(f"*/{KEY_FILE}"):
            if json.loads(file.read_text()).get("ref") == ref:
                return file.parent / ROOT_KEY_FILE
        return None
