"""Dies, hangs, waits, closes its sockets, or keeps its interpreter busy in C, as the path says; answers with its pid and a
random number.

Each import leaves a line in the file `imports`.
"""

import gc
import multiprocessing
import os
import random
import signal
import stat
import threading
import time

GATE = os.environ["GATE"]

with open(os.path.join(GATE, "imports"), "a") as imports:
    imports.write("%d\n" % os.getpid())

if os.environ.get("IMPORT") == "thread":
    threading.Thread(target=threading.Event().wait, name="left-running", daemon=True).start()
if os.environ.get("IMPORT") == "slow":
    time.sleep(60)
if os.path.exists(os.path.join(GATE, "poison")):
    os._exit(9)


def note(name):
    with open(os.path.join(GATE, name), "a") as file:
        file.write("%d\n" % os.getpid())


def half(then):
    yield b"half "
    note("halfway")
    if then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(0.01)


def application(environ, start_response):
    how, _, what = environ["PATH_INFO"].strip("/").partition("/")
    if how == "signal":
        note("killed")
        os.kill(os.getpid(), getattr(signal, what))
        time.sleep(60)
    if how == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        note("terminated")
    if how == "terminate-child":
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join(20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(child.exitcode).encode()]
    if how == "eat":
        note("eaten")
        block = bytearray(int(what) << 20)
        for page in range(0, len(block), 4096):
            block[page] = 1
    if how == "exit":
        note("exited")
        os._exit(int(what))
    if how == "hang":
        note("hanging")
        while True:
            time.sleep(0.01)
    if how == "stuck":
        note("stuck")
        10 ** 10 ** 8
    if how == "wait":
        note("waiting")
        while not os.path.exists(os.path.join(GATE, what)):
            time.sleep(0.005)
    if how == "close":
        for number in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.close(number)
            except OSError:
                pass
    if how == "count":
        note("counted-" + what)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if how == "half":
        return half(what)
    if how == "frozen":
        return [b"%d" % gc.get_freeze_count()]
    if how == "env":
        return [os.environ.get(what, "(not set)").encode()]
    return [("%d %r" % (os.getpid(), random.random())).encode()]
