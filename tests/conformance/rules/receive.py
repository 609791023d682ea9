"""What the application receives: the body and its end."""

import asyncio

from client import MOMENT, Lost
from rule import gate, note, reply, rule


async def body_of(receive):
    messages = []
    while True:
        messages.append(await receive())
        if messages[-1]["type"] != "http.request" or not messages[-1].get("more_body", False):
            return messages


async def show_body(scope, receive, send):
    messages = await body_of(receive)
    kinds = [message["type"] for message in messages]
    assert set(kinds) == {"http.request"}, kinds
    body = b"".join(message.get("body", b"") for message in messages)
    await reply(send, (len(messages), len(body), body[:100]))


async def app_of_empty(scope, receive, send):
    await reply(send, await receive())


@rule("a request without body is one `http.request` with an empty body and nothing more", app_of_empty)
def receive_empty(at):
    message = at.get().value()
    assert message["type"] == "http.request", message
    assert message.get("body", b"") == b"" and message.get("more_body", False) is False, message


@rule("a body with a length arrives whole", show_body)
def receive_length(at):
    assert at.request("POST", body=b"twelve bytes").value()[1:] == (12, b"twelve bytes")


@rule("a chunked body arrives without its framing", show_body)
def receive_chunked(at):
    chunks = b"4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nX-Trailer: z\r\n\r\n"
    answer = at.request("POST", headers=[(b"transfer-encoding", b"chunked")], body=chunks)
    assert answer.value()[1:] == (9, b"wikipedia")


async def app_of_large(scope, receive, send):
    messages = await body_of(receive)
    body = b"".join(message.get("body", b"") for message in messages)
    good = body == bytes(range(256)) * (len(body) // 256)
    flags = [message.get("more_body", False) for message in messages]
    await reply(send, (len(body), good, flags == [True] * (len(flags) - 1) + [False]))


@rule("a large body arrives in parts with `more_body`, the last without", app_of_large)
def receive_large(at):
    body = bytes(range(256)) * (16 << 10)
    assert at.request("POST", body=body).value() == (len(body), True, True)


@rule("the body of HTTP/1.0 arrives", show_body)
def receive_old(at):
    assert at.request("POST", body=b"old", version="1.0").value()[1:] == (3, b"old")


async def app_of_parts(scope, receive, send):
    first = await receive()
    note(scope, (first.get("body"), first.get("more_body")))
    rest = await body_of(receive)
    await reply(send, [message.get("body", b"") for message in rest if message.get("body")])


@rule("the beginning of a body arrives while its end is not sent yet (appliance: `request_buffering = false`)", app_of_parts)
def streamed(at):
    connection = at.connect()
    connection.request("POST", at.target(), [(b"content-length", b"8")], b"half")
    assert at.notes() == [(b"half", True)]
    connection.send(b"more")
    assert connection.response().value() == [b"more"]


async def app_of_waiting(scope, receive, send):
    await body_of(receive)
    waiting = asyncio.ensure_future(receive())
    done, _ = await asyncio.wait([waiting], timeout=2 * MOMENT)
    early = bool(done)
    waiting.cancel()
    await reply(send, early)


@rule("after the body nothing is received while the client waits for its answer", app_of_waiting)
def receive_waits(at):
    assert at.request("POST", body=b"x").value() is False


async def app_of_leaving(scope, receive, send):
    await body_of(receive)
    note(scope, "begun")
    message = await receive()
    note(scope, message["type"])


@rule("a client that leaves before its answer is an `http.disconnect`", app_of_leaving)
def receive_disconnect(at):
    connection = at.connect()
    connection.request("GET", at.target())
    at.notes(1)
    connection.close()
    assert at.notes(2) == ["begun", "http.disconnect"]


@rule("a client that vanishes with a reset is an `http.disconnect`", app_of_leaving)
def receive_reset(at):
    connection = at.connect()
    connection.request("GET", at.target())
    at.notes(1)
    connection.vanish()
    assert at.notes(2) == ["begun", "http.disconnect"]


async def app_of_stream(scope, receive, send):
    await body_of(receive)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    message = await receive()
    note(scope, message["type"])


@rule("a client that leaves in the middle of its answer is an `http.disconnect`", app_of_stream)
def receive_disconnect_later(at):
    connection = at.connect()
    connection.request("GET", at.target())
    connection.head()
    assert connection.chunk() == b"first"
    connection.close()
    assert at.notes() == ["http.disconnect"]


async def app_of_after(scope, receive, send):
    await body_of(receive)
    await reply(send, b"done")
    note(scope, [(await receive())["type"], (await receive())["type"]])


@rule("after the answer `http.disconnect` is received, at once and again", app_of_after)
def receive_after(at):
    connection = at.connect()
    connection.request("GET", at.target())
    connection.response()
    assert at.notes() == [["http.disconnect", "http.disconnect"]]


@rule("`Expect: 100-continue` is answered before the body comes", show_body)
def receive_continue(at):
    connection = at.connect()
    connection.request("POST", at.target(), [(b"expect", b"100-continue"), (b"content-length", b"4")])
    assert connection.head().status == 100
    connection.send(b"body")
    assert connection.response().value()[1:] == (4, b"body")


async def app_of_cut(scope, receive, send):
    messages = await body_of(receive)
    last = messages[-1]
    note(scope, last["type"] if last["type"] != "http.request" else "whole")


@rule("a body whose client leaves in its middle never looks whole", app_of_cut)
def receive_cut(at):
    connection = at.connect()
    connection.request("POST", at.target(), [(b"content-length", b"100")], b"ten bytes.")
    connection.close()
    # A server that waits for the whole body never calls the application; one that does not says `http.disconnect`.
    end = at.connect()
    assert end.silent(2 * MOMENT)
    assert at.notes(0) in ([], ["http.disconnect"])


async def app_of_unread(scope, receive, send):
    await reply(send, b"not read")


@rule("a body that the application does not read is not taken for the next request", app_of_unread)
def receive_unread(at):
    connection = at.connect()
    body = b"GET /evil HTTP/1.1\r\nhost: evil\r\n\r\n" * 1000
    connection.request("POST", at.target(), body=body)
    assert connection.response().body == b"not read"
    try:
        connection.request("GET", at.target())
        answer = connection.response()
    except (Lost, OSError):
        return  # It may close instead.
    assert answer.body == b"not read", answer


async def app_of_gate(scope, receive, send):
    note(scope, 1)
    await gate(scope).wait()
    await reply(send, b"open")


@rule("requests wait beside each other: one can open the gate of a hundred", app_of_gate)
def receive_concurrent(at):
    connections = [at.connect() for _ in range(100)]
    for connection in connections:
        connection.request("GET", at.target())
    at.notes(100)
    at.go()
    assert all(connection.response().body == b"open" for connection in connections)
