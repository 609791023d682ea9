"""A request for /NAME tells by the file `began-NAME` that it has begun, and is answered once there is a file `open-NAME`."""

import os
import time

GATE = os.environ["GATE"]


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if name:
        with open(os.path.join(GATE, "began-" + name), "a") as began:
            began.write("%d\n" % os.getpid())
        while not os.path.exists(os.path.join(GATE, "open-" + name)):
            time.sleep(0.005)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d\n" % os.getpid()]
