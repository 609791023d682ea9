"""What the application is told about a request."""

from client import http2
from rule import NotApplicable, reply, rule, show_scope


@rule("`type` is `http`", show_scope)
def scope_type(at):
    assert at.get().value()["type"] == "http"


@rule("`asgi` tells the version, 3.0, and the version of the specification, at least 2.0, as texts", show_scope)
def scope_asgi(at):
    asgi = at.get().value()["asgi"]
    assert asgi["version"] == "3.0", asgi
    major, minor = asgi.get("spec_version", "2.0").split(".")
    assert (int(major), int(minor)) >= (2, 0), asgi


@rule("`http_version` is `1.1` for HTTP/1.1", show_scope)
def scope_http_version(at):
    assert at.get().value()["http_version"] == "1.1"


@rule("`http_version` is `1.0` for HTTP/1.0", show_scope)
def scope_http_version_old(at):
    assert at.get(version="1.0").value()["http_version"] == "1.0"


@rule("`http_version` is `2` for HTTP/2", show_scope, target="app:app_tls")
def scope_http_version_2(at):
    assert over_http2(at).value()["http_version"] == "2"


@rule("`:authority` of HTTP/2 is the `host` field, and no name begins with a colon", show_scope, target="app:app_tls")
def scope_authority(at):
    headers = over_http2(at).value()["headers"]
    assert [value for name, value in headers if name == b"host"] == [b"localhost"], headers
    assert not any(name.startswith(b":") for name, _ in headers), headers


@rule("`method` is the method as text, known to the server or not", show_scope)
def scope_method(at):
    for method in ("GET", "POST", "DELETE", "PROPFIND"):
        assert at.request(method).value()["method"] == method


@rule("`method` is in upper case; a method that is not may be refused", show_scope)
def scope_method_case(at):
    answer = at.request("get")
    assert 400 <= answer.status <= 501 or answer.value()["method"] == "GET", answer


@rule("`scheme` is `http` without TLS", show_scope)
def scope_scheme(at):
    assert at.get().value()["scheme"] == "http"


@rule("`scheme` is `https` with TLS", show_scope, target="app:app_tls")
def scope_scheme_tls(at):
    assert at.process.serves()
    assert at.get(tls=True).value()["scheme"] == "https"


@rule("`path` has its percent-escapes and then its UTF-8 decoded", show_scope)
def scope_path(at):
    assert at.get("/caf%C3%A9%20x+y").value()["path"] == at.target("/café x+y")


@rule("`path` has no query string", show_scope)
def scope_path_alone(at):
    assert at.get("/a?b=%20").value()["path"] == at.target("/a")


@rule("a path that is not UTF-8 is answered, whatever with", show_scope)
def scope_path_broken(at):
    answer = at.get("/%FF%FE")
    assert answer.status == 400 or isinstance(answer.value()["path"], str), answer


@rule("`raw_path` is the path as bytes, as it was sent, without the query string", show_scope)
def scope_raw_path(at):
    scope = at.get("/caf%C3%A9%2Fx?q").value()
    if scope.get("raw_path") is None:
        raise NotApplicable("`raw_path` is not given")
    assert scope["raw_path"] == at.target("/caf%C3%A9%2Fx").encode(), scope["raw_path"]


@rule("`query_string` is bytes as they were sent", show_scope)
def scope_query(at):
    assert at.get("/?a=%20b&c=d+e?f").value()["query_string"] == b"a=%20b&c=d+e?f"


@rule("`query_string` is empty bytes without a query", show_scope)
def scope_query_empty(at):
    assert at.get().value()["query_string"] == b""


@rule("`root_path` is empty at the root", show_scope)
def scope_root(at):
    assert at.get().value().get("root_path", "") == ""


@rule("`root_path` is where the application is mounted, and `path` begins with it", show_scope, target="app:app /mounted")
def scope_mounted(at):
    assert at.process.serves()
    prefix = "" if at.process.server.name == "uvicorn" else "/mounted"
    connection = at.connect()
    connection.request("GET", f"{prefix}/{at.name}/x")
    scope = connection.response().value()
    assert (scope["root_path"], scope["path"]) == ("/mounted", f"/mounted/{at.name}/x"), scope


@rule("`headers` are pairs of bytes with names in lower case", show_scope)
def scope_headers(at):
    headers = at.get("", [(b"X-Some-Thing", b"A b")]).value()["headers"]
    assert (b"x-some-thing", b"A b") in [tuple(pair) for pair in headers], headers
    assert all(type(part) is bytes for pair in headers for part in pair), headers
    assert all(name == name.lower() and len(pair) == 2 for pair in headers for name in pair[:1]), headers


@rule("fields of one name stay apart and in order", show_scope)
def scope_headers_twice(at):
    fields = [(b"x-a", b"1"), (b"accept", b"x/y"), (b"X-A", b"2"), (b"accept", b"z/*"), (b"x-a", b"3")]
    headers = at.get("", fields).value()["headers"]
    assert [value for name, value in headers if name == b"x-a"] == [b"1", b"2", b"3"], headers
    assert [value for name, value in headers if name == b"accept"] == [b"x/y", b"z/*"], headers


