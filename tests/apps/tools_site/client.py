"""The SDK's own client: `client.py URL [old]`."""

import asyncio
import contextlib
import json
import sys

from mcp.client.client import Client
from mcp.client.sse import sse_client

URL, OLD = sys.argv[1], len(sys.argv) > 2


async def main():
    seen = []

    async def progress(done, total, message):
        seen.append(done)

    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(sse_client(URL) if OLD else URL))
        tools = sorted(tool.name for tool in (await client.list_tools()).tools)
        added = await client.call_tool("add", {"a": 20, "b": 22})
        counted = await client.call_tool("count", {"to": 5}, progress_callback=progress)
        size = await client.call_tool("size", {"text": "ü" * 200_000})
        texts = [result.content[0].text for result in (added, counted, size)]
        print(json.dumps({"tools": tools, "answers": texts, "progress": seen}))


asyncio.run(main())
