"""uvicorn and gunicorn, each as it comes, with TLS and without, at the root and below a path."""

import os
import socket
import subprocess
import sys
import time

from asking import PATIENCE, Server

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer:
    """One process of another server."""

    def __init__(self, name, tls, mount, certificate, key):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        descriptor = str(self.listener.fileno())
        if name == "uvicorn":
            # What a stranger says of where it comes from is not believed by either.
            command = ["uvicorn", "told:asgi", "--fd", descriptor, "--no-proxy-headers", "--no-access-log"]
            command += ["--log-level", "error", "--loop", "asyncio", "--root-path", mount]
            command += ["--ssl-certfile", certificate, "--ssl-keyfile", key] * tls
        else:
            command = ["gunicorn", "told:wsgi", "--bind", "fd://" + descriptor, "--log-level", "error"]
            command += ["--forwarded-allow-ips", "192.0.2.1", "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
            command += ["--limit-request-line", "0"]
            command += ["--certfile", certificate, "--keyfile", key] * tls
            environment["SCRIPT_NAME"] = mount
        self.child = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=HERE,
            env=environment,
            pass_fds=[self.listener.fileno()],
            stdin=subprocess.DEVNULL,
        )
        # uvicorn puts its root path before what it is asked for; gunicorn takes it off.
        self.server = Server(self.port, tls, mount if name == "gunicorn" else "")

    def close(self):
        self.child.terminate()
        try:
            self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.listener.close()


class Peers:
    """All of them."""

    def __init__(self, mount, certificate, key):
        self.of = {}
        try:
            for name in ("uvicorn", "gunicorn"):
                for tls in (False, True):
                    for where in ("", mount):
                        self.of[name, tls, bool(where)] = Peer(name, tls, where, certificate, key)
        except BaseException:
            self.close()
            raise

    def ask(self, name, shape):
        return self.of[name, shape.version == "2", shape.mounted].server.ask(shape)

    def close(self):
        for peer in self.of.values():
            peer.close()
