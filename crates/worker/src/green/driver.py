"""Calls a WSGI application in greenlets. Python, so that no Rust is on the stack of a greenlet that waits."""

import os
import traceback

from greenlet import GreenletExit, getcurrent


# What ended requests get for their end when the worker leaves, in seconds.
ENDED_WITHIN = 0.5


class Overdue(GreenletExit):
    """Raised in a request that ran past its deadline, or past the end of a drain."""


class FileWrapper:
    """`wsgi.file_wrapper`"""

    def __init__(self, filelike, blksize=8192):
        self.filelike = filelike
        self.blksize = blksize

    def __iter__(self):
        return self

    def __next__(self):
        block = self.filelike.read(self.blksize)
        if block:
            return block
        raise StopIteration

    def close(self):
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def place(self):
        """Descriptor and position of a file that the kernel can read for us, or None."""
        filelike = self.filelike
        if type(filelike).__module__.startswith("django.core.files"):
            filelike = filelike.file
        # Others may unpack or decode what they read (gzip, text), and still have the descriptor of the file below.
        if type(filelike).__module__ not in ("_io", "tempfile"):
            return None
        try:
            if not isinstance(filelike.read(0), bytes):
                return None
            number = filelike.fileno()
            flush = getattr(filelike, "flush", None)
            if flush is not None:
                flush()
            return number, filelike.tell()
        except (OSError, ValueError, AttributeError):
            return None


class Gevent:
    """gevent's hub."""

    def __init__(self, inherited):
        import gevent
        import gevent.event
        from gevent.monkey import is_object_patched

        if inherited:
            # The zygote may have made a hub; nothing otherwise.
            gevent.reinit()
        self.hub = gevent.get_hub()
        if is_object_patched("os", "fork"):
            # gevent listens for ends of children from its first fork on. A child that ends sooner is waited
            # for in vain.
            os.register_at_fork(before=self.hub.loop.install_sigchld)
        self.soon = self.hub.loop.run_callback
        self.spawn = gevent.spawn
        self.Event = gevent.event.Event
        self.watcher = None
        self.timer = None

    def watch(self, descriptor, callback):
        self.watcher = self.hub.loop.io(descriptor, 1)
        self.watcher.start(callback)

    def forget(self):
        self.watcher.stop()
        self.watcher.close()

    def later(self, seconds, callback):
        self.timer = self.hub.loop.timer(seconds)
        self.timer.start(callback)

    def wake(self, event):
        event.set()

    def kill(self, greenlet, error):
        greenlet.kill(error, block=False)


class Eventlet:
    """eventlet's hub."""

    def __init__(self, inherited):
        import eventlet
        import eventlet.event
        import eventlet.hubs

        if inherited:
            # The zygote has made one when it patched, and its descriptor is shared.
            eventlet.hubs.use_hub()
        self.hub = eventlet.hubs.get_hub()
        self.spawn = eventlet.spawn_n
        self.Event = eventlet.event.Event
        self.listener = None

    def watch(self, descriptor, callback):
        self.listener = self.hub.add(self.hub.READ, descriptor, callback, lambda error: None, lambda: None)

    def forget(self):
        self.hub.remove(self.listener)

    def soon(self, callback):
        self.hub.schedule_call_global(0, callback)

    def later(self, seconds, callback):
        self.hub.schedule_call_global(seconds, callback)

    def wake(self, event):
        event.send()

    def kill(self, greenlet, error):
        self.hub.schedule_call_global(0, greenlet.throw, error)


def request_line(environ):
    return "%s %s" % (environ.get("REQUEST_METHOD", ""), environ.get("REQUEST_URI", ""))