@rule("`content-length` is told as it was sent, also when it is 0", show_scope)
def scope_headers_length(at):
    for body, headers in ((b"four", []), (b"x" * 100_000, []), (b"", [(b"content-length", b"0")])):
        told = at.request("POST", "", headers, body).value()["headers"]
        lengths = [value for name, value in told if name == b"content-length"]
        assert lengths == [str(len(body)).encode()], told


@rule("of a chunked body the length or the `transfer-encoding` is told", show_scope)
def scope_headers_chunked(at):
    told = at.request("POST", "", [(b"transfer-encoding", b"chunked")], b"4\r\nfour\r\n0\r\n\r\n").value()["headers"]
    framing = [tuple(pair) for pair in told if pair[0] in (b"content-length", b"transfer-encoding")]
    assert framing in ([(b"content-length", b"4")], [(b"transfer-encoding", b"chunked")]), told


@rule("values of fields are the bytes that were sent, ASCII or not", show_scope)
def scope_headers_bytes(at):
    headers = at.get("", [(b"x-latin", b"caf\xe9"), (b"x-utf", "café".encode()), (b"x-empty", b"")]).value()["headers"]
    found = {name: value for name, value in headers}
    assert (found[b"x-latin"], found[b"x-utf"], found[b"x-empty"]) == (b"caf\xe9", "café".encode(), b""), headers


@rule("`client` is the address as text and the port as number", show_scope)
def scope_client(at):
    connection = at.connect()
    own = connection.socket.getsockname()
    connection.request("GET", at.target())
    assert tuple(connection.response().value()["client"]) == own


@rule("`server` is the address as text and the port as number", show_scope)
def scope_server(at):
    host, port = at.get("", [(b"host", b"elsewhere.example:81")]).value()["server"]
    assert port == at.port and host in ("127.0.0.1", "localhost"), (host, port)


async def app_of_types(scope, receive, send):
    def odd(value):
        if type(value) is dict:
            return [found for key, inner in value.items() for found in odd(key) + odd(inner)]
        if type(value) in (list, tuple):
            return [found for inner in value for found in odd(inner)]
        return [] if value is None or type(value) in (bytes, str, int, float, bool) else [repr(value)]

    # `state` belongs to the application.
    message = await receive()
    await reply(send, odd({key: value for key, value in scope.items() if key != "state"}) + odd(message))


@rule("scope and messages are plain dicts, lists, tuples, bytes, texts, numbers, booleans and None", app_of_types)
def scope_types(at):
    assert at.get("?a", [(b"x", b"y")], tls=False).value() == []


async def app_of_fresh(scope, receive, send):
    known = "of_before" in scope or "of_before" in scope["asgi"]
    scope["of_before"] = scope["asgi"]["of_before"] = True
    await reply(send, known)


@rule("each request has a scope of its own, also on one connection", app_of_fresh)
def scope_fresh(at):
    connection = at.connect()
    for _ in range(3):
        connection.request("GET", at.target())
        assert connection.response().value() is False


async def app_of_state(scope, receive, send):
    state = scope.get("state")
    if state is None:
        return await reply(send, None)
    seen = (state.get("number"), len(state["shared"]), "mine" in state)
    state["mine"] = True
    state["shared"].append(1)
    await reply(send, seen)


@rule("`state` is a shallow copy for each request of what the lifespan left there", app_of_state)
def scope_state(at):
    seen = [at.get().value() for _ in range(3)]
    if seen[0] is None:
        raise NotApplicable("`state` is not given")
    assert seen == [(7, 0, False), (7, 1, False), (7, 2, False)], seen


@rule("`extensions` is missing or a dict of dicts", show_scope)
def scope_extensions(at):
    extensions = at.get().value().get("extensions") or {}
    assert all(type(name) is str and type(told) is dict for name, told in extensions.items()), extensions


async def app_of_two(scope, receive, send):
    await reply(send, int(scope["query_string"]))


@rule("pipelined requests are answered in their order", app_of_two)
def scope_pipelined(at):
    connection = at.connect()
    for number in range(5):
        connection.request("GET", at.target(f"?{number}"))
    assert [connection.response().value() for _ in range(5)] == list(range(5))


class Double:
    """An ASGI 2 application: called with the scope, then with receive and send."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        if self.scope["type"] == "lifespan":
            raise RuntimeError("knows no lifespan")
        await reply(send, "double")


@rule("an ASGI 2 application, called twice, is known as one", target="rules.scope:Double")
def scope_double(at):
    assert at.process.serves(), at.process.output()
    assert at.get().value() == "double"


def over_http2(at):
    assert at.process.serves(), at.process.output()
    answer = http2(at.process.tls_port, at.target(), [(b"x-a", b"b")])
    if answer is None:
        raise NotApplicable("HTTP/2 is not spoken")
    return answer
