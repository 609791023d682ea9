import hashlib
import os

from sanic import Sanic, response

app = Sanic("site")


@app.get("/hello/<name>", unquote=True)
async def hello(request, name):
    answer = response.json({"hello": request.args.get("q"), "name": name, "seen": request.cookies.get("seen")})
    answer.add_cookie("seen", "yes", secure=False)
    return answer


@app.post("/json")
async def json(request):
    return response.json(request.json)


@app.post("/form")
async def form(request):
    file = request.files.get("file")
    digest = hashlib.sha256(file.body).hexdigest()
    return response.json({"note": request.form.get("note"), "name": file.name, "sha256": digest})


@app.get("/away")
async def away(request):
    return response.redirect(app.url_for("hello", name="there"))


@app.get("/parts")
async def parts(request):
    answer = await request.respond(content_type="text/plain")
    for number in range(3):
        await answer.send(f"part {number}\n")
    await answer.eof()


@app.get("/file")
async def file(request):
    return await response.file(os.path.join(os.path.dirname(__file__), "note.txt"))


@app.websocket("/talk")
async def talk(request, ws):
    while (text := await ws.recv()) is not None:
        await ws.send("you said " + text)
