"""WebSockets: handshake, messages, and how they end."""

import asyncio
import zlib

from client import Lost, beside
from rule import NotApplicable, gate, note, reply, rule


async def accepted(receive, send, **more):
    message = await receive()
    assert message["type"] == "websocket.connect", message
    await send({"type": "websocket.accept", **more})


async def show_scope(scope, receive, send):
    await accepted(receive, send)
    told = {key: value for key, value in scope.items() if key != "state"}
    await send({"type": "websocket.send", "text": repr(told)})
    await receive()


def scope_of(at, more="", headers=(), **options):
    return at.open(more, headers, **options).value()


@rule("`type` is `websocket`, and the versions are told as for HTTP", show_scope)
def ws_type(at):
    scope = scope_of(at)
    assert (scope["type"], scope["asgi"]["version"], scope["http_version"]) == ("websocket", "3.0", "1.1"), scope


@rule("`scheme` is `ws` without TLS", show_scope)
def ws_scheme(at):
    assert scope_of(at)["scheme"] == "ws"


@rule("`scheme` is `wss` with TLS", show_scope, target="app:app_tls")
def ws_scheme_tls(at):
    assert at.process.serves()
    assert scope_of(at, tls=True)["scheme"] == "wss"


@rule("`path`, `raw_path` and `query_string` are told as for HTTP", show_scope)
def ws_path(at):
    scope = scope_of(at, "/caf%C3%A9%2Fx?a=%20")
    assert (scope["path"], scope["query_string"]) == (at.target("/café/x"), b"a=%20"), scope
    assert scope.get("raw_path") in (None, at.target("/caf%C3%A9%2Fx").encode()), scope


@rule("`headers` has all fields of the handshake, in lower case, as bytes", show_scope)
def ws_headers(at):
    headers = [tuple(pair) for pair in scope_of(at, "", [(b"X-A", b"1"), (b"x-a", b"2"), (b"Origin", b"http://o")])["headers"]]
    assert [value for name, value in headers if name == b"x-a"] == [b"1", b"2"], headers
    assert (b"origin", b"http://o") in headers and (b"sec-websocket-version", b"13") in headers, headers


@rule("`client` and `server` are told as for HTTP", show_scope)
def ws_addresses(at):
    websocket = at.open("", [(b"host", b"localhost:%d" % at.port)])
    scope = websocket.value()
    assert tuple(scope["client"]) == websocket.socket.getsockname(), scope["client"]
    assert scope["server"][1] == at.port, scope["server"]


@rule("`subprotocols` are the client's, as texts and in order, over one field or more", show_scope)
def ws_subprotocols(at):
    fields = [(b"sec-websocket-protocol", b"chat.v2,  chat"), (b"sec-websocket-protocol", b"x")]
    assert list(scope_of(at, "", fields)["subprotocols"]) == ["chat.v2", "chat", "x"]
    assert list(scope_of(at).get("subprotocols", [])) == []


async def app_of_state(scope, receive, send):
    await accepted(receive, send)
    state = scope.get("state")
    await send({"type": "websocket.send", "text": repr(state and state.get("number"))})


@rule("`state` is what the lifespan left there", app_of_state)
def ws_state(at):
    number = at.open().value()
    if number is None:
        raise NotApplicable("`state` is not given")
    assert number == 7


async def app_of_gate(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    note(scope, "connect")
    await gate(scope).wait()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})


@rule("the first message is `websocket.connect`, and the handshake waits for the application", app_of_gate)
def ws_connect(at):
    websocket = at.socket()
    assert at.notes() == ["connect"]
    silent = websocket.silent()
    at.go()
    websocket.shake()
    assert silent