class Driver:
    def __init__(self, hub, application, host):
        self.hub = hub
        self.application = application
        self.host = host
        # Of each stream whose greenlet runs: the greenlet and the environ.
        self.running = {}
        # Events on which streams wait for credit.
        self.waiters = {}
        self.flush_comes = False
        self.left = hub.Event()
        self.leaving = False
        # The drain has begun, and has an end; what is left then is not waited for.
        self.bounded = False
        self.given_up = False

    def serve(self):
        self.host.begin()
        self.hub.watch(self.host.descriptor, self.turn)
        try:
            while not (self.given_up or self.host.done()):
                try:
                    self.left.wait()
                except BaseException:
                    # Something of the application's raised through the hub (SystemExit does); its requests go on.
                    self.host_says(traceback.format_exc())
        finally:
            self.hub.forget()

    def host_says(self, text):
        os.write(2, ("raised through the hub\n" + text).encode("utf-8", "backslashreplace"))

    # Called in the hub: never switches.

    def turn(self, *_):
        starts, wakes, ends = self.host.turn()
        for stream in starts:
            self.hub.spawn(self.run, stream)
        for stream, gone in ends:
            self.end(stream, gone)
        for stream in wakes:
            waiter = self.waiters.pop(stream, None)
            if waiter is not None:
                self.hub.wake(waiter)
        if not self.bounded:
            seconds = self.host.bound()
            if seconds is not None:
                self.bounded = True
                self.hub.later(seconds, self.cut)
        self.leave_when_idle()

    def cut(self):
        for stream in self.host.cut():
            found = self.running.get(stream)
            if found is None:
                # It has not begun, and will hear that nobody waits.
                continue
            greenlet, environ = found
            stack = "".join(traceback.format_stack(greenlet.gr_frame)) if greenlet.gr_frame else ""
            self.host.tell(
                stream,
                "%s: still runs at the end of the drain, and is ended; it stands at\n%s" % (request_line(environ), stack),
            )
            self.hub.kill(greenlet, Overdue("the drain is over"))
        self.hub.later(ENDED_WITHIN, self.give_up)
        self.leave_when_idle()

    def give_up(self):
        self.given_up = True
        self.leave_when_idle()

    def end(self, stream, gone):
        found = self.running.get(stream)
        if found is None:
            # It has not begun, and will hear that nobody waits.
            return
        greenlet, environ = found
        line = request_line(environ)
        if gone:
            self.host.tell(stream, "%s: still runs though its client has left, and is ended" % line)
            self.hub.kill(greenlet, Overdue("the client has left"))
            return
        stack = "".join(traceback.format_stack(greenlet.gr_frame)) if greenlet.gr_frame else ""
        self.host.tell(stream, "%s: ran past its deadline and is ended; it stands at\n%s" % (line, stack))
        self.hub.kill(greenlet, Overdue("the request ran past its deadline"))

    def flush(self):
        self.flush_comes = False
        self.host.flush()

    def leave_when_idle(self):
        if not self.leaving and (self.given_up or self.host.done()):
            self.leaving = True
            self.hub.wake(self.left)

    # Called in the greenlet of a request.

    def run(self, stream):
        host = self.host
        environ = host.enter(stream)
        self.running[stream] = (getcurrent(), environ)
        try:
            if not stream.cancelled():
                self.call(stream, environ)
        except BaseException as error:
            self.fail(stream, environ, error)
        finally:
            self.running.pop(stream, None)
            self.waiters.pop(stream, None)
            # The file of its body goes back with the answer, not with the next one.
            environ = None
            following = host.ended(stream)
            if following is not None:
                self.hub.spawn(self.run, following)
            self.wrote(stream)
            self.leave_when_idle()

    def call(self, stream, environ):
        start = stream.start

        def write(data):
            try:
                stream.write(data)
                self.host.flush()
                self.wait(stream)
                if stream.cancelled():
                    raise self.host.Gone
            except self.host.Gone:
                raise BrokenPipeError("the client has left") from None
            except self.host.Broken:
                raise AssertionError("write() was called before start_response") from None

        def start_response(status, headers, exc_info=None):
            # What else gives pairs may do so in Python code, which must not be called from Rust.
            if not isinstance(headers, (list, tuple)):
                headers = list(headers)
            start(status, headers, exc_info)
            return write

        def early_hints(headers):
            stream.hint([tuple(field) for field in headers])
            self.host.flush()

        environ["wsgi.early_hints"] = early_hints

        iterable = self.application(environ, start_response)
        if type(iterable) in (list, tuple):
            stream.whole(iterable)
            self.finish(stream, environ)
            return
        try:
            self.send(stream, iterable)
            self.finish(stream, environ)
        except BaseException as error:
            self.fail(stream, environ, error)
        close = getattr(iterable, "close", None)
        if close is not None:
            # It may do real work, for which the answer should not wait.
            self.host.flush_idle()
            close()

    def send(self, stream, iterable):
        if type(iterable) is FileWrapper:
            place = iterable.place()
            if place is not None and stream.file(*place):
                return
        chunk = stream.chunk
        for element in iterable:
            if chunk(element):
                return
            # The next element may take its time, or the end of an iterable whose answer is complete.
            if stream.over():
                self.host.flush_idle()
            else:
                self.host.flush()
                self.wait(stream)

    def wait(self, stream):
        while stream.waits():
            waiter = self.waiters.get(stream)
            if waiter is None:
                waiter = self.waiters[stream] = self.hub.Event()
            self.host.flush()
            waiter.wait()

    def finish(self, stream, environ):
        self.wait(stream)
        complaint = stream.finish()
        if complaint is not None:
            self.host.tell(stream, complaint)

    def fail(self, stream, environ, error):
        cancelled = stream.cancelled()
        broken = isinstance(error, self.host.Broken)
        if stream.conclude(None if broken else error):
            return
        stream.fail(not broken)
        line = request_line(environ)
        if isinstance(error, (self.host.Gone, Overdue)):
            # Told when it was ended, or no error of the application.
            return
        if broken:
            self.host.fail(stream, "%s: %s" % (line, error))
        elif not (cancelled and isinstance(error, BrokenPipeError)):
            trace = error.__traceback__ and error.__traceback__.tb_next
            self.host.raised(stream, line, error.with_traceback(trace))

    def wrote(self, stream):
        if not stream.dirty():
            return
        self.host.flush_due()
        if not self.flush_comes and stream.dirty():
            self.flush_comes = True
            self.hub.soon(self.flush)


def prepare(library, inherited, application, host):
    hub = Eventlet(inherited) if library == "eventlet" else Gevent(inherited)
    return Driver(hub, application, host).serve
