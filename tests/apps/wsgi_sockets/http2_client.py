"""A WebSocket over HTTP/2 (RFC 8441) with hyper's h2 and wsproto's frames: says what it hears."""

import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, TextMessage

port, path, *messages = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(["h2"])
plain = socket.create_connection(("127.0.0.1", int(port)), timeout=30)
tls = context.wrap_socket(plain, server_hostname="localhost")
http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
http.initiate_connection()
tls.sendall(http.data_to_send())


def events():
    data = tls.recv(65536)
    if not data:
        raise SystemExit("the connection ended")
    found = http.receive_data(data)
    for event in found:
        if isinstance(event, h2.events.DataReceived):
            http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    tls.sendall(http.data_to_send())
    return found


while not http.remote_settings.enable_connect_protocol:
    events()
fields = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", "localhost"),
    (":path", path),
    ("sec-websocket-version", "13"),
    ("sec-websocket-protocol", "chat"),
]
http.send_headers(1, fields)
tls.sendall(http.data_to_send())

frames, ended = Connection(ConnectionType.CLIENT), False


def send(event):
    data = frames.send(event)
    while data:
        room = min(http.local_flow_control_window(1), http.max_outbound_frame_size)
        if room == 0:
            take(events())
            continue
        http.send_data(1, data[:room])
        data = data[room:]
        tls.sendall(http.data_to_send())


text, size = "", 0


def take(found):
    global ended, text, size
    for event in found:
        if isinstance(event, h2.events.ResponseReceived):
            told = {name.decode(): value.decode() for name, value in event.headers}
            print(told[":status"], told.get("sec-websocket-protocol"), "upgrade" in told, "sec-websocket-accept" in told)
            if told[":status"] != "200":
                raise SystemExit
            for message in messages:
                size_of = message.partition("*")[2]
                send(Message(data=b"x" * int(size_of)) if size_of else Message(data=message))
        elif isinstance(event, h2.events.DataReceived):
            if event.data:
                frames.receive_data(event.data)
            for message in frames.events():
                if isinstance(message, TextMessage):
                    text += message.data
                    if message.message_finished:
                        print(text)
                        text = ""
                elif isinstance(message, BytesMessage):
                    size += len(message.data)
                    if message.message_finished:
                        print(size, "bytes")
                        size = 0
                elif isinstance(message, CloseConnection):
                    print("closed", message.code)
                    if frames.state is ConnectionState.REMOTE_CLOSING:
                        send(message.response())
                if isinstance(message, (TextMessage, BytesMessage)) and message.message_finished:
                    messages.pop()
                    if not messages:
                        send(CloseConnection(1000))
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)) and not ended:
            # Behind its end the server may reset a stream that we leave open.
            print("ended" if isinstance(event, h2.events.StreamEnded) else "reset")
            ended = True


while not ended:
    take(events())
