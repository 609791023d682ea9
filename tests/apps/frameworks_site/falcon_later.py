import hashlib
import os

import falcon.asgi

HERE = os.path.dirname(__file__)


class Hello:
    async def on_get(self, req, resp, name):
        resp.set_cookie("seen", "yes", path="/", secure=False)
        resp.media = {"hello": req.get_param("q"), "name": name, "seen": (req.get_cookie_values("seen") or [None])[0]}


class Json:
    async def on_post(self, req, resp):
        resp.media = await req.get_media()


class Form:
    async def on_post(self, req, resp):
        told = {}
        async for part in await req.get_media():
            if part.name == "file":
                told["name"], told["sha256"] = part.filename, hashlib.sha256(await part.stream.read()).hexdigest()
            else:
                told[part.name] = await part.text
        resp.media = told


class Away:
    async def on_get(self, req, resp):
        raise falcon.HTTPFound(req.prefix + "/hello/there")


class Parts:
    async def on_get(self, req, resp):
        async def parts():
            for number in range(3):
                yield b"part %d\n" % number

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = parts()


class File:
    async def on_get(self, req, resp):
        path = os.path.join(HERE, "note.txt")
        resp.content_type = falcon.MEDIA_TEXT
        with open(path, "rb") as file:
            resp.data = file.read()


class Talk:
    async def on_websocket(self, req, ws):
        await ws.accept()
        while True:
            await ws.send_text("you said " + await ws.receive_text())


app = falcon.asgi.App()
for path, resource in [
    ("/hello/{name}", Hello()),
    ("/json", Json()),
    ("/form", Form()),
    ("/away", Away()),
    ("/parts", Parts()),
    ("/file", File()),
    ("/talk", Talk()),
]:
    app.add_route(path, resource)
