"""The client of python-socketio: begins with polling, upgrades, and says what it hears."""

import sys
import threading

import socketio

heard, upgraded = [], threading.Event()
client = socketio.Client(reconnection=False)
answered = threading.Event()


@client.on("said")
def said(message):
    heard.append(message)
    answered.set()


@client.on("blob")
def blob(data):
    heard.append(len(data))
    answered.set()


client.connect(sys.argv[1], transports=sys.argv[2].split(","))
for number in range(3):
    answered.clear()
    client.emit("say", "hello %d" % number)
    assert answered.wait(20)
answered.clear()
client.emit("blob", b"ab" * 200_000)
assert answered.wait(20)
print(client.transport(), *heard)
client.disconnect()
