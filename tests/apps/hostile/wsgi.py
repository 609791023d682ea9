"""Runs anybody's code in its worker: says to the supervisor what it likes, looks for a terminal and into other processes."""

import array
import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
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


def link():
    """The socket to the proxy."""
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        if (found.family, found.type) == (socket.AF_UNIX, socket.SOCK_STREAM):
            return found
    raise LookupError("no link")


# Kind, a payload that can be read, and one that cannot; `None`: what it brings is missing, or it has no payload.
HEAD = struct.pack("<3H", 200, 0, 0)
HINTS = struct.pack("<3H", 103, 0, 0)
FRAMES = {
    "request": (1, b"", None),
    "body": (2, b"", None),
    "credit": (3, struct.pack("<I", 1), b"\1"),
    "cancel": (4, b"", None),
    "response": (16, HEAD, HEAD[:3]),
    "data": (17, b"x" * 1024, None),
    "file": (18, struct.pack("<QQ", 0, 1), b"\1"),
    "abort": (19, b"\1", b"\xff"),
    "informational": (20, HINTS, HINTS[:3]),
    "trailers": (21, bytes(2), b"\xff"),
    "accept": (22, bytes(6), b"\xff"),
    "return": (23, struct.pack("<IB", 77, 0), b"\1"),
    "tray": (24, struct.pack("<II", 0, 1), b"\1"),
    "socket": (25, b"", None),
    "message": (32, b"x", None),
    "close": (33, struct.pack("<H", 1000), b"\1"),
}
FLOOD = 20_000
ENTRY, CLAIMED = struct.Struct("<4Q"), 2


def own_stream():
    """The stream of the request that this thread runs, as the page of the link says."""
    with open("/proc/self/maps") as maps:
        (place,) = [line.split()[0] for line in maps if "appliance-link" in line]
    start, end = (int(address, 16) for address in place.split("-"))
    entries = ENTRY.iter_unpack(ctypes.string_at(start, (end - start) // ENTRY.size * ENTRY.size))
    thread = threading.get_native_id()
    claimed = [entry for entry in entries if entry[0] & 0xFF == CLAIMED and entry[2] == thread]
    return max(claimed, key=lambda entry: entry[1])[0] >> 8


def say_frames(kind, way):
    number, payload, malformed = FRAMES[kind]
    # The upper half counts the requests that an entry of the page was used for.
    stream = own_stream() - (1 << 16 if way == "late" else 0)
    reserved = 1 if way == "malformed" and malformed is None else 0
    if way == "malformed" and malformed is not None:
        payload = malformed
    one = struct.pack("<IIBBH", len(payload), stream, number, 0, reserved) + payload
    brings = [] if kind not in ("file", "socket") or way == "malformed" else [os.open(__file__, os.O_RDONLY)]
    if kind == "socket" and brings:
        brings = [socket.socketpair()[0].detach()]
    with link() as proxy:
        proxy.setblocking(True)
        for _ in range({"repeated": 2, "flooding": FLOOD}.get(way, 1)):
            try:
                socket.send_fds(proxy, [one], brings) if brings else proxy.sendall(one)
            except OSError:
                # Nobody listens any more.
                break
        proxy.setblocking(False)


def say(messages):
    with control() as supervisor:
        for message in messages:
            supervisor.send(message)


CONTROL = {"hello": HELLO, "ready": READY, "failed": FAILED, "leave": LEAVE}
CONTROL_FLOOD = 1000


def say_control(kind, way):
    message = CONTROL[kind] + (b"more" if way == "malformed" else b"")
    times = {"repeated": 2, "flooding": CONTROL_FLOOD}.get(way, 1)
    with control() as supervisor:
        supervisor.setblocking(True)
        for _ in range(times):
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


def own_descriptors():
    return [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]


def duplicate_all():
    copies = []
    for descriptor in own_descriptors():
        try:
            copies.append(os.dup(descriptor))
        except OSError:
            # That of the listing.
            continue
    for copy in copies:
        os.close(copy)
    return "duplicated"


def close_all():
    for descriptor in own_descriptors():
        try:
            os.close(descriptor)
        except OSError:
            continue
    return "closed"


PROCESSES_MAX = 100


def fork_many():
    """Processes that wait, as many as may be."""
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES_MAX, PROCESSES_MAX))
    while True:
        try:
            if os.fork() == 0:
                while True:
                    signal.pause()
        except BlockingIOError:
            return "no more"


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


BACKGROUND = {"sleep": ["sleep", "600"], "deaf": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]}


def start_in_background(job):
    return str(subprocess.Popen(BACKGROUND[job], start_new_session=True).pid)


def mark(request_id):
    os.write(1, b"\x1e%s\x1fsaid under another's id\n" % request_id.encode())
    return "marked"


def lower_limit(what):
    """Lets another process of this user have nothing of it any more."""
    name, pid = what.split("/")
    resource.prlimit(int(pid), getattr(resource, "RLIMIT_" + name), (0, 0))
    return "lowered"


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
    if how == "frames":
        say_frames(*what.split("/"))
    if how == "control":
        say_control(*what.split("/"))
    if how == "pid":
        answer = str(os.getpid())
    if how == "duplicate-all":
        answer = duplicate_all()
    if how == "close-all":
        answer = close_all()
    if how == "background":
        answer = start_in_background(what)
    if how == "mark":
        answer = mark(what)
    if how == "limit":
        answer = lower_limit(what)
    if how == "fork-many":
        answer = fork_many()
    if how == "fork-on":
        answer = fork_on()
    if how == "file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]
