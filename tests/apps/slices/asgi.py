"""Answers with many slices of files by http.response.zerocopysend: of one file, or each of a file of its own; or in
bytes, each a piece."""

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


SAID = []


async def drops(count, send):
    for number in range(count):
        await send({"type": "http.response.body", "body": b"%d" % (number % 10), "more_body": True})
    SAID.append(count)


async def said(count, send):
    """Of how many answers all drops were sent."""
    await send({"type": "http.response.body", "body": b"%d" % len(SAID), "more_body": True})


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    kind, _, count = scope["path"].strip("/").rpartition("/")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-pid", str(os.getpid()).encode())]})
    if kind in ("drops", "said"):
        await {"drops": drops, "said": said}[kind](int(count), send)
    else:
        for part in {"one": one, "many": many, "slow": slow}[kind](int(count)):
            await send({"type": "http.response.zerocopysend", "more_body": True, **part})
    await send({"type": "http.response.body"})
