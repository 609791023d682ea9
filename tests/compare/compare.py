"""Asks appliance and its peers the same, and tells every difference that `differences` does not list.

    python compare.py PAGE NGINX DIRECTORY CERTIFICATE KEY PORT TLS_PORT ASGI_PORT ASGI_TLS_PORT

The two appliances run `application:wsgi` with files below /static/, and `application:asgi`; DIRECTORY has the files in `static`
and is where nginx writes. With COMPARE=all in the environment everything is asked; otherwise every sixteenth request and those that
PAGE has as examples. Prints the table of the differences that were seen, for a page; what is not listed goes to stderr, and the exit
status is 1.
"""

import os
import sys

import decision
import lawful
from application import ANSWERS, FAILURES, WAYS, WSGI_ANSWERS
from differences import LISTED
from exchange import http1, http2
from observed import facts
from parts import FILE
from peers import Nginx, Uvicorn
from seen import Seen, code
from shapes import Shape, all_shapes


class Server:
    """Where one server listens; `tls_port` None: no HTTP/2."""

    def __init__(self, port, tls_port):
        self.port, self.tls_port = port, tls_port
        #: Entity tags of the files, by target; and those of one file with its date.
        self.tags, self.known = {}, ("", "")

    def learn(self):
        """Validators of the file that conditions are about."""
        (answer, *_), _ = self.ask(Shape(target=FILE))
        self.known = (answer.one("etag"), answer.one("last-modified"))

    def ask(self, shape):
        if shape.version == "2" and self.tls_port:
            return http2(self.tls_port, *shape.http2(self.known))
        return http1(self.port, shape, shape.http1(self.known))

    def observe(self, shape):
        """Facts of each answer, and of the connection."""
        answers, after = self.ask(shape)
        return [facts(shape, answer, self.tags) for answer in answers], {"answers": len(answers), "after": after}


def differences(peer, shape, ours, theirs):
    """Every difference between two servers: which fact, and where it was seen."""
    (our_answers, our_end), (their_answers, their_end) = ours, theirs
    # HTTP/2 is asked of uvicorn over HTTP/1.1, and ASGI has no reason phrases.
    apart = {"reason"} if peer == "uvicorn" else set()
    if peer == "uvicorn" and shape.version == "2":
        apart |= {"version", "told scheme", "after", "ends"}
    agreed = True
    for here, there in zip(our_answers, their_answers):
        # Answers of another status differ in all else, too.
        names = sorted({*here, *there}) if here["status"] == there["status"] else ["status"]
        agreed &= names != ["status"]
        for name in names:
            if name not in apart and here.get(name) != there.get(name):
                yield Seen(peer, shape, name, here, there)
    # So do connections that had such answers.
    for name in ("answers", "after") if agreed else ():
        if name not in apart and our_end[name] != their_end[name]:
            yield Seen(peer, shape, name, our_answers[-1] | our_end, their_answers[-1] | their_end)


def main():
    page, nginx, directory, certificate, key, *ports = sys.argv[1:]
    port, tls_port, asgi_port, asgi_tls_port = map(int, ports)
    with open(page, encoding="utf-8") as file:
        examples = file.read()
    everything = os.environ.get("COMPARE") == "all"
    peers, examined, unlisted, unlawful, first = [], 0, [], [], {}
    try:
        scratch = os.path.join(directory, "nginx")
        os.mkdir(scratch)
        peers.append(Nginx(nginx, scratch, os.path.join(directory, "static"), certificate, key))
        peers.append(Uvicorn())
        pairs = [
            ("nginx", Server(port, tls_port), Server(peers[0].port, peers[0].tls_port)),
            ("uvicorn", Server(asgi_port, asgi_tls_port), Server(peers[1].port, None)),
        ]
        for server in pairs[0][1:]:
            server.learn()
        for number, shape in enumerate(all_shapes([*ANSWERS, *WSGI_ANSWERS, *WAYS, *FAILURES, "silent"])):
            examined += 1
            if not everything and number % 16 and code(shape.title()) not in examples:
                continue
            for peer, ours, theirs in pairs:
                if peer == "uvicorn" and not shape.is_for_uvicorn():
                    continue
                here, there = ours.observe(shape), theirs.observe(shape)
                unlawful += ["%s: %s, ours %r" % (fault, shape.title(), here) for fault in lawful.faults(shape, *here)]
                if decision.applies(shape) and here[0][0]["status"] != decision.status(shape):
                    unlawful.append("RFC 9110 says %d: %s, ours %r" % (decision.status(shape), shape.title(), here))
                for seen in differences(peer, shape, here, there):
                    row = next((row for row in LISTED if row.covers(seen)), None)
                    if row is None:
                        unlisted.append(seen)
                    first.setdefault((row, peer), seen)
    finally:
        for peer in peers:
            peer.close()
    for told in unlawful + [seen.told() for seen in unlisted]:
        print(told, file=sys.stderr)
    stale = [(row, peer) for row in LISTED for peer in row.peers if (row, peer) not in first]
    for row, peer in stale:
        print(f"listed, and not seen any more: {peer}: {row.why}", file=sys.stderr)
    print(peers[0].version)
    print(f"{examined} requests")
    for row in LISTED:
        for peer in row.peers:
            if (row, peer) in first:
                print(row.line(first[row, peer]))
    sys.exit(1 if unlisted or unlawful or stale else 0)


if __name__ == "__main__":
    main()
