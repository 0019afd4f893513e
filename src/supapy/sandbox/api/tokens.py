"""The tokens that both servers take: JWTs signed with the project's secret by HS256 (F§3)."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from functools import lru_cache
from typing import Any

from supapy.secret import Secret


class BadToken(Exception):
    """The text is no token, isn't signed with this secret, or has expired. The message is the server's."""


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(signed: str, secret: Secret) -> bytes:
    return hmac.digest(secret.reveal().encode(), signed.encode(), "sha256")


def sign(claims: dict[str, Any], secret: Secret) -> str:
    """A token that says `claims`."""
    header = _encoded(b'{"alg":"HS256","typ":"JWT"}')
    signed = f"{header}.{_encoded(json.dumps(claims, separators=(',', ':')).encode())}"
    return f"{signed}.{_encoded(_signature(signed, secret))}"


def verify(token: str, secret: Secret) -> dict[str, Any]:
    """What a token says. Raises BadToken with the Storage server's message."""
    claims = _signed_claims(token, secret)
    expires = claims.get("exp")
    if isinstance(expires, int | float) and expires <= time.time():
        raise BadToken('"exp" claim timestamp check failed')
    return claims


@lru_cache(maxsize=1024)
def _signed_claims(token: str, secret: Secret) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("Invalid Compact JWS")
    try:
        header, claims, signature = json.loads(_decoded(parts[0])), json.loads(_decoded(parts[1])), _decoded(parts[2])
    except (ValueError, binascii.Error) as error:
        raise BadToken("Invalid Compact JWS") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise BadToken("Invalid Compact JWS")
    if header.get("alg") != "HS256":
        raise BadToken('"alg" (Algorithm) Header Parameter value not allowed')
    if not hmac.compare_digest(signature, _signature(f"{parts[0]}.{parts[1]}", secret)):
        raise BadToken("signature verification failed")
    return claims
