"""What the clients of python-socketio and engineio do: `client.py URL PATH SCENARIO TRANSPORTS`."""

import asyncio
import hashlib
import json
import os
import queue
import sys

import engineio
import socketio

URL, PATH, SCENARIO, TRANSPORTS = sys.argv[1:]
HOW = {
    "transports": None if TRANSPORTS == "both" else [TRANSPORTS],
    "socketio_path": PATH,
    "wait_timeout": 20,
}


def tell(**what):
    print(json.dumps(what), flush=True)


def leave(*clients):
    """Says goodbye where that is quick: a client that polls waits for the end of its last poll, on every server."""
    for client in clients:
        if client.transport() == "websocket":
            client.disconnect()


class Member:
    """A client in threads that keeps what it hears."""

    def __init__(self, name):
        self.heard, self.welcomes, self.connected = queue.Queue(), queue.Queue(), queue.Queue()
        self.client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self.client.on("said", self.heard.put)
        self.client.on("welcome", self.welcomes.put)
        self.client.on("connect", lambda: self.connected.put(self.client.transport()))
        self.client.connect(URL, auth={"name": name}, **HOW)
        self.welcome, self.transport = self.welcomes.get(timeout=20), self.connected.get(timeout=20)

    def call(self, *event):
        return self.client.call(event[0], event[1:] if len(event) > 1 else None, timeout=20)


def talk():
    """Two are in a room and hear each other; a third is not."""
    ada, bob, eve = Member("ada"), Member("bob"), Member("eve")
    entered = [ada.call("enter", "blue"), bob.call("enter", "blue"), eve.call("enter", "red")]
    ada.client.emit("say", ("blue", "hello 🎈"))
    said = bob.heard.get(timeout=20)
    bob.client.emit("say", ("blue", "you too"))
    answered = ada.heard.get(timeout=20)
    data = os.urandom(3 << 20)
    digest, mirrored = bob.call("mirror", data)
    tell(
        entered=entered,
        said=said,
        answered=answered,
        alone=eve.heard.empty(),
        mirrored=mirrored == data and digest == hashlib.sha256(data).hexdigest(),
        transport=ada.client.transport(),
        served=ada.call("transport"),
        path=ada.welcome["path"],
    )
    leave(ada.client, bob.client, eve.client)


def again():
    """Stays connected until the server has another worker, and comes back by itself."""
    ada = Member("ada")
    tell(connected=ada.transport)
    transport, welcome = ada.connected.get(timeout=60), ada.welcomes.get(timeout=20)
    tell(another=welcome["worker"] != ada.welcome["worker"], entered=ada.call("enter", "blue"), transport=transport)
    leave(ada.client)


def refused():
    """One without a name is not let in, and is told why."""
    client, told = socketio.Client(), queue.Queue()
    client.on("connect_error", told.put)
    client.connect(URL, wait=False, **HOW)
    tell(refused=told.get(timeout=20)["message"])


async def loop():
    """The same by the client for event loops."""
    client, heard = socketio.AsyncClient(), asyncio.Queue()
    client.on("welcome", heard.put)
    await client.connect(URL, auth={"name": "ada"}, **HOW)
    await asyncio.wait_for(heard.get(), 20)
    data = bytes(range(256)) * 4096
    digest, mirrored = await client.call("mirror", data, timeout=20)
    tell(transport=client.transport(), mirrored=mirrored == data)
    if client.transport() == "websocket":
        await client.disconnect()
    os._exit(0)


def engine():
    """Engine.IO without Socket.IO on top."""
    client, heard = engineio.Client(), queue.Queue()
    client.on("message", heard.put)
    client.connect(URL, transports=HOW["transports"], engineio_path=PATH)
    for data in ("text", b"bytes" * 100_000):
        client.send(data)
        assert heard.get(timeout=20) == data
    tell(transport=client.transport())
    leave(client)


asyncio.run(loop()) if SCENARIO == "loop" else globals()[SCENARIO]()
# Nobody waits for the threads of a poll.
os._exit(0)
