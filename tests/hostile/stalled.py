"""A file system in user space whose answers wait for as long as it likes: four files, served on /dev/fuse.

    python3 stalled.py DIRECTORY

Readings of `stalled.txt` are answered once DIRECTORY.release exists, and so is the closing of `unclosed.bin`."""

import ctypes
import os
import select
import struct
import sys

LARGE = bytes(range(256)) * 4096
FILES = {
    2: (b"prompt.txt", b"prompt\n"),
    3: (b"stalled.txt", b"late\n"),
    4: (b"large.bin", LARGE),
    5: (b"unclosed.bin", LARGE),
}
ROOT, STALLED, UNCLOSED = 1, 3, 5
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = (
    1, 2, 3, 14, 15, 17, 18, 25, 26, 27, 29, 36, 42,
)
ENOENT, EINTR, ENOSYS = 2, 4, 38
DIRECTORY, REGULAR = 0o040755, 0o100644


def attributes(node):
    size = 0 if node == ROOT else len(FILES[node][1])
    mode = DIRECTORY if node == ROOT else REGULAR
    times = struct.pack("<3Q3I", 1, 1, 1, 0, 0, 0)
    return struct.pack("<3Q", node, size, 1) + times + struct.pack("<7I", mode, 1, 0, 0, 0, 4096, 0)


def answer(operation, node, body):
    """What is said: an error, or bytes."""
    if operation == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 0, 0, 1 << 16, 1, 0, 0, *([0] * 8))
    if operation == LOOKUP:
        for number, (name, _) in FILES.items():
            if name == body.rstrip(b"\0"):
                # Nothing is remembered by the kernel, so that each lookup comes here.
                return struct.pack("<4Q2I", number, 0, 0, 0, 0, 0) + attributes(number)
        return ENOENT
    if operation == GETATTR:
        return struct.pack("<Q2I", 0, 0, 0) + attributes(node)
    if operation in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 0, 0, 0)
    if operation == READ:
        _, offset, size = struct.unpack_from("<2QI", body)
        return FILES[node][1][offset:offset + size]
    if operation == STATFS:
        return struct.pack("<5Q4I6I", 0, 0, 0, 4, 0, 4096, 255, 4096, 0, *([0] * 6))
    if operation in (RELEASE, FLUSH, RELEASEDIR):
        return b""
    return ENOSYS


def serve(device, release):
    stalled = []
    while True:
        ready, _, _ = select.select([device], [], [], 0.05)
        if stalled and os.path.exists(release):
            for unique, asked in stalled:
                say(device, unique, answer(*asked))
            stalled = []
        if not ready:
            continue
        try:
            packet = os.read(device, 1 << 18)
        except OSError:
            # Nobody has it mounted any more.
            return
        _, operation, unique, node = struct.unpack_from("<2I2Q", packet)
        body = packet[40:]
        if operation in (FORGET, BATCH_FORGET):
            continue
        if operation == INTERRUPT:
            # Who waits has been killed.
            (killed,) = struct.unpack_from("<Q", body)
            stalled = [(unique, asked) for unique, asked in stalled if unique != killed]
            say(device, killed, EINTR)
            continue
        if (operation, node) in ((READ, STALLED), (FLUSH, UNCLOSED)) and not os.path.exists(release):
            stalled.append((unique, (operation, node, body)))
            continue
        say(device, unique, answer(operation, node, body))


def say(device, unique, what):
    error, body = (-what, b"") if isinstance(what, int) else (0, what)
    try:
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
    except FileNotFoundError:
        # Who asked has been killed.
        pass


def main():
    directory = sys.argv[1]
    device = os.open("/dev/fuse", os.O_RDWR)
    options = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stalled", directory.encode(), b"fuse", 0, options.encode()):
        sys.exit("mount: errno %d" % ctypes.get_errno())
    if os.fork():
        # Whoever waits for this process finds the directory mounted.
        os._exit(0)
    serve(device, directory + ".release")


main()
