"""The shapes of what calls return: plain dictionaries."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class TenantInfo(TypedDict):
    """A tenant as it is stored."""

    id: str
    name: str
    status: str
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
