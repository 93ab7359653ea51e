"""What the platform does from Python. bindings/node/tests/platform.test.mjs has the same cases."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import pytest
from conftest import Opened, tenant_of

import mcp_platform
from mcp_platform import _native, errors


async def test_two_tenants_call_their_tools_and_stay_apart(opened: Opened) -> None:
    platform = await opened()
    acme, globex = await tenant_of(platform, "acme"), await tenant_of(platform, "globex")
    assert (acme.id, acme.principal, globex.id) == ("acme", "service", "globex")
    assert "fixture__echo" in [tool["name"] for tool in await acme.list_tools()]

    await acme.call_tool("fixture__remember", {"name": "plan", "value": "acme buys globex"})
    ours = await acme.call_tool("fixture__recall", {"name": "plan"})
    assert "acme buys globex" in ours["content"][0]["text"]
    theirs = await globex.call_tool("fixture__recall", {"name": "plan"})
    assert "acme buys" not in str(theirs)


async def test_a_conversation_is_kept_changed_and_deleted(opened: Opened) -> None:
    platform = await opened()
    acme, globex = await tenant_of(platform, "acme"), await tenant_of(platform, "globex")
    context = await acme.create_context({"topic": "orders"}, user_id="user-789")
    id = context["context_id"]
    assert (context["tenant_id"], context["user_id"], context["metadata"]["version"]) == ("acme", "user-789", 1)
    appended = await acme.append(id, [{"role": "user", "content": "Where is my order?"}], expected_version=1)
    assert appended == {"version": 2, "first_seq": 1, "last_seq": 1}
    once = [await acme.append(id, [{"role": "user", "content": "!"}], idempotency_key="k") for _ in range(2)]
    assert once[0] == once[1]

    with pytest.raises(mcp_platform.ConflictError) as stale:
        await acme.append(id, [{"role": "user", "content": "late"}], expected_version=1)
    assert (stale.value.current, stale.value.retry) == (3, "never")
    with pytest.raises(mcp_platform.ConflictError):
        await acme.patch_context(id, {"topic": None}, expected_version=1)
    with pytest.raises(mcp_platform.InvalidInputError, match="conversation_history"):
        await acme.patch_context(id, {"conversation_history": []}, expected_version=3)
    patched = await acme.patch_context(id, {"topic": None, "lang": "de"}, expected_version=3)
    assert (patched["data"], patched["metadata"]["version"]) == ({"lang": "de"}, 4)

    read = await acme.read_context(id, messages=1)
    assert [message["content"] for message in read["data"]["conversation_history"]] == ["!"]
    for unknown in (id, "no-such", "../keys", "%2e%2e"):
        with pytest.raises(mcp_platform.NotFoundError):
            await globex.read_context(unknown)
    assert (await globex.list_contexts())["items"] == []
    assert [head["context_id"] for head in (await acme.list_contexts(user_id="user-789"))["items"]] == [id]

    reader = await tenant_of(platform, "acme", "contexts:read")
    with pytest.raises(mcp_platform.PermissionDeniedError, match="contexts:write"):
        await reader.delete_context(id)
    with pytest.raises(mcp_platform.ConflictError):
        await acme.delete_context(id, expected_version=1)
    await acme.delete_context(id)
    with pytest.raises(mcp_platform.NotFoundError):
        await acme.read_context(id)


async def test_concurrent_appends_are_each_there_once(opened: Opened) -> None:
    acme = await tenant_of(await opened(), "acme")
    id = (await acme.create_context())["context_id"]
    appends = (acme.append(id, [{"role": "user", "content": str(n)}]) for n in range(64))
    appended = await asyncio.gather(*appends)
    assert sorted(one["first_seq"] for one in appended) == list(range(1, 65))
    history = (await acme.read_context(id))["data"]["conversation_history"]
    assert sorted(int(message["content"]) for message in history) == list(range(64))


async def test_what_is_remembered_is_recalled_by_its_tenant(opened: Opened) -> None:
    platform = await opened()
    acme, globex = await tenant_of(platform, "acme"), await tenant_of(platform, "globex")
    memory = await acme.remember("user/ann", "Ann prefers window seats on trains", {"from": "chat"})
    assert (memory["author"], memory["metadata"]) == ("service", {"from": "chat"})
    await acme.remember("user/ann", "Ann is allergic to peanuts")
    recalled = await acme.recall("user/ann", "which seats on a train", limit=1)
    assert [hit["id"] for hit in recalled["items"]] == [memory["id"]]
    assert (await globex.recall("user/ann", "window seats"))["items"] == []
    with pytest.raises(mcp_platform.InvalidInputError, match="namespace"):
        await acme.remember("ann", "x")


async def test_texts_are_embedded_by_a_local_model(opened: Opened, models_dir: str) -> None:
    platform = await opened(config={"inference": {"models_dir": models_dir}})
    acme = await tenant_of(platform, "acme", "models:use")
    seats, window, peanuts = await acme.embed(["a seat by the window", "window seats", "peanut allergy"])
    assert len(seats) == 384 and abs(sum(x * x for x in seats) - 1) < 1e-5
    near, far = (sum(a * b for a, b in zip(seats, other, strict=True)) for other in (window, peanuts))
    assert near > far
    assert await acme.embed(["window seats"], model="minilm") == [window]
    with pytest.raises(mcp_platform.NotFoundError):
        await acme.embed(["x"], model="no-such-model")
    with pytest.raises(mcp_platform.InvalidInputError):
        await acme.embed([])
    with pytest.raises(mcp_platform.PermissionDeniedError, match="models:use"):
        await (await tenant_of(platform, "acme", "tools:call")).embed(["x"])


async def test_json_crosses_as_it_is(opened: Opened) -> None:
    acme = await tenant_of(await opened(), "acme")
    given = {"z": 1, "a": [1.5, 2**40, None, True], "text": "äöü \u0000 \U0001f600", "nested": {"b": {}, "a": []}}
    result = await acme.call_tool("fixture__echo", given)
    assert result["structuredContent"] == given


async def test_refusals_have_the_class_of_their_kind(opened: Opened) -> None:
    platform = await opened()
    with pytest.raises(mcp_platform.AlreadyExistsError):
        await platform.create_tenant("acme", "again")
    with pytest.raises(mcp_platform.InvalidInputError):
        await platform.create_tenant("Not An Id", "x")
    with pytest.raises(mcp_platform.NotFoundError, match="nobody"):
        await platform.create_key("nobody")
    with pytest.raises(mcp_platform.InvalidInputError, match="area:verb"):
        await platform.create_key("acme", permissions=["Tools"])
    with pytest.raises(mcp_platform.UnauthenticatedError) as refused:
        await platform.tenant("no such key")
    assert (refused.value.kind, refused.value.retry) == ("unauthenticated", "never")

    acme = await tenant_of(platform, "acme", "tools:call")
    with pytest.raises(mcp_platform.PermissionDeniedError) as denied:
        await acme.list_tools()
    assert denied.value.details == {"missing_scope": "tools:list"}
    with pytest.raises(mcp_platform.InvalidInputError):
        await acme.call_tool("fixture__nothing")
    with pytest.raises(mcp_platform.InvalidInputError, match="arguments"):
        await acme.call_tool("fixture__echo", {"a": {1}})
    with pytest.raises(mcp_platform.InvalidInputError):
        await acme.call_tool("fixture__echo", {"a": float("nan")})
    with pytest.raises(TypeError):
        await platform.create_tenant(1, 2)  # type: ignore[arg-type]


async def test_bad_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(mcp_platform.InvalidInputError, match="did you mean `server`") as refused:
        await mcp_platform.open(tmp_path, config={"sever": {}})
    assert refused.value.details == {"field": "sever", "nearest": "server"}
    with pytest.raises(mcp_platform.InvalidInputError, match="did you mean `command`"):
        await mcp_platform.open(tmp_path, servers={"a": {"comand": "x"}})
    (tmp_path / "file").write_text("")
    with pytest.raises(mcp_platform.UnavailableError, match="file"):
        await mcp_platform.open(tmp_path / "file")


async def test_a_closed_platform_refuses(opened: Opened) -> None:
    platform = await opened()
    acme = await tenant_of(platform, "acme")
    await platform.close()
    await platform.close()
    with pytest.raises(mcp_platform.CancelledError):
        await acme.list_tools()
    with pytest.raises(mcp_platform.CancelledError):
        await platform.create_tenant("late", "Late")


async def test_servers_are_mounted_while_it_runs(opened: Opened, fixture_server: dict[str, Any]) -> None:
    platform = await opened()
    acme = await tenant_of(platform, "acme")
    await platform.mount("later", fixture_server)
    await acme.call_tool("later__echo", {"message": "hello"})
    with pytest.raises(mcp_platform.ConflictError):
        await platform.mount("fixture", fixture_server)
    with pytest.raises(mcp_platform.InvalidInputError):
        await platform.mount("a__b", fixture_server)
    with pytest.raises(mcp_platform.UpstreamError):
        await platform.mount("broken", {"command": "/bin/true"})


async def test_many_calls_at_once(opened: Opened) -> None:
    acme = await tenant_of(await opened(), "acme")
    results = await asyncio.gather(*(acme.call_tool("fixture__echo", {"n": n}) for n in range(64)))
    assert [result["structuredContent"]["n"] for result in results] == list(range(64))


async def test_a_slow_call_holds_up_no_other_and_can_be_cancelled(opened: Opened) -> None:
    acme = await tenant_of(await opened(), "acme")
    await acme.call_tool("fixture__echo", {})
    slow = asyncio.create_task(acme.call_tool("fixture__slow", {"ms": 30_000}))
    async with asyncio.timeout(20):
        await acme.call_tool("fixture__echo", {})
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        await acme.call_tool("fixture__echo", {})


async def test_a_call_ends_at_the_deadline(opened: Opened) -> None:
    config = {"server": {"request_timeout_seconds": 1, "drain_seconds": 1}}
    acme = await tenant_of(await opened(config=config), "acme")
    await acme.call_tool("fixture__echo", {})
    with pytest.raises(mcp_platform.DeadlineExceededError) as late:
        await acme.call_tool("fixture__slow", {"ms": 30_000})
    assert late.value.retry == "maybe"


def test_the_event_loop_is_free_meanwhile_and_another_loop_is_fine(tmp_path: Path) -> None:
    async def ticks() -> int:
        platform = await mcp_platform.open(tmp_path)
        opening = asyncio.create_task(platform.create_tenant("acme", "Acme"))
        count = 0
        while not opening.done():
            await asyncio.sleep(0)
            count += 1
        await platform.close()
        return count

    assert asyncio.run(ticks()) > 1
    with pytest.raises(RuntimeError, match="no running event loop"):
        _native.open("{}")


def test_every_kind_has_a_class_below_the_base_that_survives_a_pickle() -> None:
    assert set(errors.CLASSES) == set(_native._kinds())
    for kind, cls in errors.CLASSES.items():
        error = cls("why", operation="a.b", retry="maybe", details={"current_version": 3, "retry_after": 1.5})
        copy = pickle.loads(pickle.dumps(error))
        assert isinstance(copy, mcp_platform.McpPlatformError) and type(copy) is getattr(mcp_platform, cls.__name__)
        assert (copy.kind, str(copy), copy.operation, copy.retry_after) == (kind, "why", "a.b", 1.5)
    assert mcp_platform.ConflictError("x", details={"current_version": 3}).current == 3
