"""The grammar of HTTP/1 requests (RFC 9112), apart from any server's parser: what nobody may refuse for its form."""

import re

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD = rb"%b:[\t\x20-\x7e\x80-\xff]*\r\n" % TOKEN
#: An empty line before a request is read past (§2.2).
HEAD = re.compile(rb"(?:\r\n)?(%b) ([^\0-\x20\x7f#]+) HTTP/1\.([0-9])\r\n((?:%b)*)\r\n" % (TOKEN, FIELD))
HOST = re.compile(rb"([A-Za-z0-9._\-]+|\[[0-9a-f:.]+\])(:[0-9]{0,5})?")

WORD = rb"[\t ]*(?:%b|\"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*\")" % TOKEN
#: At most fifteen digits, as we have it: that is more than any body may have.
SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*;[\t ]*%b(?:[\t ]*=%b)?)*\r\n" % (TOKEN, WORD))
TRAILERS = re.compile(rb"(?:%b)*\r\n" % FIELD)

#: Ours: bytes of extensions to a chunk, of trailers, of a method.
EXTENSION_MAX, TRAILERS_MAX, METHOD_MAX = 256, 8 << 10, 32


def follows(content):
    """Is this one request after the other, from the first byte to the last?"""
    while content:
        content = behind_request(content)
        if content is None:
            return False
    return True


def behind_request(content):
    """What is left behind the first request; None: it breaks the rules."""
    match = HEAD.match(content)
    if not match:
        return None
    method, target, minor, lines = match.groups()
    fields = [line.split(b":", 1) for line in lines.split(b"\r\n")[:-1]]
    hosts, lengths, codings = (
        [value.strip(b"\t ") for name, value in fields if name.lower() == wanted]
        for wanted in (b"host", b"content-length", b"transfer-encoding")
    )
    is_path = target[:1] == b"/" or re.match(b"(?i)https?://[^/?@]", target) or (method, target) == (b"OPTIONS", b"*")
    if len(method) > METHOD_MAX or not is_path or b"%zz" in target or len(hosts) > 1 or not (hosts or minor == b"0"):
        return None
    if not all(HOST.fullmatch(host) and int(b"0" + host.rpartition(b"]")[2].partition(b":")[2]) < 1 << 16 for host in hosts):
        return None
    rest = content[match.end() :]
    if codings:
        chunked = [coding.lower() for coding in codings] == [b"chunked"] and minor != b"0" and not lengths
        return behind_chunks(rest) if chunked else None
    if not lengths:
        return rest
    if len(lengths) > 1 or not lengths[0].isdigit() or int(lengths[0]) > len(rest):
        return None
    return rest[int(lengths[0]) :]


def behind_chunks(content):
    """What is left behind a chunked body; None: it breaks the rules or a limit."""
    while match := SIZE.match(content):
        if len(match[0]) - len(match[1]) > EXTENSION_MAX:
            return None
        size, content = int(match[1], 16), content[match.end() :]
        if not size:
            trailers = TRAILERS.match(content)
            return content[trailers.end() :] if trailers and trailers.end() < TRAILERS_MAX else None
        if content[size : size + 2] != b"\r\n":
            return None
        content = content[size + 2 :]
    return None
