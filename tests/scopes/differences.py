"""Where appliance tells its applications something else than uvicorn and gunicorn do, and why.

One row for each kind of difference. A row says which way it goes: what appliance adds, what it leaves out, or what it tells otherwise;
a fact that is missing here and that no row leaves out is a fault. A row that no request shows any more is one as well.
"""

from dataclasses import dataclass
from typing import Callable

ADDS, LEAVES_OUT, OTHERWISE = "adds", "leaves out", "tells otherwise"


@dataclass(frozen=True)
class Row:
    """Differences of one kind: in these facts, this way, for the requests that `when` takes."""

    interface: str
    way: str
    names: tuple
    why: str
    #: Shape, what appliance tells, what the other does.
    when: Callable = lambda shape, here, there: True

    def covers(self, interface, shape, name, here, there):
        way = ADDS if there is None else LEAVES_OUT if here is None else OTHERWISE
        return (
            interface == self.interface and way == self.way and name in self.names and bool(self.when(shape, here, there))
        )

    def line(self):
        peer = {"asgi": "uvicorn", "wsgi": "gunicorn"}[self.interface]
        names = ", ".join("`%s`" % name for name in self.names)
        return "| %s | %s | %s | %s |" % (peer, self.way, names, self.why)


def both(way, fields, why, when=Row.when):
    """A row for the same header fields under either interface."""
    return [
        Row("asgi", way, tuple("headers: " + field for field in fields), why, when),
        Row("wsgi", way, tuple("HTTP_" + field.upper().replace("-", "_") for field in fields), why, when),
    ]


def http2(shape, _here, _there):
    return shape.version == "2"


def has(*names):
    """The client sent such a field."""
    return lambda shape, _here, _there: any(name.lower() in names for name, _ in shape.fields)


def chunked(shape, _here, _there):
    return isinstance(shape.body, list)


def dotted(shape, *_):
    path = shape.target.partition("?")[0].lower().replace("%2e", ".").replace("%2f", "/")
    return any(segment in (".", "..") for segment in path.split("/"))


#: What we say of the client; the last one is the id of the access log.
SAID = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "forwarded", "x-request-id")

#: What a stranger may not say.
UNHEARD = (
    "x-forwarded-prefix",
    "x-forwarded-anything",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-scheme",
    "x-url-scheme",
    "x-script-name",
    "x-original-url",
    "x-rewrite-url",
    "front-end-https",
    "x-forwarded",
    "x-host",
    "x-original-host",
    "x-original-uri",
    "script-name",
)

