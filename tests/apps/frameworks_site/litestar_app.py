import hashlib
import os
from typing import Annotated, Any

from litestar import Litestar, Request, get, post, websocket_listener
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import File, Redirect, Response, Stream


@get("/hello/{who:str}", name="hello")
async def hello(request: Request, who: str, q: str = "") -> Response[dict]:
    answer = Response({"hello": q, "name": who, "seen": request.cookies.get("seen")})
    answer.set_cookie("seen", "yes")
    return answer


@post("/json", status_code=200)
async def json(data: dict[str, Any]) -> dict[str, Any]:
    return data


@post("/form", status_code=200)
async def form(data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)]) -> dict:
    file: UploadFile = data["file"]
    return {"note": data["note"], "name": file.filename, "sha256": hashlib.sha256(await file.read()).hexdigest()}


@get("/away", status_code=302)
async def away(request: Request) -> Redirect:
    return Redirect(str(request.url_for("hello", who="there")), status_code=302)


@get("/parts")
async def parts() -> Stream:
    async def parts():
        for number in range(3):
            yield b"part %d\n" % number

    return Stream(parts(), media_type="text/plain")


@get("/file")
async def file() -> File:
    return File(os.path.join(os.path.dirname(__file__), "note.txt"), media_type="text/plain")


@websocket_listener("/talk")
async def talk(data: str) -> str:
    return "you said " + data


app = Litestar([hello, json, form, away, parts, file, talk])
