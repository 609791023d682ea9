"""WebSockets: messages both ways."""

import asyncio
import zlib

from client import PATIENCE, beside
from rule import NotApplicable, gate, note, rule
from rules.websocket import accepted


async def app_of_echo(scope, receive, send):
    await accepted(receive, send)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return note(scope, (int(message["code"]), message.get("reason")))
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def app_of_received(scope, receive, send):
    await accepted(receive, send)
    message = await receive()
    await send({"type": "websocket.send", "text": repr(message)})


@rule("a text message is `text`, and `bytes` is missing or None", app_of_received)
def ws_text(at):
    websocket = at.open()
    websocket.text("grüße 🎈")
    message = websocket.value()
    assert (message["type"], message["text"], message.get("bytes")) == ("websocket.receive", "grüße 🎈", None), message


@rule("a binary message is `bytes`, and `text` is missing or None", app_of_received)
def ws_bytes(at):
    websocket = at.open()
    websocket.bytes(b"\0\xff")
    message = websocket.value()
    assert (message["type"], message["bytes"], message.get("text")) == ("websocket.receive", b"\0\xff", None), message


@rule("what is sent as `text` is a text message, as `bytes` a binary one", app_of_echo)
def ws_echo(at):
    websocket = at.open()
    websocket.text("grüße 🎈")
    websocket.bytes(b"\0\xff")
    assert (websocket.read(), websocket.read()) == ("grüße 🎈", b"\0\xff")


@rule("empty messages are messages", app_of_echo)
def ws_empty(at):
    websocket = at.open()
    websocket.text("")
    websocket.bytes(b"")
    websocket.text("end")
    assert (websocket.read(), websocket.read(), websocket.read()) == ("", b"", "end")


@rule("messages of a megabyte pass both ways", app_of_echo)
def ws_large(at):
    websocket = at.open()
    data = bytes(range(256)) * 4096
    sent = beside(lambda: (websocket.bytes(data), websocket.text("é" * (1 << 19))))
    assert (websocket.read() == data, websocket.read() == "é" * (1 << 19)) == (True, True)
    sent()


@rule("a message in fragments is one message, with a ping in its middle too", app_of_echo)
def ws_fragments(at):
    websocket = at.open()
    websocket.frame(1, "grü".encode()[:3], fin=False)
    websocket.frame(0, "grü".encode()[3:], fin=False)
    websocket.frame(9, b"ping")
    websocket.frame(0, "ße".encode())
    assert websocket.read_frame() == (True, 0, 10, b"ping")
    assert websocket.read() == "grüße"


@rule("a ping is answered with its payload, and is not the application's affair", app_of_echo)
def ws_ping(at):
    websocket = at.open()
    websocket.frame(9, b"sign of life")
    assert websocket.read_frame() == (True, 0, 10, b"sign of life")
    websocket.frame(10, b"nobody asked")
    websocket.text("after")
    assert websocket.read() == "after"


@rule("thousands of messages arrive in order", app_of_echo)
def ws_order(at):
    websocket = at.open()
    sent = beside(lambda: [websocket.text(str(number)) for number in range(3000)])
    assert [websocket.read() for _ in range(3000)] == [str(number) for number in range(3000)]
    sent()


async def app_of_burst(scope, receive, send):
    await accepted(receive, send)
    for number in range(3000):
        await send({"type": "websocket.send", "text": str(number)})
    await send({"type": "websocket.close"})


@rule("messages that were sent before a close all arrive", app_of_burst)
def ws_burst(at):
    websocket = at.open()
    assert [websocket.read() for _ in range(3001)] == [*(str(number) for number in range(3000)), (1000, "")]


@rule("`permessage-deflate` is agreed on with a client that offers it, and messages pass", app_of_echo)
def ws_deflate(at):
    websocket = at.open("", [(b"sec-websocket-extensions", b"permessage-deflate")])
    agreed = websocket.answer.one("sec-websocket-extensions")
    if agreed is None:
        raise NotApplicable("not agreed on")
    assert agreed.startswith(b"permessage-deflate"), agreed
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(b"again " * 1000) + packer.flush(zlib.Z_SYNC_FLUSH)
    websocket.frame(1, packed[:-4], rsv=0x40)
    fin, reserved, opcode, payload = websocket.read_frame()
    unpacker = zlib.decompressobj(wbits=-15)
    text = unpacker.decompress(payload + b"\0\0\xff\xff") if reserved else payload
    assert (fin, opcode, text) == (True, 1, b"again " * 1000)


async def app_of_flood(scope, receive, send):
    await accepted(receive, send)
    part, sent = b"x" * (1 << 20), 0
    try:
        while sent < 256:
            await asyncio.wait_for(send({"type": "websocket.send", "bytes": part}), 1)
            sent += 1
    except asyncio.TimeoutError:
        pass
    note(scope, sent)


@rule("`send` waits when the client does not read: of 256 MiB not all is taken", app_of_flood)
def ws_pressure(at):
    websocket = at.open()
    (sent,) = at.notes(1, 6 * PATIENCE)
    websocket.close()
    assert sent < 256, f"{sent} MiB were taken"


async def app_of_concurrency(scope, receive, send):
    await accepted(receive, send)
    note(scope, 1)
    await gate(scope).wait()
    await send({"type": "websocket.close", "code": 4001})


@rule("a hundred WebSockets live beside each other and beside requests", app_of_concurrency)
def ws_concurrent(at):
    sockets = [at.open() for _ in range(100)]
    at.notes(100)
    at.go()
    assert all(websocket.read() == (4001, "") for websocket in sockets)


async def app_of_duplex(scope, receive, send):
    await accepted(receive, send)

    async def ticks():
        for number in range(50):
            await send({"type": "websocket.send", "text": f"tick {number}"})
            await asyncio.sleep(0.001)

    ticking = asyncio.ensure_future(ticks())
    for _ in range(50):
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
    await ticking
    await send({"type": "websocket.close"})


@rule("one task may send while another receives", app_of_duplex)
def ws_duplex(at):
    websocket = at.open()
    for number in range(50):
        websocket.text(f"mine {number}")
    texts = [websocket.read() for _ in range(101)]
    assert texts[-1] == (1000, "") and len(set(texts)) == 101, texts
    for kind in ("tick", "mine"):
        assert [text for text in texts[:-1] if text.startswith(kind)] == [f"{kind} {number}" for number in range(50)]
