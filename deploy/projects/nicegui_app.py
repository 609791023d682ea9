"""A page of NiceGUI: a counter that lives on the server, and an upload."""

from fastapi import FastAPI
from nicegui import ui


@ui.page("/")
def index():
    count = {"n": 0}

    def more():
        count["n"] += 1
        label.text = f"clicked {count['n']} times"

    async def uploaded(event):
        size.text = f"{len(await event.file.read())} bytes"

    label = ui.label("clicked 0 times")
    ui.button("Click", on_click=more)
    size = ui.label("no file")
    ui.upload(on_upload=uploaded, auto_upload=True)


app = FastAPI()
ui.run_with(app)
