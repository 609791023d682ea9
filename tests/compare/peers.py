"""The servers that appliance is held against: nginx in front of gunicorn, as their manuals have it, and uvicorn."""

import os
import socket
import subprocess
import sys
import time

from client import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))

#: How long a peer may take to start.
BOOT_S = 60

#: Applications fail on purpose.
QUIET = ["--log-level", "critical"]


class Process:
    """A server of Python, on a socket that is there before it."""

    def __init__(self, *command):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        descriptor = self.listener.fileno()
        self.child = subprocess.Popen(
            [sys.executable, "-m", *(word.replace("{fd}", str(descriptor)) for word in command)],
            cwd=HERE,
            env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"),
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            # It would only tell what the application does on purpose.
            stderr=subprocess.DEVNULL,
        )
        self.wait()

    def wait(self):
        """Until it answers: the import takes its time on a busy machine, where every answer has a deadline."""
        with socket.create_connection(("127.0.0.1", self.port), BOOT_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if not client.recv(1):
                sys.exit("a peer does not answer")

    def close(self):
        end(self.child)
        self.listener.close()


class Uvicorn(Process):
    """As it comes; like ours it does not believe what a stranger says of where it comes from."""

    def __init__(self):
        super().__init__(
            "uvicorn",
            "application:asgi",
            "--fd",
            "{fd}",
            "--no-proxy-headers",
            *QUIET,
            "--no-access-log",
            "--loop",
            "asyncio",
        )


class Gunicorn(Process):
    """As it comes."""

    def __init__(self):
        super().__init__(
            "gunicorn",
            "application:wsgi",
            "--bind",
            "fd://{fd}",
            "--worker-tmp-dir",
            "/dev/shm",
            "--no-control-socket",
            *QUIET,
        )


class Nginx:
    """nginx with the files in `root`, and gunicorn behind it."""

    def __init__(self, binary, directory, root, certificate, key):
        told = subprocess.run([binary, "-v"], stderr=subprocess.PIPE, check=True, text=True).stderr
        self.version = told.split("/")[-1].split()[0]
        self.gunicorn = Gunicorn()
        self.port, self.tls_port = free_ports(2)
        values = {
            "{dir}": directory,
            "{root}": root,
            "{certificate}": certificate,
            "{key}": key,
        }
        values |= {"{port}": str(self.port), "{tls_port}": str(self.tls_port), "{gunicorn}": str(self.gunicorn.port)}
        config = CONFIG
        for name, value in values.items():
            config = config.replace(name, value)
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        log = os.path.join(directory, "error.log")
        self.child = subprocess.Popen([binary, "-p", directory, "-c", path, "-e", log], stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not accepts(self.port):
            if self.child.poll() is not None or time.monotonic() > deadline:
                self.close()
                with open(log, encoding="utf-8", errors="replace") as file:
                    sys.exit("nginx does not start: " + file.read())
            time.sleep(0.02)

    def close(self):
        end(self.child)
        self.gunicorn.close()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        return False
    return True


def end(child):
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


#: The types are those of nginx's mime.types. One process without privileges; what it writes is in its directory.
CONFIG = """
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events { worker_connections 512; }
http {
    types {
        text/html html htm shtml;
        text/css css;
        text/xml xml;
        application/javascript js;
        text/plain txt;
        application/json json;
        application/wasm wasm;
        image/png png;
        image/svg+xml svg svgz;
        font/woff2 woff2;
    }
    default_type application/octet-stream;
    sendfile on;
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl http2;
        server_name example.org;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        location /static/ {
            alias {root}/;
            gzip_static on;
        }
        location / {
            proxy_pass http://127.0.0.1:{gunicorn};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_redirect off;
        }
    }
}
"""
