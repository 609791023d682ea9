"""Runs anybody's code in its worker: says to the supervisor what it likes, looks for a terminal and into other processes."""

import array
import ctypes
import errno
import fcntl
import os
import socket
import subprocess
import termios
import threading

# As on the wire: a kind, then numbers of eight bytes and texts with four bytes of length before them.
HELLO = b"\x01"
READY = b"\x02" + bytes(13)
FAILED = b"\x03" + 3 * bytes(4)
LEAVE = b"\x04"
MESSAGES = {
    "hello": [HELLO],
    "ready": [READY],
    "failed-twice": [FAILED, FAILED],
    "unknown": [b"\xc8"],
    "cut": [READY[:5]],
    "longer": [LEAVE + b"more"],
    "not-utf8": [b"\x03" + b"\x01\0\0\0\xff" + 2 * bytes(4)],
    "lying-length": [b"\x03" + b"\xff\xff\xff\xff"],
}


KEPT = []

PR_GET_DUMPABLE = 3
IMPORTED_IN_HIDING = ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0


def control():
    """The socket to the supervisor: the only one of this process that carries packets."""
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        if found.type == socket.SOCK_SEQPACKET:
            return found
    raise LookupError("no control socket")


def say(messages):
    with control() as supervisor:
        for message in messages:
            supervisor.send(message)


def flood(message):
    with control() as supervisor:
        supervisor.setblocking(True)
        while True:
            supervisor.send(message)


IN_FLIGHT = []
DESCRIPTORS_MAX = 253


def hold_in_flight():
    """Sends descriptors that nobody receives, until the kernel takes none of this user's any more."""
    pair = socket.socketpair()
    IN_FLIGHT.extend(pair)
    descriptors = array.array("i", [pair[0].fileno()] * DESCRIPTORS_MAX)
    while True:
        try:
            pair[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except OSError as error:
            return errno.errorcode[error.errno]


def release_in_flight():
    while IN_FLIGHT:
        IN_FLIGHT.pop().close()
    return "released"


def fork_on():
    """A process that forks the next one and ends, which does the same, and so on."""
    if os.fork():
        return "forked"
    os.setsid()
    while True:
        if os.fork():
            os._exit(0)


def terminal():
    try:
        with open("/dev/tty", "r+b", buffering=0) as tty:
            fcntl.ioctl(tty, termios.TIOCSTI, b"#")
    except OSError as error:
        return "%s: %s" % (type(error).__name__, error)
    return "typed"


def as_file(name):
    def read(pid):
        with open("/proc/%d/%s" % (pid, name), "rb", buffering=0) as file:
            return file.read(1)

    return read


def call(name, *arguments):
    """A function of the C library that answers -1 when it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


PTRACE_SEIZE, PIDFD_OPEN, PIDFD_GETFD = 0x4206, 434, 438


def seize(pid):
    call("ptrace", PTRACE_SEIZE, pid, None, None)


def take_descriptor(pid):
    pidfd = ctypes.CDLL(None).syscall(PIDFD_OPEN, pid, 0)
    call("syscall", PIDFD_GETFD, pidfd, 0, 0)


LOOKS = {
    "environ": as_file("environ"),
    "mem": as_file("mem"),
    "maps": as_file("maps"),
    "fd": lambda pid: os.listdir("/proc/%d/fd" % pid),
    "a descriptor": lambda pid: os.readlink("/proc/%d/fd/0" % pid),
    "pidfd_getfd": take_descriptor,
    "ptrace": seize,
}


def look_into(pid):
    """What of a process can be looked at."""
    open_to_us = []
    for name, look in LOOKS.items():
        try:
            look(pid)
        except OSError:
            continue
        open_to_us.append(name)
    return ", ".join(open_to_us) or "nothing"


def stop(pid):
    """Would a signal reach it?"""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "refused"
    return "sent"


def application(environ, start_response):
    how, _, what = environ["PATH_INFO"].strip("/").partition("/")
    answer = "hello"
    if how == "say":
        say(MESSAGES[what])
        threading.Event().wait(60)
    if how == "flood":
        threading.Thread(target=flood, args=(LEAVE,), daemon=True).start()
    if how == "keep":
        KEPT.append(environ["wsgi.input"])
        answer = str(len(environ["wsgi.input"].read()))
    if how == "kept":
        answer = str({len(kept.read()) for kept in KEPT})
        KEPT.clear()
    if how == "look-into":
        answer = look_into(int(what))
    if how == "imported-in-hiding":
        answer = str(IMPORTED_IN_HIDING)
    if how == "signal":
        answer = stop(int(what))
    if how == "run":
        answer = subprocess.run(what.split("+"), stdout=subprocess.PIPE, text=True).stdout
    if how == "terminal":
        answer = terminal()
    if how == "hold-in-flight":
        answer = hold_in_flight()
    if how == "release-in-flight":
        answer = release_in_flight()
    if how == "fork-on":
        answer = fork_on()
    if how == "file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]
