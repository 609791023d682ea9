"""A way to serve an application, as the processes that make it up."""

import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE_S = 30


class DoesNotStart(Exception):
    """It never answered."""


class DoesNotServe(Exception):
    """It started, and does not do what is asked of it."""


class NotHere(Exception):
    """What it needs is not on this machine."""


class Stack:
    """One way to serve, from its start to its end."""

    def __init__(self, name, commands, url, directory, helpers=()):
        self.name, self.commands, self.url, self.directory = name, commands, url, directory
        #: What it needs but is not part of what is measured; runs where the load runs.
        self.helpers = helpers
        self.children, self.uncounted = [], []

    def spawn(self, core, command, number):
        with open(self.directory / f"{self.name}-{number}.out", "ab") as output:
            return subprocess.Popen(
                ["taskset", "-c", core, *map(str, command)],
                env=dict(os.environ, PYTHONPATH=str(HERE), BENCH_DATABASE=str(self.directory / "rows.sqlite")),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self, core, load_core, urgent=False):
        """Starts it and waits for its first answer; returns how long that took."""
        self.uncounted = [self.spawn(load_core, command, f"helper-{n}") for n, command in enumerate(self.helpers)]
        began = time.monotonic()
        self.children = [self.spawn(core, command, n) for n, command in enumerate(self.commands)]
        if urgent:
            for child in self.children:
                make_urgent(child.pid)
        trusting = ssl._create_unverified_context()
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=2, context=trusting) as answer:
                    if answer.read(1):
                        break
            except OSError:
                pass
            if time.monotonic() > began + PATIENCE_S:
                raise DoesNotStart(f"{self.name} does not answer; see {self.directory}")
            time.sleep(0.005)
        took = time.monotonic() - began
        if urgent:
            for pid in self.pids():
                make_urgent(pid)
        return took

    def stop(self):
        ours = self.pids() + self.pids(self.uncounted)
        for child in self.children + self.uncounted:
            child.send_signal(signal.SIGTERM)
        for child in self.children + self.uncounted:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for pid in set(ours) & set(self.pids() + self.pids(self.uncounted)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.children, self.uncounted = [], []

    def pids(self, children=None):
        """Every process of the sessions that were started, and all that descend from them: titles may overwrite anything else
        that could mark them, and appliance's processes have sessions of their own."""
        started = {child.pid for child in (self.children if children is None else children)}
        fields = {int(entry): stat_fields(entry) for entry in os.listdir("/proc") if entry.isdigit()}
        found = {pid for pid, values in fields.items() if values and int(values[3]) in started}
        while more := {pid for pid, values in fields.items() if values and int(values[1]) in found} - found:
            found |= more
        return sorted(found)

    def cpu_seconds(self):
        """Of all threads; the scheduler counts nanoseconds where /proc/PID/stat counts hundredths of a second."""
        total = 0
        for pid in self.pids():
            for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    total += int(path.read_text().split()[0])
                except OSError:
                    pass
        return total / 1e9

    def pss_bytes(self):
        total = 0
        for pid in self.pids():
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) * 1024
        return total


def stat_fields(pid):
    """The fields of /proc/PID/stat behind the name, or nothing when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def make_urgent(pid):
    """Other work of this machine shall not get between: each session is a group of its own for the scheduler."""
    try:
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-19")
    except OSError:
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
