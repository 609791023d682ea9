"""A page of Reflex: a counter that lives on the server, a task that goes on behind it, and an upload."""

import asyncio

import reflex as rx


class State(rx.State):
    count: int = 0
    uploaded: str = "no file"

    @rx.event
    def more(self):
        self.count += 1

    @rx.event(background=True)
    async def later(self):
        for _ in range(3):
            await asyncio.sleep(0.1)
            async with self:
                self.count += 10

    @rx.event
    async def take(self, files: list[rx.UploadFile]):
        for file in files:
            self.uploaded = f"{len(await file.read())} bytes"


def index():
    return rx.vstack(
        rx.text(f"clicked {State.count} times"),
        rx.button("Click", on_click=State.more),
        rx.button("Later", on_click=State.later),
        rx.upload(rx.text("a file"), id="files"),
        rx.button("Send", on_click=State.take(rx.upload_files(upload_id="files"))),
        rx.text(State.uploaded),
    )


app = rx.App()
app.add_page(index)
