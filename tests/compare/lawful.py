"""What every answer of ours keeps to, whatever was asked and whatever the peers do."""

from exchange import CLOSED, OPEN, WHOLE

#: Fields that come once.
ONCE = ("date", "server", "content-length", "content-type", "etag", "last-modified", "location")

#: Fields that belong to a status (RFC 9110 §15).
NEEDED = {405: ("allow",), 416: ("content-range",), 206: ("content-range", "content-type"), 426: ("upgrade",)}


def faults(shape, answers, end):
    """Rules that these answers on one connection break."""
    for number, found in enumerate(answers):
        if found["status"] and found["ends"] == WHOLE:
            is_last = number == len(answers) - 1
            yield from faults_of_one(found, shape.version == "1.0")
            if "version" in found:
                yield from faults_of_connection(found, end["after"] if is_last else OPEN, is_silent(shape))


def faults_of_one(found, is_old):
    fields = {name[len("field ") :]: value for name, value in found.items() if name.startswith("field ")}
    status, is_http2 = found["status"], "version" not in found
    # A head past four times our limit is refused by the HTTP/2 library, which has no clock.
    if "date" not in fields and not (is_http2 and status == 431):
        yield "no Date (RFC 9110 §6.6.1)"
    for name in ONCE:
        if len(fields.get(name, [])) > 1:
            yield "more than one " + name
    if "transfer-encoding" in fields and ("content-length" in fields or status in (204, 304) or is_old or is_http2):
        yield "Transfer-Encoding where it may not be (RFC 9112 §6.1)"
    if status == 204 and "content-length" in fields:
        yield "Content-Length with 204 (RFC 9110 §8.6)"
    if is_http2 and {"connection", "keep-alive", "upgrade"} & {*fields}:
        yield "a field of one connection (RFC 9113 §8.2.2)"
    needed = NEEDED.get(status, ())
    if needed and not {*needed} & {*fields} and not (is_http2 and status == 426):
        yield "%d without %s (RFC 9110 §15)" % (status, " or ".join(needed))


def faults_of_connection(found, after, is_silent_close):
    """RFC 9112 §9.6."""
    says_close = "close" in ",".join(found.get("field connection", [])).lower()
    if after == CLOSED and not says_close and not is_silent_close:
        yield "closed without saying so"
    if after == OPEN and says_close:
        yield "goes on behind `Connection: close`"


def is_silent(shape):
    """HTTP/1.0 closes unless something else is said, and a client that has closed its side is not asked."""
    return shape.version == "1.0" or b"HTTP/1.0" in shape.raw or shape.half_closed or shape.waits
