"""FastAPI that answers with JSON."""

from fastapi import FastAPI

application = FastAPI()


@application.get("/")
async def home(name: str = "world"):
    return {"hello": name, "numbers": [1, 2, 3]}