LISTED = [
    *both(ADDS, SAID, "as nginx would be told to: who asked, for what, and the id in the logs"),
    *both(OTHERWISE, SAID, "whatever a stranger says of it", has(*SAID)),
    *both(LEAVES_OUT, UNHEARD, "a stranger is not believed; from `trusted_proxies` they pass", has(*UNHEARD)),
    *both(
        LEAVES_OUT,
        ("connection", "keep-alive", "te", "trailer", "upgrade", "http2-settings", "x-mine"),
        "for one connection only, or named by `Connection` (RFC 9110 §7.6.1); a WebSocket keeps the two that ask for it",
        lambda shape, _here, _there: not shape.websocket,
    ),
    *both(
        LEAVES_OUT,
        ("proxy", "proxy-authorization", "proxy-connection"),
        "for a proxy; `Proxy` would be HTTP_PROXY, which programs take for their configuration",
    ),
    *both(LEAVES_OUT, ("expect",), "answered by the proxy: the application has the body already"),
    *both(
        LEAVES_OUT,
        ("transfer-encoding",),
        "bodies are buffered, so their length is known; an ASGI route with `request_buffering = false` has it",
        chunked,
    ),
    Row("asgi", ADDS, ("headers: content-length",), "the length of a body that came without", chunked),
    Row("wsgi", ADDS, ("CONTENT_LENGTH",), "the length of a body that came without", chunked),
    Row(
        "asgi",
        LEAVES_OUT,
        ("headers: x_under_score",),
        "an application could not tell it from the name with hyphens; `underscores_in_headers` keeps it",
    ),
    Row("asgi", OTHERWISE, ("headers: x-blank",), "blanks around a value do not belong to it (RFC 9110 §5.5)"),
    Row("asgi", OTHERWISE, ("headers: cookie",), "of HTTP/2 it is one field again (RFC 9113 §8.2.3)", http2),
    Row("wsgi", OTHERWISE, ("HTTP_COOKIE",), "two fields are joined by `; `, which cookies are separated by"),
    Row(
        "asgi",
        OTHERWISE,
        ("headers in order",),
        "fields of one name stay in order; over HTTP/2 they are beside each other",
        http2,
    ),
    Row(
        "asgi",
        LEAVES_OUT,
        ("headers: sec-websocket-key",),
        "there is none in HTTP/2, and nothing for an application to do with one",
        http2,
    ),
    Row("asgi", OTHERWISE, ("path",), "dot segments are resolved, so that no route is gone around", dotted),
    Row("wsgi", OTHERWISE, ("PATH_INFO",), "dot segments are resolved, so that no route is gone around", dotted),
    *(
        Row(
            interface,
            OTHERWISE,
            (name,),
            "`OPTIONS *` is about the whole server, and goes to who answers `/`",
            lambda shape, *_: shape.target == "*",
        )
        for interface, name in (("asgi", "path"), ("wsgi", "PATH_INFO"))
    ),
    Row(
        "wsgi",
        OTHERWISE,
        ("PATH_INFO",),
        "a target without a path means `/` (RFC 9110 §4.2.3)",
        lambda shape, *_: shape.target == "http://example.org",
    ),
    Row(
        "asgi",
        OTHERWISE,
        ("status",),
        "uvicorn refuses it with 400",
        lambda shape, here, there: shape.target == "http://example.org" and (here, there) == (200, 400),
    ),
    *(
        Row(
            interface,
            OTHERWISE,
            ("status",),
            "over HTTP/2 a target with characters that no URI has, or a field for one connection (RFC 9113 §8.2.2), resets the stream",
            lambda shape, here, there: shape.version == "2"
            and here == 0
            and (any(character in shape.target for character in '"<>{}') or has("proxy-connection")(shape, here, there)),
        )
        for interface in ("asgi", "wsgi")
    ),
    Row("asgi", OTHERWISE, ("http_version",), "uvicorn has no HTTP/2; it was asked over HTTP/1.1", http2),
    Row("wsgi", OTHERWISE, ("SERVER_PROTOCOL",), "gunicorn was asked over HTTP/1.1", http2),
    Row("asgi", ADDS, ("extensions: tls",), "the TLS extension of ASGI", http2),
    Row("wsgi", ADDS, ("HTTPS",), "`on`, as Apache, nginx and uWSGI say it", http2),
    Row(
        "asgi",
        ADDS,
        ("extensions: http.response.early_hint", "extensions: http.response.trailers"),
        "extensions of ASGI that uvicorn does not have",
    ),
    Row("wsgi", ADDS, ("REQUEST_URI",), "the target as sent by the name that Apache, nginx and uWSGI have for it"),
    Row(
        "wsgi",
        OTHERWISE,
        ("SERVER_NAME", "SERVER_PORT"),
        "the host that the client named, as PEP 3333 has it; gunicorn has its own address",
    ),
    Row("wsgi", OTHERWISE, ("SERVER_SOFTWARE",), "each its own"),
    Row("wsgi", LEAVES_OUT, ("gunicorn.socket",), "the connection is the proxy's; a WebSocket of a WSGI application has one"),
    Row("wsgi", OTHERWISE, ("wsgi.errors", "wsgi.input", "wsgi.early_hints"), "objects of each server's own kind"),
    Row("wsgi", OTHERWISE, ("wsgi.multiprocess",), "an application may be given more workers at any reload"),
]
