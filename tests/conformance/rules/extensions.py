"""Extensions, where the server says in the scope that it has them."""

import os
import tempfile

from client import Connection, http2
from rule import NotApplicable, reply, rule, show_scope


async def offered(scope, send, name):
    if name in (scope.get("extensions") or {}):
        return True
    await reply(send, b"", 501)
    return False


def has(answer):
    if answer.status == 501:
        raise NotApplicable("not offered")
    return answer


async def app_of_trailers(scope, receive, send):
    if not await offered(scope, send, "http.response.trailers"):
        return
    headers = [(b"trailer", b"x-sum, x-more")]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
    await send({"type": "http.response.body", "body": b"text"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"42")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-more", b"43")]})


@rule("`http.response.trailers`: trailers arrive after the body for a client that said `te: trailers`", app_of_trailers)
def trailers(at):
    answer = has(at.get("", [(b"te", b"trailers"), (b"connection", b"te")]))
    assert (answer.body, answer.trailers) == (b"text", [(b"x-sum", b"42"), (b"x-more", b"43")]), answer.trailers


@rule("`http.response.trailers`: a client that did not say it gets none", app_of_trailers)
def trailers_unasked(at):
    answer = has(at.get())
    assert (answer.body, answer.complete, answer.trailers) == (b"text", True, []), answer.trailers


@rule("`http.response.trailers`: trailers arrive over HTTP/2", app_of_trailers, target="app:app_tls")
def trailers_http2(at):
    assert at.process.serves()
    answer = http2(at.process.tls_port, at.target(), [(b"te", b"trailers")])
    if answer is None:
        raise NotApplicable("HTTP/2 is not spoken")
    has(answer)
    assert (answer.body, answer.trailers) == (b"text", [(b"x-sum", b"42"), (b"x-more", b"43")]), answer.trailers


async def app_of_hints(scope, receive, send):
    if not await offered(scope, send, "http.response.early_hint"):
        return
    links = [b"</style.css>; rel=preload", b"</script.js>; rel=preload"]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.early_hint", "links": links})
    await send({"type": "http.response.body", "body": b"text"})


@rule("`http.response.early_hint`: a 103 with the links comes before the answer", app_of_hints)
def early_hint(at):
    connection = at.connect()
    connection.request("GET", at.target())
    hint = has(connection.head())
    assert hint.status == 103, hint
    links = b", ".join(hint.all("link"))
    assert links == b"</style.css>; rel=preload, </script.js>; rel=preload", hint
    assert connection.response().body == b"text"


@rule("`http.response.early_hint`: HTTP/1.0 knows no interim answers and gets none", app_of_hints)
def early_hint_old(at):
    connection = at.connect()
    connection.request("GET", at.target(), version="1.0")
    assert has(connection.head()).status == 200


FILE = os.path.join(tempfile.gettempdir(), f"pathsend-{os.getpid()}")


async def app_of_path(scope, receive, send):
    if not await offered(scope, send, "http.response.pathsend"):
        return
    with open(FILE, "wb") as file:
        file.write(bytes(range(256)) * 4096)
    headers = [(b"content-length", b"1048576")] if scope["query_string"] == b"length" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.pathsend", "path": FILE})
    os.unlink(FILE)


@rule("`http.response.pathsend`: the file is the body", app_of_path)
def pathsend(at):
    for query in ("", "?length"):
        answer = has(at.get(query))
        assert answer.complete and answer.body == bytes(range(256)) * 4096, answer


async def app_of_missing(scope, receive, send):
    if not await offered(scope, send, "http.response.pathsend"):
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.pathsend", "path": "/does/not/exist"})


@rule("`http.response.pathsend`: a file that is not there is a 500", app_of_missing)
def pathsend_missing(at):
    assert has(at.get()).status == 500


async def app_of_copy(scope, receive, send):
    if not await offered(scope, send, "http.response.zerocopysend"):
        return
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        await send({"type": "http.response.start", "status": 200})
        sent = {"type": "http.response.zerocopysend", "file": file, "offset": 2, "count": 5, "more_body": True}
        await send(sent)
        await send({"type": "http.response.body", "body": b"!"})


@rule("`http.response.zerocopysend`: a part of a file is a part of the body", app_of_copy)
def zerocopysend(at):
    assert has(at.get()).body == b"23456!"


@rule("`tls`: version and cipher suite are told as their numbers", show_scope, target="app:app_tls")
def tls(at):
    assert at.process.serves()
    connection = Connection(at.process.tls_port, True)
    connection.request("GET", at.target())
    told = (connection.response().value().get("extensions") or {}).get("tls")
    if told is None:
        raise NotApplicable("not offered")
    assert told["tls_version"] == 0x0304, told
    assert told["cipher_suite"] is None or 0x1301 <= told["cipher_suite"] <= 0x1303, told
    assert not told.get("client_cert_chain") and told.get("client_cert_name") is None, told


@rule("`tls` is missing without TLS", show_scope)
def tls_missing(at):
    assert "tls" not in (at.get().value().get("extensions") or {})
