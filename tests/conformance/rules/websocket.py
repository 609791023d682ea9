"""WebSockets: what the application is told, and the handshake."""

from client import Lost
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


@rule("`headers` has `upgrade` and `connection` as they were sent", show_scope)
def ws_headers_upgrade(at):
    headers = [tuple(pair) for pair in scope_of(at, "", [(b"connection", b"keep-alive, Upgrade")])["headers"]]
    told = [pair for pair in headers if pair[0] in (b"upgrade", b"connection")]
    assert sorted(told) == [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"websocket")], headers


@rule("`client` and `server` are told as for HTTP", show_scope)
def ws_addresses(at):
    websocket = at.open("", [(b"host", b"elsewhere.example:81")])
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
