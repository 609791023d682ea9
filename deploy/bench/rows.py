"""The rows: what is compared with what, under which load."""

from dataclasses import dataclass, field

import stacks
from flat import beside_open
from loads import beside_one_at_a_time, beside_slow_clients, client, h2load, memory, nothing, paced, whole_file, wrk

WSGI = [stacks.granian, stacks.nginx_uwsgi, stacks.nginx_gunicorn]
#: Servers that do nothing else, and what this machine takes for nothing at all.
BARE = [stacks.peregrine, stacks.peregrine_with_log, stacks.freastal, stacks.bjoern, stacks.floor]
#: nginx as it is deployed, without its log, and the newest.
NGINX = [stacks.nginx, stacks.nginx_without_log, stacks.nginx_unstable]
ASGI = [stacks.granian, stacks.uvicorn, stacks.nginx_uvicorn, stacks.hypercorn]
ASGI += [stacks.nginx_gunicorn_uvicorn, stacks.nginx_gunicorn_asgi]


@dataclass
class Row:
    """One kind of work."""

    title: str
    load: object
    peers: list = field(default_factory=lambda: NGINX)
    app: str = ""
    asgi: bool = False
    #: A WSGI application on greenlets.
    green: bool = False
    tls: bool = False
    workers: int = 1
    #: Servers and load have all cores, as on a machine that is not measured.
    free: bool = False
    #: Bytes of the file that is served.
    file_bytes: int = 0
    #: How many there are of what the cost shall not grow with: routes, sites with a certificate, servers behind.
    routes: int = 0
    sites: int = 1
    servers: int = 1
    #: How the server behind is reached: "http" or "unix".
    upstream: str = ""


ROWS = {
    "hello": Row("WSGI that says hello", wrk(), WSGI + BARE, "application:hello"),
    "hello-one": Row("WSGI that says hello to one client", wrk(connections=1), WSGI, "application:hello"),
    "hello-close": Row(
        "WSGI that says hello, a connection for each request", wrk(kept_alive=False), WSGI + BARE[:-1], "application:hello"
    ),
    **{
        f"free-{clients}": Row(
            f"WSGI that says hello, 2 workers on free cores, {clients} clients",
            wrk(connections=clients),
            [*WSGI, stacks.peregrine],
            "application:hello",
            workers=2,
            free=True,
        )
        for clients in (1, 16, 64)
    },
    **{
        f"paced-{rate}": Row(
            f"WSGI that says hello, 2 workers on free cores, {rate} requests in each second",
            paced(rate),
            [*WSGI, stacks.peregrine],
            "application:hello",
            workers=2,
            free=True,
        )
        for rate in (500, 2_000)
    },
    "hello-tls": Row("WSGI that says hello, over TLS", wrk(), WSGI, "application:hello", tls=True),
    "flask": Row("Flask that says hello", wrk(), WSGI, "application:flask"),
    "django": Row("Django that says hello", wrk(), WSGI, "application_django:application"),
    "django-page": Row("Django's page of 50 rows", wrk("/books", connections=8), WSGI, "application_django:application"),
    "quick": Row(
        "16 quick clients beside one that keeps a request of 10 ms in flight, 2 workers",
        beside_one_at_a_time("/10", 16),
        [stacks.nginx_uwsgi],
        "application:pauses",
        workers=2,
    ),
    "upload": Row("upload of 1 MiB", wrk("/", post_bytes=1 << 20, connections=8), WSGI, "application:bulk"),
    "download": Row("download of 1 MiB from WSGI", wrk("/big", connections=8), WSGI, "application:bulk"),
    "file": Row("file of 1 KiB", wrk(), file_bytes=1 << 10),
    "file-tls": Row("file of 1 KiB, over TLS", wrk(), file_bytes=1 << 10, tls=True),
    "file-h2": Row("file of 1 KiB, HTTP/2", h2load(), file_bytes=1 << 10, tls=True),
    "file-h2-32": Row("file of 1 KiB, HTTP/2, 16 x 32 streams", h2load("/", 16, 32), file_bytes=1 << 10, tls=True),
    "file-close": Row("file of 1 KiB, a connection for each request", wrk(kept_alive=False), file_bytes=1 << 10),
    "file-10m": Row("file of 10 MiB", wrk(connections=8), file_bytes=10 << 20),
    "file-10m-tls": Row("file of 10 MiB, over TLS", wrk(connections=8), file_bytes=10 << 20, tls=True),
    "handshake": Row("full TLS handshakes", client("handshakes", "handshake"), file_bytes=1 << 10, tls=True),
    "slow": Row(
        "16 fast clients beside 500 that upload and 500 that download slowly",
        beside_slow_clients(500),
        [stacks.nginx_uwsgi, stacks.nginx_gunicorn],
        "application:bulk",
    ),
    "memory": Row(
        "4 Django workers", memory, [stacks.nginx_uwsgi, stacks.nginx_gunicorn], "application_django:application", workers=4
    ),
    "start": Row("start to first answer with Django", nothing, [stacks.gunicorn], "application_django:application"),
    "upstream-http": Row("server behind the proxy, TCP", wrk(), upstream="http"),
    "upstream-unix": Row("server behind the proxy, Unix socket", wrk(), upstream="unix"),
    "asgi": Row("ASGI that says hello", wrk(), ASGI, "application_asgi:application", asgi=True),
    "fastapi": Row("FastAPI that answers JSON", wrk(), ASGI, "application_fastapi:application", asgi=True),
    "websocket": Row(
        "WebSocket echo, 64 connections", client("websocket", "message"), ASGI, "application_asgi:application", asgi=True
    ),
    "events": Row(
        "server-sent events, 200 clients", client("events", "event"), ASGI, "application_asgi:application", asgi=True
    ),
    "wait-10": Row("500 waits of 10 ms", wrk("/10", connections=500), ASGI, "application_asgi:application", asgi=True),
    "wait-100": Row("500 waits of 100 ms", wrk("/100", connections=500), ASGI, "application_asgi:application", asgi=True),
    "green": Row(
        "500 waits of 100 ms in Flask, on greenlets",
        wrk("/100", connections=500),
        [stacks.nginx_gunicorn_gevent],
        "application:flask",
        green=True,
    ),
    "flat-idle": Row(
        "10,000 idle connections beside 16 clients, file of 1 KiB", beside_open("http", 10_000), [], file_bytes=1 << 10
    ),
    "flat-websockets": Row(
        "5,000 idle WebSockets beside 16 clients, ASGI that says hello",
        beside_open("websocket", 5_000),
        [],
        "application_asgi:application",
        asgi=True,
    ),
    "flat-routes": Row(
        "1,000 routes, beside one", wrk("/route-1/index.html"), [stacks.appliance_with_one], file_bytes=1 << 10, routes=1_000
    ),
    "flat-sites": Row(
        "200 sites with a certificate each, beside one: full TLS handshakes",
        client("handshakes", "handshake"),
        [stacks.appliance_with_one],
        file_bytes=1 << 10,
        tls=True,
        sites=200,
    ),
    "flat-servers": Row(
        "100 servers behind the proxy, beside one", wrk(), [stacks.appliance_with_one], upstream="http", servers=100
    ),
    "flat-heads": Row("request heads of 1 MiB, refused", client("heads", "head"), file_bytes=1 << 10),
    "flat-file": Row("one file of 10 GiB", whole_file, file_bytes=10 << 30),
    "flat-workers": Row("64 workers, beside one", wrk(), [stacks.appliance_with_one], "application:hello", workers=64),
}
