"""Does what only the main thread may do, with what the import made."""

import asyncio
import signal
import sqlite3
import sys
import threading

BOOKS = sqlite3.connect(":memory:")
BOOKS.execute("create table books (title text)")

if sys.version_info >= (3, 14):
    asyncio.set_event_loop(asyncio.new_event_loop())


def application(environ, start_response):
    assert threading.current_thread() is threading.main_thread()
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    BOOKS.execute("insert into books values (?)", (environ["PATH_INFO"],))
    slept = asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.001, "slept"))
    count = BOOKS.execute("select count(*) from books").fetchone()[0]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [("%s %d" % (slept, count)).encode()]
