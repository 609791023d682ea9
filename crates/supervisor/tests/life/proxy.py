# A proxy as the supervisor sees it; it writes what it is told into the file JOURNAL.
import json, os, signal, socket, struct, sys, time

control = socket.socket(fileno=3)
journal = os.environ["JOURNAL"]
behaviour = os.environ.get("PROXY_BEHAVIOUR", "")
links = []


def note(line):
    with open(journal, "a") as file:
        file.write(f"{os.getpid()} {line}\n")


def text(value):
    value = value.encode()
    return struct.pack("<I", len(value)) + value


def read_text(packet, at):
    (length,) = struct.unpack_from("<I", packet, at)
    return packet[at + 4:at + 4 + length].decode(), at + 4 + length


def overrun(number, frame):
    message = b"\x04" + struct.pack("<QI", links[0], 77)
    control.send(message + text("req-1") + text("GET") + text("/slow") + text("192.0.2.1") + struct.pack("<Q", 60000))


signal.signal(signal.SIGUSR2, overrun)
while True:
    packet, descriptors, _, _ = socket.recv_fds(control, 1 << 17, 8)
    if not packet:
        os._exit(0)
    kind = packet[0]
    if kind == 1:
        certificates, _names, listeners, generation = struct.unpack_from("<?IIQ", packet, 1)
        config = json.loads(os.pread(descriptors[0], 1 << 20, 0))
        apps = ",".join(app["name"] for app in config["apps"])
        note(f"boot listeners={listeners} apps={apps} certificates={certificates} files={len(descriptors) - 1}")
        if behaviour == "failed":
            control.send(b"\x02" + text("the key of example.org can not be read"))
            os._exit(1)
        if listeners == 0:
            control.send(b"\x01")
    elif kind == 2:
        (index,) = struct.unpack_from("<I", packet, 1)
        listeners -= 1
        socket.socket(fileno=descriptors[0]).detach()
        note(f"listener {index}")
        if listeners == 0:
            control.send(b"\x01")
    elif kind == 3:
        note("start")
    elif kind == 4:
        (link,) = struct.unpack_from("<Q", packet, 1)
        app, at = read_text(packet, 9)
        slot, pid = struct.unpack_from("<II", packet, at)
        links.append(link)
        note(f"link app={app} slot={slot} pid={pid} descriptors={len(descriptors)}")
    elif kind == 5:
        (link,) = struct.unpack_from("<Q", packet, 1)
        links.remove(link)
        note("unlink")
        control.send(b"\x03" + struct.pack("<Q", link))
    elif kind == 6:
        app, at = read_text(packet, 1)
        note(f"down app={app} {packet[at] == 1}")
    elif kind == 7:
        note(f"reopen files={len(descriptors)}")
    elif kind == 10:
        control.send(b"\x07" + packet[1:])
    elif kind == 8:
        (grace_ms,) = struct.unpack_from("<Q", packet, 1)
        note(f"drain {grace_ms}")
        if behaviour == "never_leaves":
            time.sleep(1000)
        control.send(b"\x05")
        os._exit(0)
