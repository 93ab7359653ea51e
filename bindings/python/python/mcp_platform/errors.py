"""What calls raise: one class for each kind of error, all of them `McpPlatformError`."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

Retry = Literal["never", "maybe", "exhausted"]


class McpPlatformError(Exception):
    """A call that failed. `str()` is for people and fit for the caller; the attributes are for programs."""

    #: The kind's one name, as on every wire of the platform.
    kind: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        retry: Retry = "never",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        #: Where it went wrong, `crate.verb`.
        self.operation = operation
        #: Whether the same call may be tried again.
        self.retry = retry
        #: What a program can act on: `field`, `nearest`, `missing_scope`, `limit_bytes`, `server` …
        self.details = details or {}

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before trying again, where that is known."""
        return self.details.get("retry_after")

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process pools, with all they carry.
        return _rebuild, (type(self), str(self), self.operation, self.retry, self.details)


class InvalidInputError(McpPlatformError):
    """The input breaks a rule; the message names the field and the rule."""

    kind = "invalid_input"


class UnauthenticatedError(McpPlatformError):
    """No good credentials: an unknown key, or one that was revoked."""

    kind = "unauthenticated"


class PermissionDeniedError(McpPlatformError):
    """The principal may not do this, or the tenant may not be used."""

    kind = "permission_denied"


class NotFoundError(McpPlatformError):
    """No such thing within the tenant."""

    kind = "not_found"


class AlreadyExistsError(McpPlatformError):
    """A thing of that id exists already."""

    kind = "already_exists"


class ConflictError(McpPlatformError):
    """A version or a precondition did not hold."""

    kind = "conflict"

    @property
    def current(self) -> int | None:
        """The version that is stored now."""
        return self.details.get("current_version")


class TooLargeError(McpPlatformError):
    """A text or message is larger than the limit."""

    kind = "too_large"


class RateLimitedError(McpPlatformError):
    """A rate, quota or concurrency limit was hit; `retry_after` says for how long."""

    kind = "rate_limited"


class UnsupportedError(McpPlatformError):
    """The operation exists but not here, as in a forked process or without a feature."""

    kind = "unsupported"


class DeadlineExceededError(McpPlatformError):
    """The deadline passed before there was an answer."""

    kind = "deadline_exceeded"


class CancelledError(McpPlatformError):
    """The platform is closed or closing. Not what asyncio raises where a task is cancelled."""

    kind = "cancelled"


class UnavailableError(McpPlatformError):
    """A part of the platform is overloaded or away."""

    kind = "unavailable"


class UpstreamError(McpPlatformError):
    """An MCP server or a provider failed or broke its protocol."""

    kind = "upstream"


class CorruptedError(McpPlatformError):
    """Stored data is not what was stored."""

    kind = "corrupted"


class InternalError(McpPlatformError):
    """A defect of the platform."""

    kind = "internal"


CLASSES: dict[str, type[McpPlatformError]] = {cls.kind: cls for cls in McpPlatformError.__subclasses__()}


def of_failure(failure: str) -> McpPlatformError:
    """The exception of an error that the compiled half hands over as JSON."""
    told = json.loads(failure)
    # A kind that is newer than this file is still an McpPlatformError.
    cls = CLASSES.get(told["kind"], McpPlatformError)
    return cls(told["message"], operation=told["operation"], retry=told["retry"], details=told["details"])


def _rebuild(
    cls: type[McpPlatformError], message: str, operation: str, retry: Retry, details: dict[str, Any]
) -> McpPlatformError:
    return cls(message, operation=operation, retry=retry, details=details)
