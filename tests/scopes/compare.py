"""Asks appliance and its peers the same, and tells every difference that `differences` does not list.

    python compare.py ASGI_PORT ASGI_TLS_PORT WSGI_PORT WSGI_TLS_PORT CERTIFICATE KEY

The two appliances run `told:asgi` and `told:wsgi` at the root and below /mounted. Prints the table of the differences that were
seen, as a page; what is not listed goes to stderr, and the exit status is 1.
"""

import sys

from asking import Server
from differences import LISTED
from peers import Peers
from shapes import all_shapes

MOUNT = "/mounted"

#: Header fields, which are compared name by name; and their order.
ORDER = "headers in order"


def pairs(told):
    """`headers` of a scope as pairs of text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in told]


def facts(interface, told, own_port, server_port):
    """What was told, each thing with a name of its own; ports that differ by nature are made the same."""
    if isinstance(told, int):
        return {"status": told}, []
    facts, order = {"status": 200}, []
    for key, value in told.items():
        if key == "headers":
            order = pairs(value)
            for name, _ in order:
                facts["headers: " + name] = [value for other, value in order if other == name]
        elif isinstance(value, dict) and key in ("asgi", "extensions"):
            facts.update({"%s: %s" % (key, inner): of for inner, of in value.items()})
        else:
            facts[key] = value
    if interface == "asgi":
        facts["client"] = [facts["client"][0], facts["client"][1] - own_port]
        facts["server"] = [facts["server"][0], facts["server"][1] - server_port]
    else:
        facts["REMOTE_PORT"] = int(facts["REMOTE_PORT"]) - own_port
        facts["SERVER_PORT"] = str(facts["SERVER_PORT"]).replace(str(server_port), "LISTENER")
    return facts, order


def differences(ours, theirs):
    """Name, what appliance tells and what the other does; None: nothing of the kind."""
    (ours, our_order), (theirs, their_order) = ours, theirs
    if ours["status"] != theirs["status"]:
        yield "status", ours["status"], theirs["status"]
        return
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            yield key, ours.get(key), theirs.get(key)
    # Fields that both have, as often and with the same values, are in the same order.
    common = {name for name, _ in our_order if ours["headers: " + name] == theirs.get("headers: " + name)}
    our_order = [field for field in our_order if field[0] in common]
    their_order = [field for field in their_order if field[0] in common]
    if our_order != their_order:
        yield ORDER, our_order, their_order


def unguarded(interface, shape, ours, theirs):
    """What both tell, and appliance could leave out unnoticed: nothing, or the list of differences is too wide."""
    if ours["status"] != 200 or theirs["status"] != 200:
        return
    for key in {*ours} & {*theirs}:
        if any(row.covers(interface, shape, key, None, theirs[key]) for row in LISTED):
            yield key


def main():
    *ports, certificate, key = sys.argv[1:]
    asgi, asgi_tls, wsgi, wsgi_tls = map(int, ports)
    ours = {}
    for interface, plain, tls in (("asgi", asgi, asgi_tls), ("wsgi", wsgi, wsgi_tls)):
        for mounted in (False, True):
            prefix = MOUNT * mounted
            ours[interface, False, mounted] = Server(plain, False, prefix)
            ours[interface, True, mounted] = Server(tls, True, prefix)
    peers, seen, asked, unlisted = Peers(MOUNT, certificate, key), set(), 0, 0
    try:
        for shape in all_shapes():
            for interface, peer in (("asgi", "uvicorn"), ("wsgi", "gunicorn")):
                if shape.websocket and interface == "wsgi":
                    continue
                asked += 1
                server = ours[interface, shape.version == "2", shape.mounted]
                told, own_port = server.ask(shape)
                found = facts(interface, told, own_port, server.port)
                other, other_port = peers.ask(peer, shape)
                port = peers.of[peer, shape.version == "2", shape.mounted].port
                expected = facts(interface, other, other_port, port)
                for name in unguarded(interface, shape, found[0], expected[0]):
                    unlisted += 1
                    print(f"{shape.title()}\n  {name} could be missing unnoticed", file=sys.stderr)
                for name, here, there in differences(found, expected):
                    row = next((row for row in LISTED if row.covers(interface, shape, name, here, there)), None)
                    if row is None:
                        unlisted += 1
                        print(f"{shape.title()}\n  {name}\n    appliance {here!r:.200}\n    {peer} {there!r:.200}", file=sys.stderr)
                    seen.add((row, name))
    finally:
        peers.close()
    for row in LISTED:
        for name in row.names:
            if (row, name) not in seen:
                unlisted += 1
                print(f"listed, and not seen any more: {row.interface} {row.way} {name}: {row.why}", file=sys.stderr)
    print(f"{asked} requests")
    for row in LISTED:
        print(row.line())
    sys.exit(1 if unlisted else 0)


if __name__ == "__main__":
    main()
