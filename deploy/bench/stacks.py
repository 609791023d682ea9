"""The stacks that are compared, each made for one row of the table."""

import dataclasses
import os
import shutil
import subprocess

from flat import certificates, routes, sites
from stack import HERE, NotHere, Stack, free_port


def certificate(directory):
    """A P-256 certificate; its key in the one form that granian reads."""
    if not (directory / "key.pem").exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
            + ["-keyout", directory / "key.pem", "-out", directory / "certificate.pem"],
            check=True,
            capture_output=True,
        )
    return directory / "certificate.pem", directory / "key.pem"


def origin(scheme, port):
    return f"{scheme}://127.0.0.1:{port}"


def appliance(row, bench, binary, name="appliance"):
    directory, port = bench.directory, free_port()
    pairs = [certificate(directory), *certificates(directory, row.sites)] if row.tls else []
    pairs = ", ".join(f'{{ certificate = "{cert}", key = "{key}" }}' for cert, key in pairs)
    tls = f"[tls]\ncertificates = [{pairs}]" if row.tls else ""
    extra, helpers = "", ()
    if row.app:
        key, value = ("asgi", row.app) if row.asgi else ("wsgi", row.app)
        extra = f'[app.web]\n{key} = "{value}"\ndirectory = "{HERE}"\nvenv = "{bench.environment}"\nworkers = {row.workers}\n'
        if not row.asgi:
            extra += 'green = "gevent"\n' if row.green else "threads = 1\n"
        route = 'app = "web"'
    elif row.upstream:
        helpers, servers = backend(row, bench)
        extra = f"[upstream.back]\nservers = {servers}\nkeepalive = 64\n"
        route = 'upstream = "back"'
    else:
        route = 'files = { "/" = "www" }'
    config = directory / f"{name}.toml"
    config.write_text(
        f"""{extra}
{tls}
[server]
threads = {row.workers if row.free and not row.app else 1}
[[listener]]
address = "127.0.0.1:{port}"
tls = {str(row.tls).lower()}
[listener.limits]
requests_max = 1000000000
connections_max = 100000
[[site]]
{route}
{routes(row.routes)}
{sites(row.sites)}
[log.access]
to = "./{name}.access"
[log.error]
to = "./{name}.error"
level = "warn"
"""
    )
    url = origin("https" if row.tls else "http", port)
    return Stack(name, [[binary, "--conf", config]], url, directory, helpers)


def appliance_with_one(row, bench):
    """The same with one of what the row has many of."""
    one = dataclasses.replace(row, workers=1, sites=1, servers=1, routes=min(row.routes, 1))
    return appliance(one, bench, bench.binary, "appliance-one")


def backend(row, bench):
    """An nginx that stands for servers behind the proxy, and how they are named."""
    path = bench.directory / "back.sock"
    port = free_port()
    hosts = [f"127.0.0.{number}:{port}" for number in range(1, row.servers + 1)]
    listen = "".join(f"listen {where};" for where in ([f"unix:{path}"] if row.upstream == "unix" else hosts))
    servers = [f"unix:{path}"] if row.upstream == "unix" else [f"http://{host}" for host in hosts]
    path.unlink(missing_ok=True)
    command = nginx_command(bench, "back", f"server {{ {listen} access_log off; return 200 'hello world\\n'; }}")
    return [command], servers


def nginx_command(bench, name, servers, workers=1, log=True):
    directory = bench.directory
    access = f"{directory}/{name}.access combined" if log else "off"
    (directory / f"{name}.conf").write_text(
        # Started as root nginx would give its workers to nobody, who may not open the sockets.
        ("user root;\n" if os.geteuid() == 0 else "")
        + f"""daemon off; worker_processes {workers}; pid {directory}/{name}.pid; error_log {directory}/{name}.error warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log {access};
    client_body_temp_path {directory}/{name}-body; proxy_temp_path {directory}/{name}-proxy;
    uwsgi_temp_path {directory}/{name}-uwsgi; fastcgi_temp_path {directory}/{name}-f; scgi_temp_path {directory}/{name}-s;
    keepalive_requests 100000000; sendfile on; tcp_nopush on; client_max_body_size 64m;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    {servers}
}}
"""
    )
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    return [binary, "-p", directory, "-c", directory / f"{name}.conf", "-e", directory / f"{name}.error"]


