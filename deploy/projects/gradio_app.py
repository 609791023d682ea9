"""A page of Gradio: a text that goes there and back, an answer that comes in steps, a file."""

import os
import time

import gradio as gr
from fastapi import FastAPI


def steps(name):
    for number in range(1, 4):
        time.sleep(0.2)
        yield f"step {number} for {name}"


with gr.Blocks() as page:
    name = gr.Textbox(label="Name")
    greeting = gr.Textbox(label="Greeting")
    gr.Button("Greet").click(lambda name: f"Hello {name}", name, greeting)
    gr.Button("Steps").click(steps, name, greeting)
    file = gr.File(label="File")
    size = gr.Textbox(label="Size")
    file.upload(lambda path: f"{os.path.getsize(path)} bytes", file, size)

app = gr.mount_gradio_app(FastAPI(), page, path="/")
