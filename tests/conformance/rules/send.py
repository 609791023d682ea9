"""What the application sends, and what arrives."""

import asyncio
import contextvars

from client import PATIENCE, Lost
from rule import gate, note, reply, rule


async def app_of_answer(scope, receive, send):
    headers = [
        (b"x-one", b"1"),
        (b"set-cookie", b"a=b"),
        (b"x-latin", b"caf\xe9"),
        (b"set-cookie", b"c=d"),
        (b"x-empty", b""),
    ]
    await reply(send, b"text", 418, headers)


@rule("status, header fields and body arrive as they were sent", app_of_answer)
def send_answer(at):
    answer = at.get()
    assert (answer.status, answer.body, answer.complete) == (418, b"text", True), answer
    assert (answer.one("x-one"), answer.one("x-latin"), answer.one("x-empty")) == (b"1", b"caf\xe9", b""), answer


@rule("fields of one name stay apart and in order", app_of_answer)
def send_headers_twice(at):
    assert at.get().all("set-cookie") == [b"a=b", b"c=d"]


async def app_of_defaults(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


@rule("`headers`, `body` and `more_body` may be left out", app_of_defaults)
def send_defaults(at):
    answer = at.get()
    assert (answer.status, answer.body, answer.complete) == (200, b"", True), answer


async def app_of_lists(scope, receive, send):
    headers = iter([[b"x-list", b"1"], (b"x-tuple", b"2")])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@rule("`headers` is any iterable of any two-item iterables", app_of_lists)
def send_headers_iterable(at):
    answer = at.get()
    assert (answer.one("x-list"), answer.one("x-tuple")) == (b"1", b"2"), answer


async def app_of_late_head(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    note(scope, "started")
    await gate(scope).wait()
    await send({"type": "http.response.body", "body": b"body"})


@rule("the head is not sent before the first part of the body", app_of_late_head)
def send_head_waits(at):
    connection = at.connect()
    connection.request("GET", at.target())
    at.notes()
    silent = connection.silent()
    at.go()
    assert connection.response().body == b"body" and silent


async def app_of_stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await gate(scope).wait()
    await send({"type": "http.response.body", "body": b"second"})


@rule("a part of the body is at the client before the next one is made", app_of_stream)
def send_stream(at):
    connection = at.connect()
    connection.request("GET", at.target())
    assert connection.head().one("transfer-encoding") == b"chunked"
    assert connection.chunk() == b"first"
    at.go()
    assert (connection.chunk(), connection.chunk()) == (b"second", b"")


async def app_of_empty_parts(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    for part in (b"", b"a", b"", b"b"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@rule("an empty part in the middle of a body is not its end", app_of_empty_parts)
def send_empty_parts(at):
    answer = at.get()
    assert (answer.body, answer.complete) == (b"ab", True), answer


@rule("without a length the body for HTTP/1.0 ends with the connection, and is not chunked", app_of_empty_parts)
def send_old(at):
    answer = at.get(version="1.0")
    assert answer.one("transfer-encoding") is None and answer.body == b"ab", answer


async def app_of_length(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"01234", "more_body": True})
    await send({"type": "http.response.body", "body": b"56789"})


@rule("a content-length of the application is kept, also for a body in parts", app_of_length)
def send_length(at):
    answer = at.get()
    assert answer.one("content-length") == b"10" and answer.one("transfer-encoding") is None, answer
    assert answer.body == b"0123456789"


@rule("the answer to HEAD has the fields and no body", app_of_length)
def send_head(at):
    connection = at.connect()
    connection.request("HEAD", at.target())
    answer = connection.response("HEAD")
    assert answer.one("content-length") == b"10", answer
    connection.request("GET", at.target())
    assert connection.response().body == b"0123456789"


async def app_of_status(scope, receive, send):
    await send({"type": "http.response.start", "status": int(scope["query_string"])})
    await send({"type": "http.response.body", "body": b""})


@rule("204 has no body and no length", app_of_status)
def send_no_content(at):
    connection = at.connect()
    connection.request("GET", at.target("?204"))
    answer = connection.response()
    assert answer.status == 204 and answer.one("transfer-encoding") is None, answer
    assert answer.one("content-length") is None, answer
    connection.request("GET", at.target("?404"))
    assert connection.response().status == 404


@rule("304 has no body", app_of_status)
def send_not_modified(at):
    connection = at.connect()
    connection.request("GET", at.target("?304"))
    answer = connection.response()
    assert answer.status == 304 and answer.one("transfer-encoding") is None, answer
    connection.request("GET", at.target("?404"))
    assert connection.response().status == 404


async def app_of_large(scope, receive, send):
    await reply(send, bytes(range(256)) * (32 << 10))


@rule("a large body in one message arrives whole", app_of_large)
def send_large(at):
    answer = at.get()
    assert answer.complete and answer.body == bytes(range(256)) * (32 << 10)


async def app_of_many(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    for number in range(5000):
        await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
    await send({"type": "http.response.body"})


@rule("thousands of parts arrive whole and in order", app_of_many)
def send_many(at):
    answer = at.get()
    assert answer.complete and answer.body == b"".join(b"%d\n" % number for number in range(5000))


async def app_of_flood(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    part, sent = b"x" * (1 << 20), 0
    try:
        while sent < 256:
            await asyncio.wait_for(send({"type": "http.response.body", "body": part, "more_body": True}), 1)
            sent += 1
    except asyncio.TimeoutError:
        pass
    note(scope, sent)


@rule("`send` waits when the client does not read: of 256 MiB not all is taken", app_of_flood)
def send_pressure(at):
    connection = at.connect()
    connection.request("GET", at.target())
    (sent,) = at.notes(1, 6 * PATIENCE)
    connection.close()
    assert sent < 256, f"{sent} MiB were taken"


async def app_of_work(scope, receive, send):
    await reply(send, b"answer")
    await gate(scope).wait()
    note(scope, "worked")


@rule("the answer is complete at the client while the application still works, and the work is finished", app_of_work)
def send_then_work(at):
    connection = at.connect()
    connection.request("GET", at.target())
    assert connection.response().body == b"answer"
    at.go()
    assert at.notes() == ["worked"]


@rule("another request on the connection does not wait for that work", app_of_work)
def send_then_next(at):
    connection = at.connect()
    for _ in range(2):
        connection.request("GET", at.target())
        assert connection.response().body == b"answer"
    at.go()
    assert at.notes(2) == ["worked", "worked"]


MARK = contextvars.ContextVar("mark", default=None)


async def app_of_context(scope, receive, send):
    before = MARK.get()
    MARK.set(scope["query_string"])
    await asyncio.sleep(0)
    await reply(send, (before, MARK.get()))


@rule("each request has a context (`contextvars`) of its own", app_of_context)
def send_context(at):
    connection = at.connect()
    for query in (b"a", b"b"):
        connection.request("GET", at.target("?" + query.decode()))
        assert connection.response().value() == (None, query)


async def app_of_tasks(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})

    async def part(number):
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})

    await asyncio.gather(*(part(number) for number in range(10)))
    await asyncio.get_running_loop().create_task(send({"type": "http.response.body"}))


@rule("`send` may be awaited in any task", app_of_tasks)
def send_tasks(at):
    answer = at.get()
    assert answer.complete and sorted(answer.body) == sorted(b"0123456789"), answer


async def app_of_close(scope, receive, send):
    await reply(send, b"bye", headers=[(b"connection", b"close")])


@rule("`connection: close` of the client is obeyed", app_of_answer)
def send_close_asked(at):
    connection = at.connect()
    connection.request("GET", at.target(), [(b"connection", b"close")])
    assert connection.response().body == b"text"
    assert connection.closed()


@rule("a connection is kept for further requests", app_of_answer)
def send_keeps(at):
    connection = at.connect()
    try:
        for _ in range(20):
            connection.request("GET", at.target())
            assert connection.response().body == b"text"
    except (Lost, OSError) as error:
        raise AssertionError("it was closed") from error
