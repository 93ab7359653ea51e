"""Nanoseconds of each call from Python, as a JSON array: reads one context over and over.

Called as `call.py CALLS`; half as many come before, to warm up.
"""

import asyncio
import json
import sys
import tempfile
import time

import mcp_platform


async def main(calls: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with await mcp_platform.open(directory) as platform:
            await platform.create_tenant("bench", "Bench")
            bench = await platform.tenant(await platform.create_key("bench"))
            context = (await bench.create_context())["context_id"]
            await bench.append(context, [{"role": "user", "content": "Where is my order?"}])
            took = []
            for _ in range(calls + calls // 2):
                began = time.perf_counter_ns()
                await bench.read_context(context)
                took.append(time.perf_counter_ns() - began)
            print(json.dumps(took[-calls:]))


asyncio.run(main(int(sys.argv[1])))