def nginx(row, bench, name="nginx", location=None, server=None, backs=(), log=True, run=()):
    """nginx with one location; `server` is what `app` stands for in it. The name is part of paths in its configuration, where
    a space would end them. `run`: another nginx than the system's."""
    helpers = ()
    if location is None and row.upstream:
        helpers, back = backend(row, bench)
        server = back[0].removeprefix("http://")
        location = PROXY
    port = free_port()
    upstream = f"upstream app {{ server {server}; keepalive 64; }}" if server else ""
    listen = f"listen 127.0.0.1:{port}"
    if row.tls:
        cert, key = certificate(bench.directory)
        listen += f" ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_session_cache shared:SSL:4m"
    location = location or f"root {bench.directory}/www;"
    servers = f"{upstream} server {{ {listen}; location / {{ {location} }} }}"
    command = nginx_command(bench, name, servers, row.workers if row.free else 1, log)
    command = [*run, *command[1:]] if run else command
    return Stack(name, [*backs, command], origin("https" if row.tls else "http", port), bench.directory, helpers)


def nginx_without_log(row, bench):
    return nginx(row, bench, "nginx-no-log", log=False)


def nginx_unstable(row, bench):
    """Debian unstable's, from the root that tests/unstable.sh makes, by the loader of that root: no line of it is installed here."""
    root = bench.unstable
    run = [*root.glob("lib64/ld-linux-*"), *root.glob("lib/ld-linux-*")][:1]
    libraries = ":".join(str(path.parent) for path in root.glob("usr/lib/*/libc.so.6"))
    if not run or not (root / "usr/sbin/nginx").exists():
        raise NotHere(f"no nginx in {root}")
    return nginx(row, bench, "nginx-unstable", run=[*run, "--library-path", libraries, root / "usr/sbin/nginx"])


PROXY = (
    "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    "proxy_set_header X-Forwarded-Proto $scheme; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
    "proxy_set_header Connection $connection_upgrade; proxy_pass http://app; "
)

UWSGI = "uwsgi_pass app; " + " ".join(
    f"uwsgi_param {name} {value};"
    for name, value in {
        "QUERY_STRING": "$query_string",
        "REQUEST_METHOD": "$request_method",
        "CONTENT_TYPE": "$content_type",
        "CONTENT_LENGTH": "$content_length",
        "REQUEST_URI": "$request_uri",
        "PATH_INFO": "$document_uri",
        "DOCUMENT_ROOT": "$document_root",
        "SERVER_PROTOCOL": "$server_protocol",
        "REQUEST_SCHEME": "$scheme",
        "REMOTE_ADDR": "$remote_addr",
        "REMOTE_PORT": "$remote_port",
        "SERVER_PORT": "$server_port",
        "SERVER_NAME": "$server_name",
    }.items()
)


def granian(row, bench):
    port = free_port()
    command = [bench.bin / "granian", "--interface", "asgi" if row.asgi else "wsgi", "--host", "127.0.0.1", "--port", port]
    command += ["--workers", row.workers, "--log-level", "error"]
    command += [] if row.asgi else ["--blocking-threads", "1", "--no-ws"]
    if row.tls:
        cert, key = certificate(bench.directory)
        command += ["--ssl-certificate", cert, "--ssl-keyfile", key]
    return Stack("granian", [[*command, row.app]], origin("https" if row.tls else "http", port), bench.directory)


def peregrine(row, bench, log=False):
    """Like granian it speaks HTTP itself; with its log as well, since ours is always on."""
    name, port = "peregrine+log" if log else "peregrine", free_port()
    command = [bench.bin / "peregrine", "--port", port, "--workers", row.workers, "--python-path", HERE]
    command += ["--protocol", "asgi" if row.asgi else "wsgi", *(["--access-log"] if log else ["--log-level", "error"])]
    if row.tls:
        cert, key = certificate(bench.directory)
        command += ["--tls-cert", cert, "--tls-key", key]
    return Stack(name, [[*command, row.app]], origin("https" if row.tls else "http", port), bench.directory)


