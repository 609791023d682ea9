"""The lifespan: each rule starts a server of its own."""

import ast
import asyncio
import os
import time

from rule import NotApplicable, reply, rule


def left(line):
    """Appends a line to the file that the check reads, also when the server is gone."""
    with open(os.environ["LEFT"], "a") as file:
        file.write(line + "\n")


async def complete(receive, send):
    message = await receive()
    assert message["type"] == "lifespan.startup", message
    await send({"type": "lifespan.startup.complete"})


async def whole(receive, send):
    await complete(receive, send)
    message = await receive()
    left(message["type"])
    await send({"type": "lifespan.shutdown.complete"})


async def scope_app(scope, receive, send):
    if scope["type"] == "lifespan":
        told = {key: value for key, value in scope.items() if key != "state"}
        left(repr((told, type(scope.get("state")).__name__)))
        return await whole(receive, send)
    await reply(send, "served")


@rule("the scope is of type `lifespan` with the versions and an empty `state`", target="rules.lifespan:scope_app")
def lifespan_scope(at):
    assert at.process.serves()
    told, state = ast.literal_eval(at.process.left()[0])
    assert told["type"] == "lifespan" and told["asgi"]["version"] == "3.0", told
    assert not {"path", "method", "headers"} & set(told), told
    assert state in ("dict", "NoneType"), state


async def slow_app(scope, receive, send):
    if scope["type"] == "lifespan":
        await asyncio.sleep(0.5)
        scope.setdefault("state", {})["started"] = True
        left("started")
        return await whole(receive, send)
    await reply(send, "served")


@rule("no request is served before `lifespan.startup.complete`", target="rules.lifespan:slow_app")
def lifespan_waits(at):
    assert at.process.serves()
    assert at.process.left() == ["started"]


async def failing_app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the database is on holiday"})
        return
    await reply(send, "served")


@rule("`lifespan.startup.failed` ends the server with an exit status other than 0", target="rules.lifespan:failing_app")
def lifespan_failed(at):
    assert not at.process.serves(), "it serves"
    assert at.process.end() != 0


@rule("the message of `lifespan.startup.failed` is told", target="rules.lifespan:failing_app")
def lifespan_failed_message(at):
    at.process.serves()
    assert "the database is on holiday" in at.process.output(), at.process.output()


async def ignorant_app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(f"what is a {scope['type']}?")
    await reply(send, "served")


@rule("an application that raises when it hears of lifespans is served without", target="rules.lifespan:ignorant_app")
def lifespan_unknown(at):
    assert at.process.serves(), at.process.output()
    assert at.get().value() == "served"
    at.process.ask_to_stop()
    at.process.end()


async def returning_app(scope, receive, send):
    if scope["type"] == "http":
        await reply(send, "served")


@rule("an application that returns at once from its lifespan is served", target="rules.lifespan:returning_app")
def lifespan_returns(at):
    assert at.process.serves(), at.process.output()
    assert at.get().value() == "served"


async def one_loop_app(scope, receive, send):
    if scope["type"] == "lifespan":
        if "state" in scope:
            scope["state"]["loop"] = asyncio.get_running_loop()
        return await whole(receive, send)
    if "state" not in scope:
        return await reply(send, None)
    await reply(send, scope["state"]["loop"] is asyncio.get_running_loop())


@rule("requests run in the event loop of the lifespan", target="rules.lifespan:one_loop_app")
def lifespan_loop(at):
    assert at.process.serves(), at.process.output()
    same = at.get().value()
    if same is None:
        raise NotApplicable("`state` is not given")
    assert same


async def task_app(scope, receive, send):
    if scope["type"] == "lifespan":
        scope["state"]["ticks"] = ticks = []

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.005)

        task = asyncio.ensure_future(tick())
        await whole(receive, send)
        task.cancel()
        return
    await reply(send, len(scope["state"]["ticks"]))


