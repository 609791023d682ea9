"""Starting each server with one application, one worker and, where it can, TLS."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

from client import PATIENCE, Connection, Lost

HERE = os.path.dirname(os.path.abspath(__file__))


class Process:
    """One server that runs."""

    def __init__(self, server, directory, target, root_path=""):
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        self.server = server
        self.directory = directory
        self.left_file = os.path.join(directory, "left")
        self.output_file = os.path.join(directory, "output")
        self.port, self.tls_port = free_port(), free_port()
        self.root_path = root_path
        #: uvicorn speaks TLS or not; the common application is asked without.
        self.tls = target.endswith("_tls")
        environment = dict(os.environ, LEFT=self.left_file, PYTHONPATH=HERE, PYTHONDONTWRITEBYTECODE="1")
        with open(self.output_file, "wb") as output:
            self.child = subprocess.Popen(
                server.command(self, target),
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def serves(self):
        """Waits until it answers (True) or is gone (False)."""
        end, broken = time.monotonic() + 3 * PATIENCE, 0
        while time.monotonic() < end:
            if self.child.poll() is not None:
                return False
            try:
                connection = Connection(self.tls_port if self.tls else self.port, self.tls)
                prefix = "" if self.server.name == "uvicorn" else self.root_path
                connection.request("GET", prefix + "/notes/")
                status = connection.response().status
                connection.close()
                if status == 200:
                    return True
                # A server that is still starting says 503, or nothing.
                broken += status == 500
                assert broken < 50, "it serves only errors"
            except (OSError, Lost):
                pass
            time.sleep(0.02)
        raise AssertionError("it neither serves nor ends")

    def ask_to_stop(self):
        self.child.send_signal(signal.SIGTERM)

    def end(self):
        """Its exit status, when it is gone."""
        return self.child.wait(2 * PATIENCE)

    def kill(self):
        """Ends it and whatever it has started."""
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()

    def output(self):
        with open(self.output_file, errors="replace") as file:
            return file.read()

    def tells(self, *texts):
        """Waits until all of this is in what it wrote."""
        end = time.monotonic() + PATIENCE
        while not all(text in self.output() for text in texts):
            assert time.monotonic() < end, f"{texts} are not in {self.output()[-2000:]}"
            time.sleep(0.01)

    def left(self):
        """The lines that the application left in its file."""
        try:
            with open(self.left_file) as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def wait_left(self, line):
        end = time.monotonic() + PATIENCE
        while line not in self.left():
            assert time.monotonic() < end, f"{line!r} was not left, only {self.left()}"
            time.sleep(0.01)


class Uvicorn:
    name = "uvicorn"

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    def command(self, process, target):
        command = [sys.executable, "-m", "uvicorn", target, "--host", "127.0.0.1", "--no-access-log"]
        command += ["--port", str(process.tls_port if process.tls else process.port)]
        if process.root_path:
            command += ["--root-path", process.root_path]
        if process.tls:
            command += ["--ssl-certfile", self.certificate, "--ssl-keyfile", self.key]
        return command + ["--timeout-graceful-shutdown", "5"]


class Hypercorn:
    name = "hypercorn"

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    def command(self, process, target):
        command = [sys.executable, "-m", "hypercorn", target, "--graceful-timeout", "5"]
        if process.root_path:
            command += ["--root-path", process.root_path]
        command += ["--certfile", self.certificate, "--keyfile", self.key]
        command += ["--bind", f"127.0.0.1:{process.tls_port}"]
        return command + ["--insecure-bind", f"127.0.0.1:{process.port}"]


class Appliance:
    name = "appliance"

    def __init__(self, binary, loop, certificate, key):
        self.binary, self.loop = binary, loop
        self.certificate, self.key = certificate, key

    def command(self, process, target):
        path = os.path.join(process.directory, "site.toml")
        with open(path, "w") as file:
            file.write(
                SITE.format(
                    target=target,
                    directory=HERE,
                    python=sys.executable,
                    loop=self.loop,
                    left=process.left_file,
                    certificate=self.certificate,
                    key=self.key,
                    port=process.port,
                    tls_port=process.tls_port,
                    mount=process.root_path or "/",
                )
            )
        return [self.binary, "--conf", path]


#: A part of the site gets bodies on their way, as other servers give them everywhere. An answer that its client does not take may wait
#: on disk up to a size, which is lowered to be reached soon.
SITE = """
[server.buffers]
response_max = "64MiB"

[app.web]
asgi = "{target}"
directory = "{directory}"
python = "{python}"
loop = "{loop}"
pathsend = true
workers = 1
env = {{ LEFT = "{left}", PYTHONDONTWRITEBYTECODE = "1" }}
[app.web.timeout]
drain = "5s"

[tls]
certificates = [{{ certificate = "{certificate}", key = "{key}" }}]
[[listener]]
address = "127.0.0.1:{port}"
[[listener]]
address = "127.0.0.1:{tls_port}"
tls = true

[[site]]
https = "off"
body_max = "100MiB"
[[site.route]]
path = "{mount}"
app = "web"
[[site.route]]
path = "/streamed"
app = "web"
request_buffering = false

[log.access]
to = "./access.log"
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
