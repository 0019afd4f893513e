"""What is said of an object with its bytes, and how much of that an upload can say (F§1.6, F§1.7)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

# Above this a file goes up in pieces that can be resumed, each but the last of exactly this size (F§1.7).
TUS_PIECE_BYTES = 6 * 1024 * 1024
# All headers together may have 16 KB (traps, storage API 9), keys among them; in base64 this becomes 8.
LARGEST_METADATA_IN_HEADER_BYTES = 6 * 1024
_MAX_AGE = re.compile(r"max-age=(\d+)")
# What an upload in pieces or in a form says of caches by itself.
_UNCACHED = "no-cache"


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an object with its bytes: `user_metadata` is a JSON object as text, `robots` what the header
    X-Robots-Tag shall say."""

    mimetype: str
    cache_control: str
    user_metadata: str | None = None
    robots: str | None = None

    @property
    def has_long_metadata(self) -> bool:
        """Whether its user metadata fit into no header."""
        return self.user_metadata is not None and len(self.user_metadata.encode()) > LARGEST_METADATA_IN_HEADER_BYTES

    @property
    def max_age(self) -> str | None:
        """The cache control as a number of seconds, the one form that uploads in pieces and forms can say (F§1.7)."""
        age = _MAX_AGE.fullmatch(self.cache_control)
        return age[1] if age else None

    @property
    def usual_cache_control(self) -> Said:
        """The same with what such an upload says of caches by itself."""
        return replace(self, cache_control=_UNCACHED)

    def unsaid(self, size: int) -> list[str]:
        """What of all this an upload of that size (bytes) can't say (F§1.6, F§1.7)."""
        in_pieces, is_long = size > TUS_PIECE_BYTES, self.has_long_metadata
        no_header = self.cache_control != _UNCACHED and self.max_age is None
        return [
            *([f"cache control {self.cache_control}"] if (in_pieces or is_long) and no_header else []),
            *(["its user metadata, which are too long"] if in_pieces and is_long else []),
            *([f"robots tag {self.robots}"] if in_pieces and self.robots else []),
        ]


def form_of(body: bytes, said: Said) -> tuple[bytes, str]:
    """An upload as a form, in which much can be said of it, and the form's own type (F§1.6)."""
    boundary = secrets.token_hex(16)
    fields = {"metadata": said.user_metadata} | ({"cacheControl": said.max_age} if said.max_age is not None else {})
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(f'name="file"; filename="file"\r\nContent-Type: {said.mimetype}\r\n\r\n'.encode() + body)
    begin = f"--{boundary}\r\nContent-Disposition: form-data; ".encode()
    whole = b"".join(begin + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return whole, f"multipart/form-data; boundary={boundary}"