@rule("a task begun at startup runs while no request does", target="rules.lifespan:task_app")
def lifespan_task(at):
    assert at.process.serves(), at.process.output()
    before = at.get().value()
    time.sleep(0.3)
    after = at.get().value()
    assert after >= before + 3, (before, after)


@rule("`lifespan.shutdown` comes when the server is asked to stop, and the server ends with 0", target="rules.lifespan:scope_app")
def lifespan_shutdown(at):
    assert at.process.serves()
    assert len(at.process.left()) == 1
    at.process.ask_to_stop()
    status = at.process.end()
    assert at.process.left()[1:] == ["lifespan.shutdown"]
    assert status in (0, -15), status


async def slow_end_app(scope, receive, send):
    if scope["type"] == "lifespan":
        await complete(receive, send)
        await receive()
        await asyncio.sleep(0.5)
        left("put away")
        return await send({"type": "lifespan.shutdown.complete"})
    await reply(send, "served")


@rule("the server waits for `lifespan.shutdown.complete` before it ends", target="rules.lifespan:slow_end_app")
def lifespan_shutdown_waits(at):
    assert at.process.serves()
    at.process.ask_to_stop()
    at.process.end()
    assert at.process.left() == ["put away"]


async def busy_app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await whole(receive, send)
    if scope["path"].startswith("/notes"):
        return await reply(send, [])
    left("begun")
    await asyncio.sleep(0.5)
    await reply(send, "served")
    left("answered")


@rule("running requests are finished before `lifespan.shutdown`", target="rules.lifespan:busy_app")
def lifespan_shutdown_last(at):
    assert at.process.serves()
    connection = at.connect()
    connection.request("GET", at.target())
    at.process.wait_left("begun")
    at.process.ask_to_stop()
    assert connection.response().value() == "served"
    connection.close()
    at.process.end()
    assert at.process.left() == ["begun", "answered", "lifespan.shutdown"], at.process.left()


async def broken_end_app(scope, receive, send):
    if scope["type"] == "lifespan":
        await complete(receive, send)
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "the ink ran out"})
        return
    await reply(send, "served")


@rule("`lifespan.shutdown.failed` is told, and the server ends", target="rules.lifespan:broken_end_app")
def lifespan_shutdown_failed(at):
    assert at.process.serves()
    at.process.ask_to_stop()
    at.process.end()
    assert "the ink ran out" in at.process.output(), at.process.output()


async def raising_end_app(scope, receive, send):
    if scope["type"] == "lifespan":
        await complete(receive, send)
        await receive()
        raise RuntimeError("broken at the end")
    await reply(send, "served")


@rule("an exception at shutdown is logged, and the server ends", target="rules.lifespan:raising_end_app")
def lifespan_shutdown_raises(at):
    assert at.process.serves()
    at.process.ask_to_stop()
    at.process.end()
    assert "broken at the end" in at.process.output(), at.process.output()


async def early_end_app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await complete(receive, send)
    await reply(send, "served")


@rule("an application whose lifespan returns after startup is served on, and the server ends when asked", target="rules.lifespan:early_end_app")
def lifespan_ends_early(at):
    assert at.process.serves()
    assert at.get().value() == "served"
    at.process.ask_to_stop()
    at.process.end()


async def socket_app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await whole(receive, send)
    if scope["type"] == "http":
        return await reply(send, "served")
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    left(f"{message['type']} {message.get('code')}")


@rule("a stop closes WebSockets with 1001 or 1012, and the application hears of it before `lifespan.shutdown`", target="rules.lifespan:socket_app")
def lifespan_websockets(at):
    assert at.process.serves()
    websocket = at.open()
    at.process.ask_to_stop()
    code = websocket.read()[0]
    assert code in (1001, 1012), code
    websocket.leave(code)
    at.process.end()
    lines = at.process.left()
    assert lines[0].startswith("websocket.disconnect 10") and lines[1:] == ["lifespan.shutdown"], lines
