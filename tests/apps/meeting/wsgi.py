"""Four requests must be here at the same time, or none is answered."""

import threading

barrier = threading.Barrier(4)


def application(environ, start_response):
    barrier.wait(timeout=20)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [threading.current_thread().name.encode()]
