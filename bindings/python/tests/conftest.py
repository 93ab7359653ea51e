"""A platform of its own for each test, with the fixture server mounted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import mcp_platform

Opened = Callable[..., Awaitable[mcp_platform.Platform]]


@pytest.fixture
def fixture_server() -> dict[str, Any]:
    """The project's own MCP server for tests: a subcommand of its binary."""
    binary = os.environ.get("MCP_PLATFORM_BIN")
    if not binary:
        pytest.fail("MCP_PLATFORM_BIN is not set: `cargo xtask test` builds the binary and sets it")
    return {"command": binary, "args": ["fixture"]}


@pytest.fixture
def models_dir() -> str:
    """The folder with the local model that embeds."""
    folder = os.environ.get("MCP_TEST_MODELS")
    if not folder:
        pytest.fail("MCP_TEST_MODELS is not set: `cargo xtask test` makes the models and sets it")
    return folder


@pytest_asyncio.fixture
async def opened(tmp_path: Path, fixture_server: dict[str, Any]) -> AsyncIterator[Opened]:
    """Opens a platform in the test's folder with the tenants acme and globex."""
    platforms: list[mcp_platform.Platform] = []

    async def open_one(**options: Any) -> mcp_platform.Platform:
        config = {"server": {"drain_seconds": 1}, **options.pop("config", {})}
        servers = {"fixture": fixture_server}
        platform = await mcp_platform.open(tmp_path / "data", servers=servers, config=config, **options)
        platforms.append(platform)
        for tenant in ("acme", "globex"):
            await platform.create_tenant(tenant, tenant.title())
        return platform

    yield open_one
    for platform in platforms:
        await platform.close()


async def tenant_of(platform: mcp_platform.Platform, tenant: str, *permissions: str) -> mcp_platform.Tenant:
    """The tenant with a new key."""
    return await platform.tenant(await platform.create_key(tenant, permissions=permissions or ("*",)))
