"""Applications that break the rules of HTTP, or just break."""

import asyncio

from client import Lost
from rule import gate, note, raised, reply, rule


async def app_of_nothing(scope, receive, send):
    await receive()


@rule("an application that returns without an answer is a 500", app_of_nothing)
def error_nothing(at):
    assert at.get().status == 500


async def app_of_raising(scope, receive, send):
    raise RuntimeError("on purpose")


@rule("an exception before the answer is a 500, and tells the client nothing of itself", app_of_raising)
def error_before(at):
    answer = at.get()
    assert answer.status == 500 and b"purpose" not in answer.body, answer


@rule("an exception is logged with its traceback", app_of_raising)
def error_logged(at):
    at.get()
    at.process.tells("RuntimeError: on purpose", "in app_of_raising")


async def app_of_late_raising(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await gate(scope).wait()
    raise RuntimeError("on purpose, later")


@rule("an exception in the middle of the answer cuts the connection, so that the answer does not look whole", app_of_late_raising)
def error_after(at):
    connection = at.connect()
    connection.request("GET", at.target())
    connection.head()
    assert connection.chunk() == b"first"
    at.go()
    try:
        rest = connection.chunk()
    except Lost:
        return
    raise AssertionError(f"it goes on with {rest!r}")


async def app_of_head_and_raising(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    raise RuntimeError("on purpose, after the head")


@rule("an exception after the head and before the body is a 500: nothing was sent yet", app_of_head_and_raising)
def error_after_head(at):
    assert at.get().status == 500


async def app_of_half(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})


@rule("an application that returns in the middle of its answer does not look as if it had ended it", app_of_half)
def error_half(at):
    assert not at.get().complete


async def app_of_short(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
    await send({"type": "http.response.body", "body": b"01234"})


@rule("a body shorter than its content-length does not look whole, and nobody waits for the rest", app_of_short)
def error_short(at):
    answer = at.get()
    assert not answer.complete


async def app_of_long(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"0123456789"})


@rule("a body longer than its content-length never reaches the next answer on the connection", app_of_long)
def error_long(at):
    connection = at.connect()
    connection.request("GET", at.target())
    answer = connection.response()
    assert answer.status == 500 or answer.body[:5] in (b"01234", b""), answer
    try:
        connection.request("GET", at.target())
        second = connection.response()
    except (Lost, OSError):
        return
    assert second.status in (200, 500), second


async def app_of_sends(scope, receive, send):
    """Sends a message that it may not, tells what was raised, and goes on as if nothing had been."""
    good = [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]},
        {"type": "http.response.body", "body": b"good"},
    ]
    where, message = WRONG[scope["query_string"].decode()]
    for at, then in enumerate(good):
        if at == where:
            note(scope, bool(await raised(send, message)))
        await send(then)


WRONG = {
    "body-first": (0, {"type": "http.response.body", "body": b"x"}),
    "start-twice": (1, {"type": "http.response.start", "status": 201}),
    "unknown": (0, {"type": "http.response.nonsense"}),
    "websocket": (0, {"type": "websocket.send", "text": "x"}),
    "no-type": (0, {"status": 200}),
    "no-status": (0, {"type": "http.response.start"}),
    "status-text": (0, {"type": "http.response.start", "status": "200"}),
    "headers-text": (0, {"type": "http.response.start", "status": 200, "headers": [("x-a", "b")]}),
    "headers-short": (0, {"type": "http.response.start", "status": 200, "headers": [(b"x-a",)]}),
    "body-text": (1, {"type": "http.response.body", "body": "text", "more_body": True}),
}


def refuses(at, what):
    try:
        at.get(f"?{what}")
    except Lost:
        pass  # Whatever becomes of this answer.
    assert at.notes() == [True], "`send` did not raise"


@rule("a body before the head raises", app_of_sends)
def error_body_first(at):
    refuses(at, "body-first")


@rule("a second head raises", app_of_sends)
def error_start_twice(at):
    refuses(at, "start-twice")


@rule("a message of an unknown type raises", app_of_sends)
def error_unknown(at):
    refuses(at, "unknown")


@rule("a message of another protocol raises", app_of_sends)
def error_other_protocol(at):
    refuses(at, "websocket")


@rule("a message without type raises", app_of_sends)
def error_no_type(at):
    refuses(at, "no-type")


@rule("a head without status raises", app_of_sends)
def error_no_status(at):
    refuses(at, "no-status")


@rule("a status that is a text raises", app_of_sends)
def error_status_text(at):
    refuses(at, "status-text")


@rule("header fields that are texts raise", app_of_sends)
def error_headers_text(at):
    refuses(at, "headers-text")


@rule("a header field that is no pair raises", app_of_sends)
def error_headers_short(at):
    refuses(at, "headers-short")


@rule("a body that is a text raises", app_of_sends)
def error_body_text(at):
    refuses(at, "body-text")


async def app_of_more_keys(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [], "unheard-of": 1})
    await send({"type": "http.response.body", "body": b"fine", "unheard-of": [2]})


@rule("further keys in a message are passed over", app_of_more_keys)
def error_more_keys(at):
    assert at.get().body == b"fine"


async def app_of_more_messages(scope, receive, send):
    await reply(send, b"whole")
    note(scope, await raised(send, {"type": "http.response.body", "body": b"more"}))


@rule("a message after the last part of the body is ignored", app_of_more_messages)
def error_more_messages(at):
    connection = at.connect()
    connection.request("GET", at.target())
    assert connection.response().body == b"whole"
    assert at.notes() == [[]], "`send` raised"
    assert connection.silent()


async def app_of_deaf(scope, receive, send):
    await receive()
    note(scope, tuple(int(part) for part in scope["asgi"].get("spec_version", "2.0").split(".")))
    while (await receive())["type"] != "http.disconnect":
        pass
    await asyncio.sleep(0)
    note(scope, await raised(send, {"type": "http.response.start", "status": 200}, {"type": "http.response.body"}))


@rule("`send` to a client that left does nothing, and raises an OSError from version 2.4 of the specification on", app_of_deaf)
def error_gone(at):
    connection = at.connect()
    connection.request("GET", at.target())
    at.notes(1)
    connection.close()
    version, kinds = at.notes(2)
    assert ("OSError" in kinds) if version >= (2, 4) else not kinds, (version, kinds)


async def app_of_injection(scope, receive, send):
    headers = {
        b"value": (b"x-a", b"b\r\nx-evil: 1"),
        b"name": (b"x-a: b\r\nx-evil", b"1"),
        b"nul": (b"x-a", b"b\0c"),
        b"space": (b"x evil", b"1"),
    }[scope["query_string"]]
    await reply(send, b"text", headers=[headers])


@rule("no header field breaks the head: line ends, NUL and spaces in names are refused", app_of_injection)
def error_injection(at):
    for what in ("value", "name", "nul", "space"):
        try:
            answer = at.get(f"?{what}")
        except Lost:
            continue
        names = [name for name, _ in answer.headers]
        assert answer.status == 500 or not any(name in names for name in (b"x-evil", b"x evil")), answer
        assert not any(b"\0" in value for _, value in answer.headers), answer


async def app_of_exit(scope, receive, send):
    if scope["query_string"] == b"cancel":
        raise asyncio.CancelledError
    await reply(send, b"alive")


@rule("a task that cancels itself is a 500, and the server lives", app_of_exit)
def error_cancelled(at):
    answer = at.get("?cancel")
    assert answer.status == 500, answer
    assert at.get().body == b"alive"
