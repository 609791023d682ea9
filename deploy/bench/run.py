"""Alternating rounds of load against each stack; prints medians and ratios.

CPU is the sum over every process of a stack (user and system), divided by the requests answered: the figure to trust on a
shared machine. Memory is PSS summed over the same processes after the load. nginx and appliance write their access log to a
file; granian's is off, which favours it. In brackets: appliance's figure divided by that stack's.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


class Stack:
    """One way to serve the application."""

    def __init__(self, name, commands, port, directory):
        self.name, self.commands, self.port, self.directory = name, commands, port, directory
        self.children = []

    def start(self, core):
        environment = dict(os.environ, PYTHONPATH=str(HERE))
        for number, command in enumerate(self.commands):
            with open(self.directory / f"{self.name}-{number}.out", "ab") as output:
                self.children.append(
                    subprocess.Popen(
                        ["taskset", "-c", core, *command],
                        env=environment,
                        cwd=self.directory,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                )
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2) as answer:
                    if answer.read():
                        return
            except OSError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"{self.name} does not answer; see {self.directory}")
            time.sleep(0.05)

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.children = []

    def pids(self):
        """Every process of the sessions that were started: titles may overwrite anything else that could mark them."""
        sessions = {child.pid for child in self.children}
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and self.fields(entry) and int(self.fields(entry)[3]) in sessions:
                found.append(int(entry))
        return found

    @staticmethod
    def fields(pid):
        """The fields of /proc/PID/stat behind the name, or nothing when it is gone."""
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return []

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            fields = self.fields(pid)
            if fields:
                total += int(fields[11]) + int(fields[12])
        return total / TICK

    def pss_bytes(self):
        total = 0
        for pid in self.pids():
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024
        return total


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx(name, directory, server, upstream, static=None):
    port = free_port()
    location = f"root {static};" if static else f"include {directory}/{name}-params.conf;\n{upstream}"
    (directory / f"{name}-params.conf").write_text(
        "proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
        "proxy_set_header X-Forwarded-Proto $scheme; proxy_http_version 1.1; proxy_set_header Connection '';\n"
    )
    (directory / f"{name}.conf").write_text(
        # Started as root nginx would give its workers to nobody, who may not open the sockets.
        ("user root;\n" if os.geteuid() == 0 else "")
        + f"""daemon off; worker_processes 1; pid {directory}/{name}.pid; error_log {directory}/{name}.error warn;
events {{ worker_connections 4096; }}
http {{
    access_log {directory}/{name}.access combined;
    client_body_temp_path {directory}/{name}-body; proxy_temp_path {directory}/{name}-proxy;
    uwsgi_temp_path {directory}/{name}-uwsgi; fastcgi_temp_path {directory}/{name}-f; scgi_temp_path {directory}/{name}-s;
    keepalive_requests 100000000; sendfile on; tcp_nopush on;
    upstream app {{ server unix:{server}; keepalive 64; }}
    server {{ listen 127.0.0.1:{port}; location / {{ {location} }} }}
}}
"""
    )
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    return [binary, "-p", str(directory), "-c", str(directory / f"{name}.conf"), "-e", str(directory / f"{name}.error")], port


def stacks(arguments, work):
    bin_ = pathlib.Path(arguments.environment) / "bin"
    directory = pathlib.Path(arguments.scratch).resolve() / work
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    if work == "file":
        (directory / "index.html").write_bytes(b"x" * 1023 + b"\n")
        route = 'files = { "/" = "." }'
        app = ""
    else:
        route = 'app = "web"'
        app = f"""[app.web]
wsgi = "application:{work}"
directory = "{HERE}"
venv = "{arguments.environment}"
workers = 1
threads = 1
"""
    port = free_port()
    (directory / "site.toml").write_text(
        f"""{app}
[server]
threads = 1
[[listener]]
address = "127.0.0.1:{port}"
[listener.limits]
requests_max = 1000000000
[[site]]
{route}
[log.access]
to = "./appliance.access"
[log.error]
to = "./appliance.error"
level = "warn"
"""
    )
    yield Stack("appliance", [[arguments.appliance, "--conf", str(directory / "site.toml")]], port, directory)
    if work == "file":
        command, port = nginx("nginx", directory, "/nowhere", "", static=directory)
        yield Stack("nginx", [command], port, directory)
        return
    port = free_port()
    granian = [str(bin_ / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    granian += ["--blocking-threads", "1", "--no-ws", "--log-level", "error", f"application:{work}"]
    yield Stack("granian", [granian], port, directory)
    socket_ = directory / "uwsgi.sock"
    uwsgi = [str(bin_ / "pyuwsgi"), "--master", "--processes", "1", "--disable-logging", "--uwsgi-socket", str(socket_)]
    uwsgi += ["--listen", "100", "--die-on-term", "--need-app", "--chdir", str(HERE), "--module", f"application:{work}"]
    uwsgi += ["--virtualenv", str(arguments.environment)]
    parameters = " ".join(
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
    command, port = nginx("nginx+uwsgi", directory, socket_, f"uwsgi_pass app; {parameters}")
    yield Stack("nginx+uwsgi", [uwsgi, command], port, directory)
    socket_ = directory / "gunicorn.sock"
    gunicorn = [str(bin_ / "gunicorn"), "--workers", "1", "--bind", f"unix:{socket_}", f"application:{work}"]
    command, port = nginx("nginx+gunicorn", directory, socket_, "proxy_pass http://app;")
    yield Stack("nginx+gunicorn", [gunicorn, command], port, directory)


def load(stack, seconds, connections, core):
    before = stack.cpu_seconds()
    command = ["taskset", "-c", core, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{stack.port}/"], check=True, capture_output=True, text=True
    ).stdout
    cpu = stack.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    errors = re.search(r"Socket errors: (.*)|Non-2xx.*: (\d+)", text)
    if errors:
        print(f"    {stack.name}: {errors.group(0)}")
    percentile = {
        rank: float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
        for rank, value, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s)$", text, re.M)
    }
    return {
        "requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
        "CPU us/request": cpu * 1e6 / max(requests, 1),
        "p50 us": percentile["50"],
        "p99 us": percentile["99"],
        "PSS MiB": stack.pss_bytes() / (1 << 20),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appliance", required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--work", nargs="*", default=["hello", "flask", "file"])
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = str(cores[0]), str(cores[-1])
    print(f"{os.cpu_count()} cores; servers on core {server_core}, load on core {load_core};", end=" ")
    print(f"{arguments.connections} connections, {arguments.rounds} rounds of {arguments.seconds} s\n")
    for work in arguments.work:
        measured = {}
        for round_ in range(arguments.rounds):
            for stack in stacks(arguments, work):
                stack.start(server_core)
                try:
                    load(stack, 1, arguments.connections, load_core)
                    measured.setdefault(stack.name, []).append(
                        load(stack, arguments.seconds, arguments.connections, load_core)
                    )
                finally:
                    stack.stop()
        ours = None
        columns = ["requests/s", "CPU us/request", "p50 us", "p99 us", "PSS MiB"]
        print(f"## {work}\n\n| stack | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
        for name, rounds in measured.items():
            median = {column: statistics.median(each[column] for each in rounds) for column in columns}
            ours = ours or median
            cells = [f"{median[column]:,.1f} ({ours[column] / median[column]:.2f})" for column in columns]
            print(f"| {name} | " + " | ".join(cells) + " |")
        print(flush=True)


if __name__ == "__main__":
    main()
