"""WebSockets: how they end."""

from rule import NotApplicable, gate, note, rule
from rules.websocket import accepted
from rules.websocket_messages import app_of_echo


@rule("a close of the client is a `websocket.disconnect` with its code, and is answered with it", app_of_echo)
def ws_client_closes(at):
    websocket = at.open()
    websocket.leave(4123, "bye")
    assert websocket.read()[0] == 4123
    assert at.notes()[0][0] == 4123


@rule("`websocket.disconnect` has the client's reason", app_of_echo)
def ws_client_reason(at):
    websocket = at.open()
    websocket.leave(1000, "adiós")
    reason = at.notes()[0][1]
    if reason is None:
        raise NotApplicable("`reason` is not given")
    assert reason == "adiós", reason


@rule("a close without code is a `websocket.disconnect` with 1005", app_of_echo)
def ws_client_closes_bare(at):
    at.open().leave()
    assert at.notes()[0][0] == 1005


@rule("a client that is gone without a close is a `websocket.disconnect` with 1006", app_of_echo)
def ws_client_gone(at):
    websocket = at.open()
    websocket.text("here")
    assert websocket.read() == "here"
    websocket.vanish()
    assert at.notes()[0][0] == 1006


async def app_of_early_leaving(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    note(scope, "connect")
    note(scope, (await receive())["type"])


@rule("a client that leaves before it was accepted is a `websocket.disconnect`", app_of_early_leaving)
def ws_client_gone_early(at):
    websocket = at.socket()
    at.notes(1)
    websocket.vanish()
    assert at.notes(2) == ["connect", "websocket.disconnect"]


async def app_of_closing(scope, receive, send):
    await accepted(receive, send)
    close = {"": {}, "code": {"code": 4000}, "reason": {"code": 3001, "reason": "adiós"}}
    await send({"type": "websocket.close", **close[scope["query_string"].decode()]})


@rule("`websocket.close` closes with 1000 when it says no code", app_of_closing)
def ws_server_closes(at):
    assert at.open().read() == (1000, "")


@rule("`websocket.close` closes with its code and reason", app_of_closing)
def ws_server_reason(at):
    assert at.open("?code").read() == (4000, "")
    assert at.open("?reason").read() == (3001, "adiós")


@rule("after the closing handshake the server closes the connection", app_of_closing)
def ws_server_hangs_up(at):
    websocket = at.open()
    assert websocket.read() == (1000, "")
    websocket.leave(1000)
    assert websocket.closed()


async def app_of_after_close(scope, receive, send):
    await accepted(receive, send)
    await send({"type": "websocket.close", "code": 4002})
    note(scope, (await receive())["type"])


@rule("after its own close the application receives `websocket.disconnect`", app_of_after_close)
def ws_disconnect_after_close(at):
    websocket = at.open()
    websocket.read()
    websocket.leave(4002)
    assert at.notes() == ["websocket.disconnect"]


async def app_of_work(scope, receive, send):
    await accepted(receive, send)
    await send({"type": "websocket.close"})
    await gate(scope).wait()
    note(scope, "worked")


@rule("work after the close is finished, and the client does not wait for it", app_of_work)
def ws_then_work(at):
    websocket = at.open()
    assert websocket.read() == (1000, "")
    websocket.leave(1000)
    assert websocket.closed()
    at.go()
    assert at.notes() == ["worked"]
