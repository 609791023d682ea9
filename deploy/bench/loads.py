"""What is done to a stack, and what is measured of it."""

import contextlib
import json
import math
import re
import subprocess
import sys
import time
import urllib.parse

from stack import DoesNotServe, HERE, make_urgent


class Bench:
    """Where and how hard it is measured."""

    def __init__(self, arguments, directory, cores):
        self.binary, self.environment = arguments.appliance, arguments.environment
        self.against = arguments.against
        self.directory = directory
        self.seconds, self.connections, self.urgent = arguments.seconds, arguments.connections, arguments.urgent
        self.core, self.load_core = cores
        self.unstable = arguments.unstable

    @property
    def bin(self):
        return self.environment / "bin"

    def run(self, *command):
        """Runs a program on the core of the load and gives its output."""
        child = subprocess.Popen(
            ["taskset", "-c", self.load_core, *map(str, command)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        if self.urgent:
            make_urgent(child.pid)
        output = child.communicate()[0]
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
        return output

    def client(self, kind, stack, *options):
        """Runs one of the loads of client.py."""
        where = urllib.parse.urlsplit(stack.url)
        return json.loads(self.run(sys.executable, HERE / "client.py", kind, where.hostname, where.port, *options))


@contextlib.contextmanager
def crowd(bench, stack, kind, *options, says=None):
    """A load of client.py that goes on meanwhile, on the core of the load; waits until it says so. It gives way to the load that is
    measured: that one's core is not what a crowd is to take from it."""
    where = urllib.parse.urlsplit(stack.url)
    command = ["nice", "-n", "19", "taskset", "-c", bench.load_core, sys.executable, HERE / "client.py"]
    command += [kind, where.hostname, where.port]
    command = [str(word) for word in [*command, bench.seconds + 60, *options]]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        if says and running.stdout.readline() != f"{says}\n":
            raise subprocess.CalledProcessError(running.wait(), command)
        yield
    finally:
        running.terminate()
        running.wait()


def wrk(path="/", post_bytes=0, connections=None, kept_alive=True):
    """`wrk`, and CPU per request."""

    def load(bench, stack, seconds=None):
        command = ["wrk", "-t1", f"-c{connections or bench.connections}", f"-d{seconds or bench.seconds}s", "--latency"]
        if post_bytes:
            script = bench.directory / "post.lua"
            script.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {post_bytes})\n')
            command += ["-s", script]
        if not kept_alive:
            command += ["-H", "Connection: close"]
        before = stack.cpu_seconds()
        text = bench.run(*command, stack.url + path)
        cpu = stack.cpu_seconds() - before
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        for complaint in re.findall(r"Socket errors: .*|Non-2xx.*", text):
            print(f"    {stack.name}: {complaint}", file=sys.stderr)
        refused = sum(int(count) for count in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
        if refused * 100 > requests:
            # How fast it refuses says nothing about how fast it works.
            raise DoesNotServe(f"{refused} of {requests} answers are errors; see {stack.directory}")
        percentile = {
            rank: float(value) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]
            for rank, value, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)$", text, re.M)
        }
        return {
            "CPU us/request": cpu * 1e6 / max(requests, 1),
            "requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
            "p50 us": percentile.get("50", math.nan),
            "p99 us": percentile.get("99", math.nan),
            "PSS MiB": stack.pss_bytes() / (1 << 20),
        }

    return load


def paced(rate, connections=64):
    """An open loop: so many requests in each second, whatever becomes of those before. A wait counts from the time at which a
    request was due, so that a server which stands still for a moment does not hide those that it kept from being sent."""

    def load(bench, stack, seconds=None):
        before = stack.cpu_seconds()
        told = bench.client("paced", stack, seconds or bench.seconds, rate, connections)
        cpu = stack.cpu_seconds() - before
        return {
            "CPU us/request": cpu * 1e6 / max(told["count"], 1),
            "p50 us": told["p50"],
            "p99 us": told["p99"],
            "max us": told["max"],
            "requests/s": told["count"] / told["seconds"],
        }

    return load


def h2load(path="/", connections=8, streams=16):
    """`h2load`: so many connections with so many streams each."""

    def load(bench, stack, seconds=None):
        before = stack.cpu_seconds()
        text = bench.run("h2load", f"-c{connections}", f"-m{streams}", f"-D{seconds or bench.seconds}", stack.url + path)
        cpu = stack.cpu_seconds() - before
        done = int(re.search(r"(\d+) succeeded", text).group(1))
        mean = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", text)
        return {
            "CPU us/request": cpu * 1e6 / max(done, 1),
            "requests/s": float(re.search(r"finished in [^,]+, ([\d.]+) req/s", text).group(1)),
            "mean us": float(mean.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[mean.group(2)],
            "PSS MiB": stack.pss_bytes() / (1 << 20),
        }

    return load


def client(kind, unit, *options):
    """A load of client.py, and CPU per unit of it."""

    def load(bench, stack, seconds=None):
        before = stack.cpu_seconds()
        told = bench.client(kind, stack, seconds or bench.seconds, *options)
        cpu = stack.cpu_seconds() - before
        return {
            f"CPU us/{unit}": cpu * 1e6 / max(told["count"], 1),
            f"{unit}s/s": told["count"] / told["seconds"],
            "PSS MiB": stack.pss_bytes() / (1 << 20),
        }

    return load


def beside_slow_clients(slow):
    """16 fast clients, alone and beside so many slow ones each way."""

    def load(bench, stack, seconds=None):
        alone = wrk(connections=16)(bench, stack, seconds)
        if seconds:
            return alone
        with crowd(bench, stack, "slow", slow):
            time.sleep(3)
            beside = wrk(connections=16)(bench, stack)
        return {
            "rate kept": beside["requests/s"] / alone["requests/s"],
            "requests/s": beside["requests/s"],
            "p99 us": beside["p99 us"],
            "PSS MiB": beside["PSS MiB"],
        }

    return load


def beside_one_at_a_time(path, quick):
    """Quick clients, alone and beside one that always has a slow request in flight."""

    def load(bench, stack, seconds=None):
        alone = wrk(connections=quick)(bench, stack, seconds)
        if seconds:
            return alone
        with crowd(bench, stack, "one_at_a_time", path, says="answered"):
            beside = wrk(connections=quick)(bench, stack)
        return {
            "p99 us": beside["p99 us"],
            "p99 us alone": alone["p99 us"],
            "CPU us/request": beside["CPU us/request"],
            "CPU us/request alone": alone["CPU us/request"],
            "requests/s": beside["requests/s"],
        }

    return load


def whole_file(bench, stack, seconds=None):
    """One client that reads one file to its end; the first round of a stack fills the kernel's cache."""
    before = stack.cpu_seconds()
    told = bench.client("whole", stack, 0)
    cpu = stack.cpu_seconds() - before
    return {
        "CPU us/MiB": cpu * 1e6 / told["count"],
        "MiB/s": told["count"] / told["seconds"],
        "PSS MiB": stack.pss_bytes() / (1 << 20),
    }


def memory(bench, stack, seconds=None):
    """After some work for every process."""
    wrk()(bench, stack, 2)
    return {"PSS MiB": stack.pss_bytes() / (1 << 20)}


def nothing(bench, stack, seconds=None):
    """How long it took until the first answer is all there is to tell."""
    return {}
