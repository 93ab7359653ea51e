"""Multi-tenant MCP platforms in your process: tenants, keys, MCP servers, and each tenant's tools.

`open()` is the way in; everything is a coroutine, and every error an `McpPlatformError`.
"""

from __future__ import annotations

import atexit

from . import _native
from ._platform import Platform, Tenant, open
from .errors import (
    AlreadyExistsError,
    CancelledError,
    ConflictError,
    CorruptedError,
    DeadlineExceededError,
    InternalError,
    InvalidInputError,
    McpPlatformError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
    UpstreamError,
)
from .types import (
    Appended,
    Context,
    ContextHead,
    ContextPage,
    Hit,
    Memory,
    NewMessage,
    Recalled,
    TenantInfo,
    Tool,
    ToolResult,
)

__all__ = [
    "AlreadyExistsError",
    "Appended",
    "CancelledError",
    "ConflictError",
    "Context",
    "ContextHead",
    "ContextPage",
    "CorruptedError",
    "DeadlineExceededError",
    "Hit",
    "InternalError",
    "InvalidInputError",
    "McpPlatformError",
    "Memory",
    "NewMessage",
    "NotFoundError",
    "PermissionDeniedError",
    "Platform",
    "RateLimitedError",
    "Recalled",
    "Tenant",
    "TenantInfo",
    "TooLargeError",
    "Tool",
    "ToolResult",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedError",
    "UpstreamError",
    "open",
]

# Servers stop and databases close in order also where a program forgets to.
atexit.register(_native._close_all)