def peregrine_with_log(row, bench):
    return peregrine(row, bench, log=True)


def bare(row, bench, server):
    """Servers that are a library: one process, one thread, no log."""
    port = free_port()
    command = [bench.bin / "python", HERE / "bare.py", server, port, row.app]
    return Stack(server, [command], origin("http", port), bench.directory)


def freastal(row, bench):
    return bare(row, bench, "freastal")


def bjoern(row, bench):
    return bare(row, bench, "bjoern")


def floor(row, bench):
    """An epoll loop that answers every read with the same bytes: no server can take less on this machine."""
    program, port = bench.directory / "floor", free_port()
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / "floor.c"], check=True)
    return Stack("floor", [[program, port]], origin("http", port), bench.directory)


def nginx_uwsgi(row, bench):
    path = bench.directory / "uwsgi.sock"
    uwsgi = [bench.bin / "pyuwsgi", "--master", "--processes", row.workers, "--disable-logging", "--uwsgi-socket", path]
    uwsgi += ["--listen", "100", "--die-on-term", "--need-app", "--chdir", HERE, "--module", row.app]
    uwsgi += ["--virtualenv", bench.environment]
    return nginx(row, bench, "nginx+uwsgi", UWSGI, f"unix:{path}", [uwsgi])


def gunicorn_command(row, bench, bind, *options):
    return [bench.bin / "gunicorn", "--workers", row.workers, "--bind", bind, *options, row.app]


def nginx_gunicorn(row, bench):
    path = bench.directory / "gunicorn.sock"
    options = ["--preload"] if row.workers > 1 else []
    return nginx(row, bench, "nginx+gunicorn", PROXY, f"unix:{path}", [gunicorn_command(row, bench, f"unix:{path}", *options)])


def gunicorn(row, bench):
    port = free_port()
    return Stack("gunicorn", [gunicorn_command(row, bench, f"127.0.0.1:{port}")], origin("http", port), bench.directory)


def nginx_gunicorn_gevent(row, bench):
    path = bench.directory / "gevent.sock"
    command = gunicorn_command(row, bench, f"unix:{path}", "-k", "gevent", "--worker-connections", "1000")
    return nginx(row, bench, "nginx+gunicorn-gevent", PROXY, f"unix:{path}", [command])


def nginx_gunicorn_asgi(row, bench):
    path = bench.directory / "ga.sock"
    command = gunicorn_command(row, bench, f"unix:{path}", "-k", "asgi", "--worker-connections", "1000")
    return nginx(row, bench, "nginx+gunicorn-asgi", PROXY, f"unix:{path}", [command])


def nginx_gunicorn_uvicorn(row, bench):
    path = bench.directory / "gu.sock"
    command = gunicorn_command(row, bench, f"unix:{path}", "-k", "uvicorn_worker.UvicornWorker")
    return nginx(row, bench, "nginx+gunicorn-uvicorn", PROXY, f"unix:{path}", [command])


def uvicorn_command(row, bench, *where):
    return [bench.bin / "uvicorn", *where, "--log-level", "error", "--no-access-log", row.app]


def uvicorn(row, bench):
    port = free_port()
    return Stack("uvicorn", [uvicorn_command(row, bench, "--port", port)], origin("http", port), bench.directory)


def nginx_uvicorn(row, bench):
    path = bench.directory / "uvicorn.sock"
    return nginx(row, bench, "nginx+uvicorn", PROXY, f"unix:{path}", [uvicorn_command(row, bench, "--uds", path)])


def hypercorn(row, bench):
    port = free_port()
    command = [bench.bin / "hypercorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "uvloop", row.app]
    return Stack("hypercorn", [command], origin("http", port), bench.directory)
