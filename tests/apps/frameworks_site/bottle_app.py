import hashlib
import os

from bottle import Bottle, redirect, request, response, static_file

app = Bottle()


@app.get("/hello/<name>")
def hello(name):
    response.set_cookie("seen", "yes", path="/")
    return {"hello": request.params.decode().get("q"), "name": name, "seen": request.get_cookie("seen")}


@app.post("/json")
def json():
    return request.json


@app.post("/form")
def form():
    file = request.files.file
    data = file.file.read()
    return {"note": request.forms.note, "name": file.raw_filename, "sha256": hashlib.sha256(data).hexdigest()}


@app.get("/away")
def away():
    redirect("hello/there")


@app.get("/parts")
def parts():
    response.content_type = "text/plain"
    return (f"part {number}\n" for number in range(3))


@app.get("/file")
def file():
    return static_file("note.txt", root=os.path.dirname(__file__))
