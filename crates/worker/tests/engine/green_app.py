import gc, os, subprocess, sys, threading, time

from greenlet import GreenletExit, getcurrent

STATE = threading.local()
BUSY = 0
MOST = 0
CLOSED = []


def application(environ, start_response):
    return globals()["at_" + environ["PATH_INFO"].strip("/")](environ, start_response)


def text(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]


def at_meet(environ, start_response):
    """Answers when as many requests as the query says run at the same time."""
    global BUSY, MOST
    STATE.mine = id(environ)
    BUSY += 1
    MOST = max(MOST, BUSY)
    print("before the meeting", environ["HTTP_X_REQUEST"])
    while MOST < int(environ["QUERY_STRING"]):
        time.sleep(0.005)
    BUSY -= 1
    print("after the meeting", environ["HTTP_X_REQUEST"])
    return text(start_response, str(STATE.mine == id(environ)))


def at_most(environ, start_response):
    return text(start_response, str(MOST))


def at_count(environ, start_response):
    """Waits in a greenlet; says how many ran at most."""
    global BUSY, MOST
    BUSY += 1
    MOST = max(MOST, BUSY)
    time.sleep(0.02)
    BUSY -= 1
    return text(start_response, str(MOST))


class Ticks:
    def __init__(self, marker):
        self.marker = marker

    def __iter__(self):
        yield b"tick"
        while not os.path.exists(self.marker):
            time.sleep(0.005)
            yield b"" 
        yield b"end"

    def close(self):
        CLOSED.append("ticks")


def at_ticks(environ, start_response):
    start_response("200 OK", [])
    return Ticks(environ["QUERY_STRING"])


def at_closed(environ, start_response):
    return text(start_response, ",".join(CLOSED))


def at_hello(environ, start_response):
    return text(start_response, "hello")


def at_big(environ, start_response):
    start_response("200 OK", [])
    for _ in range(80):
        yield b"y" * 65536


def at_write_big(environ, start_response):
    write = start_response("200 OK", [])
    for _ in range(80):
        write(b"w" * 65536)
    return []


def at_list_big(environ, start_response):
    start_response("200 OK", [])
    return [b"l" * 1_000_000] * 5


def at_stuck(environ, start_response):
    try:
        time.sleep(1000)
    finally:
        CLOSED.append("stuck")


def at_greenlet_exit(environ, start_response):
    raise GreenletExit


def at_run(environ, start_response):
    out = subprocess.run([sys.executable, "-c", "print('from a program')"], stdout=subprocess.PIPE).stdout
    return text(start_response, out.decode().strip())


def at_collect(environ, start_response):
    """Objects whose end waits, collected while the engine works."""

    class Slow:
        def __del__(self):
            time.sleep(0.001)

    for _ in range(100):
        slow = Slow()
        slow.me = slow
    slow = None
    gc.collect()
    return text(start_response, "collected")


def at_pid(environ, start_response):
    return text(start_response, "%d %d" % (os.getpid(), IMPORTED_IN))


def at_thread(environ, start_response):
    told = []
    thread = threading.Thread(target=lambda: (time.sleep(0.01), told.append("ran")))
    thread.start()
    thread.join()
    return text(start_response, told[0])


def at_spin(environ, start_response):
    while True:
        pass


IMPORTED_IN = os.getpid()
# An import that waits makes a hub.
time.sleep(0.001)
