"""The application under all servers: each rule's own below /NAME, what they noted below /notes, their gates below /go."""

import asyncio

import rules  # noqa: F401  (fills the table)
from rule import GATES, NOTES, RULES, name_of, reply


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    name = name_of(scope)
    if name in ("notes", "go"):
        rule = scope["path"].split("/")[-1]
        if name == "go":
            GATES.setdefault(rule, asyncio.Event()).set()
        return await reply(send, NOTES.get(rule, []))
    if name not in RULES:
        return await reply(send, b"no such rule", 404)
    await RULES[name].app(scope, receive, send)


#: The same under TLS, for the server that speaks either or.
app_tls = app


async def lifespan(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if "state" in scope:
                scope["state"].update(number=7, shared=[])
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
