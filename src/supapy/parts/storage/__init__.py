"""The files: which there are from storage.objects, their bytes from the Storage server (design §5, F§1).

    storage/buckets_metadata.json    every field of every bucket
    storage/<bucket>/<key>           the bytes
    storage/objects.jsonl            every field of every object, with the path of its bytes

Types, owners and times come from the rows: the server's answers don't tell them truly (F§1.5).
"""

from supapy.parts.storage.part import StoragePart
from supapy.parts.storage.selection import EVERYTHING, Selection

__all__ = ["EVERYTHING", "Selection", "StoragePart"]
