"""The classes programs use. Each method is a coroutine over a future of the compiled half."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from . import _json, _launcher, _native
from .types import TenantInfo, Tool, ToolResult


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
