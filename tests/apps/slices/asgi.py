"""Answers with many slices of files by http.response.zerocopysend: of one file, or each of a file of its own."""

import os
import tempfile

SLICE = 1024


def one(count):
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(2 * SLICE))
        file.flush()
        for number in range(count):
            yield {"file": file.fileno(), "offset": number % SLICE, "count": SLICE}


def many(count):
    for number in range(count):
        with tempfile.TemporaryFile() as file:
            file.write(bytes([number % 256]) * SLICE)
            file.flush()
            yield {"file": file.fileno(), "offset": 0, "count": SLICE}


def slow(count):
    with open("/proc/self/maps", "rb") as file:
        yield {"file": file.fileno(), "offset": 0, "count": count}


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    kind, _, count = scope["path"].strip("/").rpartition("/")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-pid", str(os.getpid()).encode())]})
    for part in {"one": one, "many": many, "slow": slow}[kind](int(count)):
        await send({"type": "http.response.zerocopysend", "more_body": True, **part})
    await send({"type": "http.response.body"})
