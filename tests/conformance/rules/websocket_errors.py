"""WebSockets that break the rules, on either side."""

import asyncio
import struct

from client import Lost
from rule import note, raised, rule
from rules.websocket import accepted
from rules.websocket_messages import app_of_echo


async def app_of_raising(scope, receive, send):
    await receive()
    raise RuntimeError("on purpose")


@rule("an exception before accepting is a 500", app_of_raising)
def wse_before(at):
    assert at.socket().response().status == 500


async def app_of_returning(scope, receive, send):
    await receive()


@rule("an application that returns without accepting is a 500 (or 403)", app_of_returning)
def wse_nothing(at):
    assert at.socket().response().status in (500, 403)


async def app_of_late_raising(scope, receive, send):
    await accepted(receive, send)
    await send({"type": "websocket.send", "text": "first"})
    raise RuntimeError("on purpose, in a WebSocket")


@rule("an exception after accepting closes with 1011, behind what was sent", app_of_late_raising)
def wse_after(at):
    websocket = at.open()
    assert websocket.read() == "first"
    assert websocket.read()[0] == 1011


@rule("an exception in a WebSocket is logged with its traceback", app_of_late_raising)
def wse_logged(at):
    websocket = at.open()
    websocket.read(), websocket.read()
    at.process.tells("RuntimeError: on purpose, in a WebSocket", "in app_of_late_raising")


async def app_of_leaving(scope, receive, send):
    await accepted(receive, send)


@rule("an application that returns without closing closes the WebSocket", app_of_leaving)
def wse_returns(at):
    code = at.open().read()[0]
    assert code in (1000, 1011), code


#: Before accepting (False) or after (True), what is sent.
WRONG = {
    "send-early": (False, {"type": "websocket.send", "text": "x"}),
    "unknown-early": (False, {"type": "websocket.nonsense"}),
    "accept-twice": (True, {"type": "websocket.accept"}),
    "unknown": (True, {"type": "websocket.nonsense"}),
    "http": (True, {"type": "http.response.body", "body": b"x"}),
    "neither": (True, {"type": "websocket.send"}),
    "nones": (True, {"type": "websocket.send", "text": None, "bytes": None}),
    "text-bytes": (True, {"type": "websocket.send", "text": b"x"}),
    "bytes-text": (True, {"type": "websocket.send", "bytes": "x"}),
    "code-text": (True, {"type": "websocket.close", "code": "1000"}),
}


async def app_of_sends(scope, receive, send):
    after, message = WRONG[scope["query_string"].decode()]
    await receive()
    if after:
        await send({"type": "websocket.accept"})
    note(scope, bool(await raised(send, message)))


def refuses(at, what):
    websocket = at.socket(f"?{what}")
    assert at.notes() == [True], "`send` did not raise"
    websocket.close()


@rule("a message before accepting raises", app_of_sends)
def wse_send_early(at):
    refuses(at, "send-early")


@rule("an unknown type before accepting raises", app_of_sends)
def wse_unknown_early(at):
    refuses(at, "unknown-early")


@rule("accepting twice raises", app_of_sends)
def wse_accept_twice(at):
    refuses(at, "accept-twice")


@rule("an unknown type raises", app_of_sends)
def wse_unknown(at):
    refuses(at, "unknown")


@rule("a message of HTTP raises", app_of_sends)
def wse_http(at):
    refuses(at, "http")


@rule("`websocket.send` with neither text nor bytes raises", app_of_sends)
def wse_neither(at):
    refuses(at, "neither")


@rule("`websocket.send` whose text and bytes are None raises", app_of_sends)
def wse_nones(at):
    refuses(at, "nones")


@rule("a `text` that is bytes raises", app_of_sends)
def wse_text_bytes(at):
    refuses(at, "text-bytes")


@rule("`bytes` that are a text raise", app_of_sends)
def wse_bytes_text(at):
    refuses(at, "bytes-text")


@rule("a close code that is a text raises", app_of_sends)
def wse_code_text(at):
    refuses(at, "code-text")


async def app_of_deaf(scope, receive, send):
    await accepted(receive, send)
    note(scope, tuple(int(part) for part in scope["asgi"].get("spec_version", "2.0").split(".")))
    while (await receive())["type"] != "websocket.disconnect":
        pass
    await asyncio.sleep(0)
    note(scope, await raised(send, {"type": "websocket.send", "text": "too late"}))


@rule("`send` to a client that left does nothing, and raises an OSError from version 2.4 of the specification on", app_of_deaf)
def wse_gone(at):
    websocket = at.open()
    at.notes(1)
    websocket.vanish()
    version, kinds = at.notes(2)
    assert ("OSError" in kinds) if version >= (2, 4) else not kinds, (version, kinds)


def fails_with(at, code, act):
    websocket = at.open()
    act(websocket)
    assert websocket.read()[0] == code
    assert at.notes()[0][0] in (code, 1006), at.notes()


@rule("a text that is not UTF-8 is closed with 1007, and the application hears of it", app_of_echo)
def wse_utf8(at):
    fails_with(at, 1007, lambda websocket: websocket.frame(1, b"caf\xe9"))


@rule("a frame without mask is closed with 1002", app_of_echo)
def wse_mask(at):
    fails_with(at, 1002, lambda websocket: websocket.frame(1, b"bare", mask=False))


@rule("reserved bits and opcodes are closed with 1002", app_of_echo)
def wse_reserved(at):
    websocket = at.open()
    websocket.frame(1, b"x", rsv=0x20)
    assert websocket.read()[0] == 1002
    websocket = at.open()
    websocket.frame(3, b"x")
    assert websocket.read()[0] == 1002


@rule("a control frame in fragments, or longer than 125 bytes, is closed with 1002", app_of_echo)
def wse_control(at):
    websocket = at.open()
    websocket.frame(9, b"x", fin=False)
    assert websocket.read()[0] == 1002
    websocket = at.open()
    websocket.frame(9, b"x" * 126)
    assert websocket.read()[0] == 1002


@rule("a close code that may not be on the wire is closed with 1002", app_of_echo)
def wse_close_code(at):
    for code in (999, 1005, 1006, 5000):
        websocket = at.open()
        websocket.frame(8, struct.pack("!H", code))
        assert websocket.read()[0] == 1002, code


async def app_of_injection(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-a", b"b\r\nx-evil: 1")]})
    await send({"type": "websocket.close"})


@rule("no header field breaks the head of the handshake", app_of_injection)
def wse_injection(at):
    try:
        answer = at.socket().response()
    except Lost:
        return
    assert b"x-evil" not in [name for name, _ in answer.headers], answer
