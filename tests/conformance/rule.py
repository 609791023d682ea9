"""What a rule is: a sentence, an application that behaves in a certain way, and a check of what then happens.

The application of a rule answers at /NAME. It runs in the server under test; the check runs in the client's process. What the
application sees after its answer, or instead of one, it leaves by `note`, and the client fetches it.
"""

import asyncio

RULES = {}
NOTES = {}
GATES = {}


class NotApplicable(Exception):
    """The server does not offer what the rule is about, and need not."""


class Rule:
    """One row of the grid."""

    def __init__(self, name, group, sentence, app, check, target):
        self.name = name
        self.group = group
        self.sentence = sentence
        self.app = app
        self.check = check
        #: An application of its own, `module:name`, for which a server is started; None: the common one.
        self.target = target


def rule(sentence, app=None, target=None):
    """Makes a check, named after the rule, a row of the grid."""

    def register(check):
        name = check.__name__
        assert name not in RULES, name
        group = check.__module__.rpartition(".")[2]
        RULES[name] = Rule(name, group, sentence, app, check, target)
        return check

    return register


def name_of(scope):
    """Which rule a request is for."""
    path = scope["path"]
    root = scope.get("root_path") or ""
    if root and path.startswith(root + "/"):
        path = path[len(root) :]
    return path.split("/")[1]


def note(scope, value):
    """Leaves a Python literal for the check of this request's rule."""
    NOTES.setdefault(name_of(scope), []).append(value)


def gate(scope):
    """What the check of this request's rule opens by `At.go`."""
    return GATES.setdefault(name_of(scope), asyncio.Event())


async def reply(send, body=b"", status=200, headers=()):
    """A whole answer."""
    if not isinstance(body, bytes):
        body = repr(body).encode()
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def raised(send, *messages):
    """Which exceptions, most special first, sending this raises; empty: none."""
    try:
        for message in messages:
            await send(message)
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__]
    return []


async def show_scope(scope, receive, send):
    """Answers with its scope."""
    await reply(send, {key: value for key, value in scope.items() if key != "state"})
