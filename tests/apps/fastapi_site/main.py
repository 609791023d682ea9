"""The building blocks of FastAPI's tutorial."""

import contextlib
import sys
import threading
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Form, Header, HTTPException, Request, UploadFile, WebSocket
from pydantic import BaseModel, Field


@contextlib.asynccontextmanager
async def lifespan(app):
    print("startup", flush=True)
    yield {"store": {1: {"name": "lamp", "price": 9.5}}}
    print("shutdown", flush=True)


app = FastAPI(lifespan=lifespan)
meeting = threading.Barrier(2, timeout=20)
tasks_done = []


class Item(BaseModel):
    name: str
    price: Annotated[float, Field(gt=0)]
    tags: list[str] = []


def user(x_token: Annotated[str, Header()]):
    if x_token != "secret":
        raise HTTPException(401, "unknown token")
    return {"name": "ada"}


@app.get("/version")
async def version():
    return {"version": "%d.%d" % sys.version_info[:2]}


@app.get("/items/{number}")
async def read_item(number: int, request: Request):
    try:
        return request.state.store[number]
    except KeyError:
        raise HTTPException(404, "no such item") from None


@app.put("/items/{number}")
async def write_item(number: int, item: Item, request: Request):
    request.state.store[number] = item.model_dump()
    return {"number": number, **item.model_dump()}


@app.get("/me")
async def me(user: Annotated[dict, Depends(user)]):
    return user


@app.get("/meet")
def meet():
    """Two of these must block at the same time, which only threads can."""
    return {"place": meeting.wait(), "main": threading.current_thread() is threading.main_thread()}


@app.post("/upload")
async def upload(file: UploadFile, note: Annotated[str, Form()]):
    return {"name": file.filename, "type": file.content_type, "size": len(await file.read()), "note": note}


@app.post("/later")
async def later(tasks: BackgroundTasks):
    tasks.add_task(tasks_done.append, "done")
    return {"accepted": True}


@app.get("/later")
async def was_done():
    return tasks_done


@app.websocket("/ws")
async def websocket(websocket: WebSocket, name: str):
    await websocket.accept()
    while True:
        question = await websocket.receive_json()
        await websocket.send_json({"to": name, "sum": sum(question)})
