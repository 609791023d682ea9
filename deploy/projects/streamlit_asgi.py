"""The same page of Streamlit, run in a worker instead of a server of its own."""

from streamlit.starlette import App

app = App("streamlit_app.py")
