import hashlib
import os

import falcon

HERE = os.path.dirname(__file__)


class Hello:
    def on_get(self, req, resp, name):
        resp.set_cookie("seen", "yes", path="/", secure=False)
        resp.media = {"hello": req.get_param("q"), "name": name, "seen": (req.get_cookie_values("seen") or [None])[0]}


class Json:
    def on_post(self, req, resp):
        resp.media = req.get_media()


class Form:
    def on_post(self, req, resp):
        told = {}
        for part in req.get_media():
            if part.name == "file":
                told["name"], told["sha256"] = part.filename, hashlib.sha256(part.stream.read()).hexdigest()
            else:
                told[part.name] = part.text
        resp.media = told


class Away:
    def on_get(self, req, resp):
        raise falcon.HTTPFound(req.prefix + "/hello/there")


class Parts:
    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (b"part %d\n" % number for number in range(3))


class File:
    def on_get(self, req, resp):
        path = os.path.join(HERE, "note.txt")
        resp.content_type = falcon.MEDIA_TEXT
        resp.set_stream(open(path, "rb"), os.path.getsize(path))


app = falcon.App()
for path, resource in [
    ("/hello/{name}", Hello()),
    ("/json", Json()),
    ("/form", Form()),
    ("/away", Away()),
    ("/parts", Parts()),
    ("/file", File()),
]:
    app.add_route(path, resource)
