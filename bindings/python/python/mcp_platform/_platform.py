"""The classes programs use. Each method is a coroutine over a future of the compiled half."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from . import _json, _launcher, _native
from .types import Appended, Context, ContextPage, Memory, NewMessage, Recalled, TenantInfo, Tool, ToolResult


async def open(
    data_dir: str | os.PathLike[str] = "mcp-platform-data",
    *,
    config: Mapping[str, Any] | None = None,
    servers: Mapping[str, Any] | None = None,
    launcher: Sequence[str] | None = None,
) -> Platform:
    """Opens a platform in this process, with its files below `data_dir`.

    `config` has the sections and keys of the configuration file (`mcp-platform config` prints them), `servers`
    those of `mcpServers` in `.mcp.json`. `launcher` is the command that stdio servers are started by; the
    default is this interpreter, and a host such as uWSGI, which is no interpreter, names one here.

    Raises `InvalidInputError` that names the setting, `UnavailableError` where the data cannot be opened.
    """
    options = {
        "data_dir": os.fspath(data_dir),
        "config": dict(config or {}),
        "servers": dict(servers or {}),
        "launcher": list(_launcher.command() if launcher is None else launcher),
    }
    return Platform(await _native.open(_json.write("options", options)))


class Platform:
    """A platform, as its operator. `open()` makes one; `async with` closes it."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Platform) -> None:
        self._native = native

    async def create_tenant(self, id: str, name: str) -> TenantInfo:
        """Creates a tenant with default limits."""
        info: TenantInfo = _json.read(await self._native.create_tenant(id, name))
        return info

    async def create_key(
        self,
        tenant: str,
        *,
        name: str = "key",
        principal: str = "service",
        permissions: Sequence[str] = ("*",),
    ) -> str:
        """Creates an API key and returns its text, which is shown now and never again.

        Permissions are `area:verb` or `*`. Raises `NotFoundError` if there is no such tenant.
        """
        return await self._native.create_key(tenant, name, principal, list(permissions))

    async def mount(self, name: str, server: Mapping[str, Any]) -> None:
        """Mounts an MCP server for all tenants until the platform is closed; mounting again replaces it.

        `server` is an entry of `mcpServers` in `.mcp.json`: `command` and `args`, or `url`. It is started and its
        tools are listed before calls go there. Raises `UpstreamError` with the reason where that fails.
        """
        await self._native.mount(name, _json.write("server", dict(server)))

    async def tenant(self, key: str) -> Tenant:
        """The tenant that a key belongs to, as the key's principal.

        Raises `UnauthenticatedError` for a key that is none or was revoked.
        """
        return Tenant(await self._native.tenant(key))

    async def close(self) -> None:
        """Lets tool calls in flight end, stops the servers and closes the databases. Twice is once."""
        await self._native.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class Tenant:
    """A tenant, as the principal of the key it was opened with, which is looked at again in each call.

    Each call raises, beside what it says itself, `UnauthenticatedError` once the key is revoked,
    `PermissionDeniedError` without the permission or once the tenant is suspended, `RateLimitedError`,
    `DeadlineExceededError`, and `CancelledError` once the platform is closed.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Tenant) -> None:
        self._native = native

    @property
    def id(self) -> str:
        """The tenant's id."""
        return self._native.id

    @property
    def principal(self) -> str:
        """As whom the calls are made."""
        return self._native.principal

    async def create_context(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
    ) -> Context:
        """Creates a context: a conversation, and the data around it. Without `user_id` it is the principal's."""
        new: dict[str, Any] = {"data": dict(data or {})}
        new |= {name: value for name, value in (("user_id", user_id), ("session_id", session_id)) if value is not None}
        context: Context = _json.read(await self._native.create_context(_json.write("context", new)))
        return context

    async def read_context(self, id: str, *, messages: int | None = None) -> Context:
        """The context with its newest messages, 100 by default. Raises `NotFoundError`."""
        context: Context = _json.read(await self._native.read_context(id, messages))
        return context

    async def list_contexts(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> ContextPage:
        """A page of contexts without their data, latest created first; `next_cursor` where there are more."""
        page: ContextPage = _json.read(await self._native.list_contexts(user_id, session_id, cursor, limit))
        return page

    async def append(
        self,
        id: str,
        messages: Sequence[NewMessage],
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Appended:
        """Appends messages, all or none; once for an idempotency key.

        Raises `ConflictError` with the `current` version where another was expected.
        """
        given = _json.write("messages", list(messages))
        appended: Appended = _json.read(await self._native.append(id, given, expected_version, idempotency_key))
        return appended

    async def patch_context(self, id: str, patch: Mapping[str, Any], *, expected_version: int) -> Context:
        """Merges a patch into the context's data (RFC 7396): None removes, objects are merged, the rest replaces.

        Raises `ConflictError` with the `current` version where it is another.
        """
        given = _json.write("patch", dict(patch))
        context: Context = _json.read(await self._native.patch_context(id, given, expected_version))
        return context

    async def delete_context(self, id: str, *, expected_version: int | None = None) -> None:
        """Deletes the context and its messages, in any version where none is expected."""
        await self._native.delete_context(id, expected_version)

    async def remember(self, namespace: str, text: str, metadata: Mapping[str, Any] | None = None) -> Memory:
        """Remembers a text in a namespace: `user/…`, `agent/…` or `session/…`. The same text is there once."""
        given = _json.write("metadata", dict(metadata or {}))
        memory: Memory = _json.read(await self._native.remember(namespace, text, given))
        return memory

    async def recall(self, namespace: str, query: str, *, limit: int | None = None) -> Recalled:
        """What of a namespace is nearest to a query, best first; 10 by default, at most 100."""
        recalled: Recalled = _json.read(await self._native.recall(namespace, query, limit))
        return recalled

    async def embed(self, texts: Sequence[str], *, model: str | None = None) -> list[list[float]]:
        """The vectors of texts, by a local model or by the first that embeds. Raises `NotFoundError` without one."""
        return await self._native.embed(list(texts), model)

    async def list_tools(self) -> list[Tool]:
        """The tools of the tenant's MCP servers; names begin with the server's, as in `time__now`."""
        tools: list[Tool] = _json.read(await self._native.list_tools())
        return tools

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Calls a tool. One that ran and failed is a result with `isError`, not an exception.

        Raises `InvalidInputError` for a tool there is not, `UpstreamError` where its server fails. A task that is
        cancelled meanwhile tells the server so.
        """
        given = _json.write("arguments", dict(arguments or {}))
        result: ToolResult = _json.read(await self._native.call_tool(name, given))
        return result

    def __repr__(self) -> str:
        return f"<mcp_platform.Tenant {self.id} as {self.principal}>"