async def app_of_accept(scope, receive, send):
    headers = [(b"x-one", b"1"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")]
    await accepted(receive, send, subprotocol=scope["query_string"].decode() or None, headers=headers)
    await receive()


@rule("header fields of `websocket.accept` are in the handshake", app_of_accept)
def ws_accept_headers(at):
    answer = at.open().answer
    assert answer.one("x-one") == b"1" and answer.all("set-cookie") == [b"a=b", b"c=d"], answer


@rule("the chosen subprotocol is in the handshake, and none when none was chosen", app_of_accept)
def ws_accept_subprotocol(at):
    fields = [(b"sec-websocket-protocol", b"chat, other")]
    assert at.open("?other", fields).answer.one("sec-websocket-protocol") == b"other"
    assert at.open("", fields).answer.one("sec-websocket-protocol") is None


async def app_of_refusal(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


@rule("`websocket.close` instead of accepting is a 403", app_of_refusal)
def ws_refused(at):
    assert at.socket().response().status == 403


async def app_of_denial(scope, receive, send):
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.accept"})
        return await send({"type": "websocket.close", "code": 4000})
    headers = [(b"x-why", b"no"), (b"content-length", b"8")]
    await send({"type": "websocket.http.response.start", "status": 451, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"here"})


@rule("`websocket.http.response`: an application may refuse with an answer of its own", app_of_denial)
def ws_denial(at):
    answer = at.socket().response()
    if answer.status == 101:
        raise NotApplicable("not offered")
    assert (answer.status, answer.one("x-why"), answer.body) == (451, b"no", b"not here"), answer


async def app_of_echo(scope, receive, send):
    await accepted(receive, send)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return note(scope, (int(message["code"]), message.get("reason")))
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def app_of_received(scope, receive, send):
    await accepted(receive, send)
    message = await receive()
    await send({"type": "websocket.send", "text": repr(message)})


@rule("a text message is `text`, and `bytes` is missing or None", app_of_received)
def ws_text(at):
    websocket = at.open()
    websocket.text("grüße 🎈")
    message = websocket.value()
    assert (message["type"], message["text"], message.get("bytes")) == ("websocket.receive", "grüße 🎈", None), message


@rule("a binary message is `bytes`, and `text` is missing or None", app_of_received)
def ws_bytes(at):
    websocket = at.open()
    websocket.bytes(b"\0\xff")
    message = websocket.value()
    assert (message["type"], message["bytes"], message.get("text")) == ("websocket.receive", b"\0\xff", None), message


@rule("what is sent as `text` is a text message, as `bytes` a binary one", app_of_echo)
def ws_echo(at):
    websocket = at.open()
    websocket.text("grüße 🎈")
    websocket.bytes(b"\0\xff")
    assert (websocket.read(), websocket.read()) == ("grüße 🎈", b"\0\xff")


@rule("empty messages are messages", app_of_echo)
def ws_empty(at):
    websocket = at.open()
    websocket.text("")
    websocket.bytes(b"")
    websocket.text("end")
    assert (websocket.read(), websocket.read(), websocket.read()) == ("", b"", "end")


@rule("messages of a megabyte pass both ways", app_of_echo)
def ws_large(at):
    websocket = at.open()
    data = bytes(range(256)) * 4096
    sent = beside(lambda: (websocket.bytes(data), websocket.text("é" * (1 << 19))))
    assert (websocket.read() == data, websocket.read() == "é" * (1 << 19)) == (True, True)
    sent()


@rule("a message in fragments is one message, with a ping in its middle too", app_of_echo)
def ws_fragments(at):
    websocket = at.open()
    websocket.frame(1, "grü".encode()[:3], fin=False)
    websocket.frame(0, "grü".encode()[3:], fin=False)
    websocket.frame(9, b"ping")
    websocket.frame(0, "ße".encode())
    assert websocket.read_frame() == (True, 0, 10, b"ping")
    assert websocket.read() == "grüße"


@rule("a ping is answered with its payload, and is not the application's affair", app_of_echo)
def ws_ping(at):
    websocket = at.open()
    websocket.frame(9, b"sign of life")
    assert websocket.read_frame() == (True, 0, 10, b"sign of life")
    websocket.frame(10, b"nobody asked")
    websocket.text("after")
    assert websocket.read() == "after"


@rule("thousands of messages arrive in order", app_of_echo)
def ws_order(at):
    websocket = at.open()
    sent = beside(lambda: [websocket.text(str(number)) for number in range(3000)])
    assert [websocket.read() for _ in range(3000)] == [str(number) for number in range(3000)]
    sent()


async def app_of_burst(scope, receive, send):
    await accepted(receive, send)
    for number in range(3000):
        await send({"type": "websocket.send", "text": str(number)})
    await send({"type": "websocket.close"})


@rule("messages that were sent before a close all arrive", app_of_burst)
def ws_burst(at):
    websocket = at.open()
    assert [websocket.read() for _ in range(3001)] == [*(str(number) for number in range(3000)), (1000, "")]


@rule("`permessage-deflate` is agreed on with a client that offers it, and messages pass", app_of_echo)
def ws_deflate(at):
    websocket = at.open("", [(b"sec-websocket-extensions", b"permessage-deflate")])
    agreed = websocket.answer.one("sec-websocket-extensions")
    if agreed is None:
        raise NotApplicable("not agreed on")
    assert agreed.startswith(b"permessage-deflate"), agreed
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"again " * 1000) + packer.flush(zlib.Z_SYNC_FLUSH)
    websocket.frame(1, packed[:-4], rsv=0x40)
    fin, reserved, opcode, payload = websocket.read_frame()
    unpacker = zlib.decompressobj(wbits=-15)
    text = unpacker.decompress(payload + b"\0\0\xff\xff") if reserved else payload
    assert (fin, opcode, text) == (True, 1, b"again " * 1000)


async def app_of_flood(scope, receive, send):
    await accepted(receive, send)
    part, sent = b"x" * (1 << 20), 0
    try:
        while sent < 256:
            await asyncio.wait_for(send({"type": "websocket.send", "bytes": part}), 1)
            sent += 1
    except asyncio.TimeoutError:
        pass
    note(scope, sent)


@rule("`send` waits when the client does not read: of 256 MiB not all is taken", app_of_flood)
def ws_pressure(at):
    websocket = at.open()
    (sent,) = at.notes()
    websocket.close()
    assert sent < 256, f"{sent} MiB were taken"


async def app_of_concurrency(scope, receive, send):
    await accepted(receive, send)
    note(scope, 1)
    await gate(scope).wait()
    await send({"type": "websocket.close", "code": 4001})


@rule("a hundred WebSockets live beside each other and beside requests", app_of_concurrency)
def ws_concurrent(at):
    sockets = [at.open() for _ in range(100)]
    at.notes(100)
    at.go()
    assert all(websocket.read() == (4001, "") for websocket in sockets)


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


async def app_of_duplex(scope, receive, send):
    await accepted(receive, send)

    async def ticks():
        for number in range(50):
            await send({"type": "websocket.send", "text": f"tick {number}"})
            await asyncio.sleep(0.001)

    ticking = asyncio.ensure_future(ticks())
    for _ in range(50):
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
    await ticking
    await send({"type": "websocket.close"})


@rule("one task may send while another receives", app_of_duplex)
def ws_duplex(at):
    websocket = at.open()
    for number in range(50):
        websocket.text(f"mine {number}")
    texts = [websocket.read() for _ in range(101)]
    assert texts[-1] == (1000, "") and len(set(texts)) == 101, texts
    for kind in ("tick", "mine"):
        assert [text for text in texts[:-1] if text.startswith(kind)] == [f"{kind} {number}" for number in range(50)]


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


async def app_of_both(scope, receive, send):
    if scope["type"] == "http":
        return await reply(send, "http")
    await app_of_refusal(scope, receive, send)


@rule("a request that asks for no WebSocket is HTTP", app_of_both)
def ws_or_http(at):
    assert at.get().value() == "http"
    assert at.get("", [(b"connection", b"upgrade"), (b"upgrade", b"h2c, something")]).value() == "http"


@rule("a handshake without key, or with another version, is refused", app_of_both)
def ws_bad_handshake(at):
    for field in ((b"sec-websocket-key", b"short"), (b"sec-websocket-version", b"12")):
        try:
            status = at.socket("", [field]).response().status
        except Lost:
            continue
        assert 400 <= status < 500 and status != 403, (field, status)
