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
