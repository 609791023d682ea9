"""Loads that no common tool offers: `client.py KIND HOST PORT SECONDS [COUNT or PATH]`; prints what was done as JSON."""

import asyncio
import json
import os
import select
import socket
import ssl
import sys
import threading
import time


def handshakes(host, port, seconds, threads=4):
    """Full TLS handshakes, one after the other in each thread."""
    end, counts = time.monotonic() + seconds, []

    def work():
        count = 0
        while time.monotonic() < end:
            context = ssl._create_unverified_context()
            with socket.create_connection((host, port)) as plain, context.wrap_socket(plain, server_hostname="localhost"):
                count += 1
        counts.append(count)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts)


def websocket(host, port, seconds, connections=64):
    """Echo of 64 bytes, one message in flight on each connection. Sockets and epoll alone: with streams of asyncio this
    program would be what is measured."""
    key = os.urandom(4)
    text = bytes(byte ^ key[at % 4] for at, byte in enumerate(b"x" * 64))
    message = bytes([0x82, 0x80 | 64]) + key + text
    poll, open_sockets, missing, count = select.epoll(), {}, {}, 0
    for _ in range(connections):
        opened = socket.create_connection((host, port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = opened.recv(1024)
            if not piece:
                sys.exit(f"no WebSocket: {head!r}")
            head += piece
        if b" 101 " not in head:
            sys.exit(f"no WebSocket: {head!r}")
        open_sockets[opened.fileno()], missing[opened.fileno()] = opened, 66
        poll.register(opened.fileno(), select.EPOLLIN)
    end = time.monotonic() + seconds
    for opened in open_sockets.values():
        opened.send(message)
    while time.monotonic() < end:
        for number, _ in poll.poll(1):
            piece = open_sockets[number].recv(256)
            if not piece:
                sys.exit("a WebSocket was closed")
            missing[number] -= len(piece)
            if missing[number] == 0:
                count += 1
                missing[number] = 66
                open_sockets[number].send(message)
    return count


def paced(host, port, seconds, rate, connections):
    """Requests at an even pace on connections that are kept; how long each took counts from when it was due."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    poll, opened, due_of, late, took, free = select.epoll(), {}, {}, [], [], []
    for _ in range(connections):
        connection = socket.create_connection((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened[connection.fileno()] = connection
        poll.register(connection.fileno(), select.EPOLLIN)
        free.append(connection.fileno())
    start = time.monotonic()
    number, end = 0, start + seconds
    while (now := time.monotonic()) < end or due_of:
        while number < rate * seconds and start + number / rate <= now:
            late.append(start + number / rate)
            number += 1
        while late and free:
            sender = free.pop()
            due_of[sender] = late.pop(0)
            opened[sender].send(request)
        pause = max(start + number / rate - now, 0) if number < rate * seconds else 0.1
        for heard, _ in poll.poll(pause):
            if not opened[heard].recv(4096).startswith(b"HTTP/1.1 200"):
                sys.exit("not answered")
            took.append(time.monotonic() - due_of.pop(heard))
            free.append(heard)
        if now > end + 10:
            sys.exit(f"{len(due_of)} requests are not answered")
    took.sort()
    at = lambda share: took[min(int(len(took) * share), len(took) - 1)] * 1e6
    return {"count": len(took), "p50": at(0.5), "p99": at(0.99), "max": took[-1] * 1e6}


def hold(host, port, seconds, count, websocket=0):
    """Opens so many connections, says so, and keeps them."""
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    head = f"GET {'/ws' if websocket else '/'} HTTP/1.1\r\nHost: {host}\r\n{upgrade if websocket else ''}\r\n".encode()
    held = []
    for _ in range(count):
        opened = socket.create_connection((host, port))
        opened.sendall(head)
        answer = opened.recv(4096)
        if b" 101 " not in answer and b" 200 " not in answer:
            sys.exit(f"not accepted: {answer!r}")
        held.append(opened)
    print("open", flush=True)
    time.sleep(seconds)
    return len(held)


def one_at_a_time(host, port, seconds, path):
    """Asks for one thing again and again, on one connection; says when it was answered for the first time."""
    request, count, end = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 0, time.monotonic() + seconds
    with socket.create_connection((host, port)) as opened:
        while time.monotonic() < end:
            opened.sendall(request)
            answer = opened.recv(4096)
            if b" 200 " not in answer:
                sys.exit(f"not answered: {answer!r}")
            if not count:
                print("answered", flush=True)
            count += 1
    return count


def heads(host, port, seconds):
    """Sends request heads of 1 MiB, each on a connection of its own, and wants them refused."""
    field = b"X-Large: " + b"x" * 1000 + b"\r\n"
    head = f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode() + field * ((1 << 20) // len(field)) + b"\r\n"
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        answer = b""
        with socket.create_connection((host, port)) as opened:
            try:
                opened.sendall(head)
            except ConnectionError:
                # Refused while it was sent.
                pass
            try:
                answer = opened.recv(4096)
            except ConnectionError:
                pass
        # What was on its way when the server closed may cost the answer.
        if answer and b" 431 " not in answer and b" 400 " not in answer:
            sys.exit(f"not refused: {answer!r}")
        count += 1
    return count


def whole(host, port, seconds):
    """Reads one file to its end; counts MiB."""
    with socket.create_connection((host, port)) as opened:
        opened.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        piece, count = bytearray(1 << 20), 0
        while got := opened.recv_into(piece):
            count += got
    return count >> 20


async def events(host, port, seconds, connections=200):
    """Reads server-sent events."""
    end, count = time.monotonic() + seconds, 0

    async def listen():
        nonlocal count
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while time.monotonic() < end:
            piece = await reader.read(65536)
            if not piece:
                break
            count += piece.count(b"data:")
        writer.close()

    listening = [asyncio.create_task(listen()) for _ in range(connections)]
    # A server that sends nothing must not keep this waiting.
    done, waiting = await asyncio.wait(listening, timeout=seconds + 2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*done)
    return count


async def slow(host, port, seconds, each=500):
    """So many clients that send a body at 500 bytes/s, and as many that read 1 MiB at 10 KiB/s."""
    end = time.monotonic() + seconds

    async def send():
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\n".encode())
        while time.monotonic() < end:
            writer.write(b"x" * 250)
            await asyncio.sleep(0.5)

    async def receive():
        reader, writer = await asyncio.open_connection(host, port, limit=4096)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        writer.write(f"GET /big HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        while time.monotonic() < end:
            await reader.read(5120)
            await asyncio.sleep(0.5)

    await asyncio.gather(*[send() for _ in range(each)], *[receive() for _ in range(each)], return_exceptions=True)
    return each


def main():
    kind, host, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    options = [int(option) if option.isdigit() else option for option in sys.argv[5:]]
    began = time.monotonic()
    work = globals()[kind](host, port, seconds, *options)
    count = asyncio.run(work) if asyncio.iscoroutine(work) else work
    if not count:
        sys.exit(f"{kind}: the server did nothing")
    told = count if isinstance(count, dict) else {"count": count}
    print(json.dumps(told | {"seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
