"""The HTTP side of a sandbox: a server that answers as Supabase's Storage and Auth servers do."""

from supapy.sandbox.api.faults import Fault, Seen
from supapy.sandbox.api.server import ApiServer

__all__ = ["ApiServer", "Fault", "Seen"]
