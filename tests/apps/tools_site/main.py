"""Tools of the Model Context Protocol, as its SDK serves them over HTTP: events on a POST, and the older pair of paths."""

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("tools")


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
async def count(to: int, context: Context) -> str:
    for number in range(to):
        await context.report_progress(number + 1, to)
    return "counted"


@server.tool()
def size(text: str) -> int:
    return len(text)


app = server.streamable_http_app()
old = server.sse_app()
