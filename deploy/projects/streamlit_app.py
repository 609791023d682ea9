"""A page of Streamlit: a counter that lives on the server, and an upload."""

import streamlit as st

st.session_state.setdefault("count", 0)
if st.button("Click"):
    st.session_state.count += 1
st.write(f"clicked {st.session_state.count} times")
file = st.file_uploader("File")
st.write(f"{len(file.getvalue())} bytes" if file else "no file")
