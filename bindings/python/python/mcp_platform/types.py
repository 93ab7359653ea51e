"""The shapes of what calls return: plain dictionaries."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class TenantLimits(TypedDict):
    """How much a tenant may use."""

    requests_per_minute: int
    concurrent_contexts: int


class TenantInfo(TypedDict):
    """A tenant as it is stored."""

    id: str
    name: str
    features: list[str]
    limits: TenantLimits
    tier: str
    region: str
    status: Literal["active", "suspended"]
    schema: str
    created_at: str
    updated_at: str
    version: int


class NewMessage(TypedDict):
    """A message to be appended; its content is a text, or a list of parts."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]]
    metadata: NotRequired[dict[str, Any]]


class ContextMetadata(TypedDict):
    """What a context says of itself."""

    created_at: str
    updated_at: str
    version: int
    messages: int


class ContextHead(TypedDict):
    """A context without its data."""

    context_id: str
    tenant_id: str
    user_id: str
    session_id: str | None
    metadata: ContextMetadata


class Context(ContextHead):
    """A context. Its messages are `data["conversation_history"]`."""

    data: dict[str, Any]


class ContextPage(TypedDict):
    """A page of contexts."""

    items: list[ContextHead]
    next_cursor: NotRequired[str]


class Appended(TypedDict):
    """What an append came to."""

    version: int
    first_seq: int
    last_seq: int


class Memory(TypedDict):
    """A text that is remembered."""

    id: str
    namespace: str
    text: str
    metadata: NotRequired[dict[str, Any]]
    author: str
    created_at: str


class Hit(Memory):
    """A memory that was recalled; scores compare within one answer."""

    score: float


class Recalled(TypedDict):
    """What was recalled, and whether meanings were compared or words alone."""

    items: list[Hit]
    semantic: bool
    note: NotRequired[str]


class Tool(TypedDict):
    """A tool as MCP describes it."""

    name: str
    description: NotRequired[str]
    inputSchema: dict[str, Any]
    outputSchema: NotRequired[dict[str, Any]]


class ToolResult(TypedDict):
    """A tool's result as MCP describes it."""

    content: list[dict[str, Any]]
    structuredContent: NotRequired[Any]
    isError: NotRequired[bool]
