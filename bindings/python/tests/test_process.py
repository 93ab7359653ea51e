"""What belongs to the process: its end, however it comes, and forks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAM = """
import asyncio, json, os, sys, mcp_platform

async def main():
    platform = await mcp_platform.open(sys.argv[1], servers={"fixture": json.loads(sys.argv[2])})
    await platform.create_tenant("acme", "Acme")
    acme = await platform.tenant(await platform.create_key("acme"))
    await acme.call_tool("fixture__echo", {})
    print("ready", flush=True)
    return platform

"""
#: Ends without closing the platform.
FORGETS = PROGRAM + "platform = asyncio.run(main())\n"
STAYS = PROGRAM + "async def stay():\n    await main()\n    await asyncio.sleep(600)\nasyncio.run(stay())\n"
FORKS = (
    PROGRAM
    + """
platform = asyncio.run(main())
child = os.fork()
if child == 0:
    try:
        asyncio.run(platform.create_tenant("globex", "Globex"))
    except mcp_platform.UnsupportedError as error:
        print(error, flush=True)
    sys.exit(7)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
asyncio.run(platform.create_tenant("globex", "Globex"))
print("parent goes on", flush=True)
"""
)
MARK = "MCP_PLATFORM_PYTHON_TEST"


def start(program: str, tmp_path: Path, server: dict[str, Any]) -> subprocess.Popen[str]:
    marked = json.dumps({**server, "env": {MARK: str(tmp_path)}})
    command = [sys.executable, "-c", program, str(tmp_path / "data"), marked]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left(tmp_path: Path) -> list[str]:
    """The processes that carry the test's mark in their environment."""
    mark = f"{MARK}={tmp_path}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return found


def assert_none_left(tmp_path: Path) -> None:
    until = time.monotonic() + 15
    while (found := left(tmp_path)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not found


def test_a_program_that_forgets_to_close_ends_in_order(tmp_path: Path, fixture_server: dict[str, Any]) -> None:
    program = start(FORGETS, tmp_path, fixture_server)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (0, "ready\n"), err
    # Closed at exit and not only killed: nothing is left at once.
    assert not left(tmp_path)


def test_servers_end_with_a_program_that_is_killed(tmp_path: Path, fixture_server: dict[str, Any]) -> None:
    with start(STAYS, tmp_path, fixture_server) as program:
        assert program.stdout and program.stdout.readline() == "ready\n"
        assert left(tmp_path)
        program.kill()
    assert_none_left(tmp_path)


def test_a_forked_process_is_told_and_ends_cleanly(tmp_path: Path, fixture_server: dict[str, Any]) -> None:
    program = start(FORKS, tmp_path, fixture_server)
    out, err = program.communicate(timeout=60)
    ready, told, child, parent = out.splitlines()
    assert "forked" in told and "spawn" in told
    assert (ready, child, parent, program.returncode) == ("ready", "child 7", "parent goes on", 0), err


def test_the_readme_program_runs(tmp_path: Path) -> None:
    own, root = (Path(__file__).parents[up] / "README.md" for up in (1, 3))
    program, first_seen = (readme.read_text().split("```python\n")[1].split("```")[0] for readme in (own, root))
    assert program == first_seen
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["timezone"] == "Europe/Berlin"
