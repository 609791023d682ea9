# A zygote and its workers as the supervisor sees them; what they do is said by the app's target.
import os, signal, socket, struct, sys, time

control = socket.socket(fileno=3)
supervisor = os.getppid()


def text(value):
    value = value.encode()
    return struct.pack("<I", len(value)) + value


def read_text(packet, at):
    (length,) = struct.unpack_from("<I", packet, at)
    return packet[at + 4:at + 4 + length].decode(), at + 4 + length


def stacks(number, frame):
    os.write(2, b"stacks of the fake\n")


def work(control, behaviour):
    signal.signal(signal.SIGUSR2, stacks)
    control.send(b"\x01")
    if behaviour == "crash":
        os._exit(3)
    if behaviour == "worker_failed":
        control.send(b"\x03" + text("import") + text("no module named shop") + text("Traceback\n  line 7"))
        os._exit(1)
    if behaviour == "worker_hangs":
        time.sleep(1000)
    control.send(b"\x02" + struct.pack("<Q?I", 5, False, 1))
    os.write(1, b"\x1eabc123\x1fhello from a worker\n")
    links = []
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, 1 << 17, 8)
        if not packet:
            os._exit(0)
        if packet[0] == 1:
            links.append(descriptors)
            if behaviour == "crash_later":
                os._exit(4)
        elif packet[0] == 2:
            if behaviour == "never_leaves":
                time.sleep(1000)
            os._exit(0)
        elif packet[0] == 3:
            os.write(2, b"interrupted\n")


packet = control.recv(1 << 17)
_, at = read_text(packet, 1)
_, at = read_text(packet, at)
behaviour, at = read_text(packet, at)
signal.signal(signal.SIGUSR2, stacks)
if behaviour == "import_failed":
    os.write(1, b"connecting to the database\n")
    control.send(b"\x02" + text("import") + text("no module named shop") + text("Traceback\n  line 7"))
    os._exit(1)
if behaviour == "zygote_hangs":
    time.sleep(1000)
if behaviour == "zygote_dies":
    os._exit(9)
control.send(b"\x01" + text("3.x.y") + struct.pack("<Q", 3) + text("") + text("") + text(""))
while True:
    packet, descriptors, _, _ = socket.recv_fds(control, 1 << 17, 8)
    if not packet:
        os._exit(0)
    child = os.fork()
    if child == 0:
        if os.fork() != 0:
            os._exit(0)
        while os.getppid() != supervisor:
            time.sleep(0.001)
        own, stdout, stderr = descriptors
        control.close()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        os.close(stderr)
        work(socket.socket(fileno=own), behaviour)
    os.waitpid(child, 0)
    for descriptor in descriptors:
        os.close(descriptor)
