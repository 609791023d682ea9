//! Standard output and error of the application: whole lines, each with the id of the request that wrote it.
//!
//! The supervisor reads both from pipes. A line starts with `0x1e ID 0x1f` (the id is empty outside of
//! requests); the supervisor takes that off and logs the line with the request's id. Lines are put together
//! per thread, so that two threads never mix in one line, and leave in pieces of at most `PIPE_BUF` bytes,
//! which the kernel writes whole: of a longer line, or one that is flushed, each piece names the thread,
//! `0x1e ID 0x1d THREAD 0x1f`, and the last one has another `0x1d` before the `0x1f`. A line that is an error
//! of the log has `0x1c` before the id. What programs that the application starts and C code write to
//! descriptors 1 and 2 goes straight through.
//!
//! Where one thread runs many requests at the same time, the id follows the task and not the thread: a context variable holds it
//! ([`Id`]), which tasks and threads that a request starts inherit.
//!
//! Python sees an ordinary `io.TextIOWrapper`; what is ours is the binary stream below it.

use std::cell::RefCell;

use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict},
};
use rustix::{io::Errno, pipe::PIPE_BUF};

/// Longest request id that is carried.
const ID_MAX: usize = 128;

/// Longest mark but for the id: five bytes, the number of a thread, and the line's end.
const MARK_MAX: usize = 5 + 20 + 1;

/// Stands before the id of a line that is an error.
const ERROR: u8 = 0x1c;

/// Longest line that waits for its end; a longer one is written in parts.
const LINE_MAX: usize = 64 << 10;

/// What one thread has begun.
#[derive(Default)]
struct Desk {
    /// Id of its request; empty outside of one.
    id: Vec<u8>,
    /// Lines without their end, of standard output and of standard error.
    open: [Open; 2],
}

/// A line without its end.
#[derive(Default)]
struct Open {
    text: Vec<u8>,
    /// What came before that text has been written.
    begun: bool,
}

impl Open {
    /// Ends it where it is, if there is one.
    fn end(&mut self, id: &[u8]) -> Vec<u8> {
        if self.text.is_empty() && !self.begun {
            return Vec::new();
        }
        self.text.push(b'\n');
        self.take(id)
    }

    /// The whole lines that its text is.
    fn take(&mut self, id: &[u8]) -> Vec<u8> {
        let pieces = lines(At::Info, id, std::mem::take(&mut self.begun), &self.text);
        self.text.clear();
        pieces
    }
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// From here on this thread's lines belong to a request.
#[inline]
pub(crate) fn begin(request_id: &[u8]) {
    DESK.with_borrow_mut(|desk| {
        desk.id.clear();
        if request_id.len() <= ID_MAX && request_id.iter().all(u8::is_ascii_graphic) {
            desk.id.extend_from_slice(request_id);
        }
    });
}

/// The request of this thread is over: lines without an end are ended.
#[inline]
pub(crate) fn end(py: Python<'_>) {
    let left = DESK.with_borrow_mut(|desk| {
        let mut left = [Vec::new(), Vec::new()];
        for (open, pieces) in desk.open.iter_mut().zip(&mut left) {
            *pieces = open.end(&desk.id);
        }
        desk.id.clear();
        left
    });
    for (pieces, number) in left.iter().zip(1..) {
        write_out(py, number, pieces);
    }
}

/// The context variable with the id of the request that the current task works for.
static ID: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The id of the running request as a context variable; for hosts whose requests share a thread.
#[derive(Debug)]
pub(crate) struct Id {
    set: Py<PyAny>,
}

impl Id {
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let variable = py
            .import("contextvars")?
            .call_method1("ContextVar", ("appliance_request_id",))?;
        let set = variable.getattr("set")?.unbind();
        let _ = ID.set(py, variable.unbind());
        Ok(Self { set })
    }

    /// What is started from here on works for this request; empty: for none.
    #[inline]
    pub(crate) fn set(&self, py: Python<'_>, request_id: &[u8]) {
        let _ = self.set.bind(py).call1((PyBytes::new(py, request_id),));
    }
}

/// This thread's next lines belong to the request of the current task.
fn adopt(py: Python<'_>) {
    let Some(variable) = ID.get(py) else { return };
    let Ok(id) = variable.bind(py).call_method1(intern!(py, "get"), (py.None(),)) else {
        return;
    };
    match id.cast::<PyBytes>() {
        Ok(id) => switch(py, id.as_bytes()),
        Err(_) => switch(py, b""),
    }
}

/// As [`begin`], but ends the lines of another request first.
fn switch(py: Python<'_>, request_id: &[u8]) {
    let same = DESK.with_borrow(|desk| desk.id == request_id);
    if !same {
        end(py);
        begin(request_id);
    }
}

/// As [`tell`], for a request.
pub(crate) fn tell_of(py: Python<'_>, request_id: &[u8], text: &str) {
    switch(py, request_id);
    tell(py, text);
    end(py);
}

/// As [`fail`], for a request.
pub(crate) fn fail_of(py: Python<'_>, request_id: &[u8], text: &str) {
    switch(py, request_id);
    fail(py, text);
    end(py);
}

/// Writes a text of ours to standard error whose first line is an error of the log: that one line has to say
/// by itself what failed. The others are for whoever reads on.
pub(crate) fn fail(py: Python<'_>, text: &str) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let pieces = DESK.with_borrow_mut(|desk| {
        let Desk { id, open: [_, open] } = desk;
        let mut pieces = open.end(id);
        pieces.extend(lines(At::Error, id, false, first.as_bytes()));
        pieces
    });
    write_out(py, 2, &pieces);
    if !rest.is_empty() {
        tell(py, rest);
    }
}

/// Writes a text of ours to standard error, as if the application had printed it.
pub(crate) fn tell(py: Python<'_>, text: &str) {
    put(py, 2, text.as_bytes());
    if !text.ends_with('\n') {
        put(py, 2, b"\n");
    }
}

/// Forgets what was begun; for a new process, whose parent still has it.
pub(crate) fn forget() {
    DESK.with_borrow_mut(|desk| *desk = Desk::default());
}

/// Takes bytes, writes the lines that are whole now.
fn put(py: Python<'_>, number: usize, bytes: &[u8]) {
    let pieces = DESK.with_borrow_mut(|desk| {
        let Desk { id, open } = desk;
        let open = &mut open[usize::from(number == 2)];
        open.text.extend_from_slice(bytes);
        match memchr::memrchr(b'\n', &open.text) {
            Some(last) => {
                let rest = open.text.split_off(last + 1);
                let pieces = open.take(id);
                open.text = rest;
                pieces
            }
            None if open.text.len() > LINE_MAX => open.end(id),
            None => Vec::new(),
        }
    });
    write_out(py, number, &pieces);
}

/// A flush writes what a line has so far, which may be the last that the worker says. In a request it is a
/// part of that line: the supervisor puts it together with the rest.
fn flush(py: Python<'_>, number: usize) {
    let piece = DESK.with_borrow_mut(|desk| {
        let Desk { id, open } = desk;
        let open = &mut open[usize::from(number == 2)];
        let text = std::mem::take(&mut open.text);
        if id.is_empty() || text.is_empty() {
            return text;
        }
        open.begun = true;
        parts(id, &text)
    });
    write_out(py, number, &piece);
}

/// The level of a line.
#[derive(Debug, Clone, Copy)]
enum At {
    Info,
    Error,
}

/// Each line of `text` behind its mark; long ones in pieces that fit in one atomic write each. `begun`:
/// pieces of the first one have been written.
fn lines(at: At, id: &[u8], mut begun: bool, text: &[u8]) -> Vec<u8> {
    let room = room(id);
    let mut out = Vec::with_capacity(text.len() + 2 * (id.len() + 3));
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
        let in_parts = std::mem::take(&mut begun) || rest.len() > room;
        while rest.len() > room {
            let (piece, behind) = rest.split_at(room);
            push(&mut out, at, id, Part::GoesOn, piece);
            rest = behind;
        }
        let part = if in_parts { Part::Last } else { Part::Whole };
        push(&mut out, at, id, part, rest);
    }
    out
}

/// The beginning of a line, or its middle, in such pieces.
fn parts(id: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + id.len() + MARK_MAX);
    for piece in text.chunks(room(id)) {
        push(&mut out, At::Info, id, Part::GoesOn, piece);
    }
    out
}

/// Bytes of a piece, beside its mark.
fn room(id: &[u8]) -> usize {
    PIPE_BUF - id.len() - MARK_MAX
}

/// What a piece is of its line.
#[derive(Debug, Clone, Copy)]
enum Part {
    Whole,
    GoesOn,
    Last,
}

fn push(out: &mut Vec<u8>, at: At, id: &[u8], part: Part, text: &[u8]) {
    out.extend_from_slice(match at {
        At::Info => &[0x1e],
        At::Error => &[0x1e, ERROR],
    });
    out.extend_from_slice(id);
    if !matches!(part, Part::Whole) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().to_string();
        out.push(0x1d);
        out.extend_from_slice(thread.as_bytes());
    }
    if matches!(part, Part::Last) {
        out.push(0x1d);
    }
    out.push(0x1f);
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Writes everything, in pieces of whole lines of at most `PIPE_BUF` bytes where lines are that short. The GIL is released:
/// a pipe can be full.
fn write_out(py: Python<'_>, number: usize, mut bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    py.detach(|| {
        let stream = if number == 1 {
            rustix::stdio::stdout()
        } else {
            rustix::stdio::stderr()
        };
        while !bytes.is_empty() {
            let len = match bytes.get(..PIPE_BUF) {
                None => bytes.len(),
                Some(piece) => memchr::memrchr(b'\n', piece).map_or(PIPE_BUF, |last| last + 1),
            };
            match rustix::io::write(stream, &bytes[..len]) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                // Nobody reads any more, so there is nobody to tell either.
                Err(_) => return,
            }
        }
    });
}

/// The binary stream below `sys.stdout` (1) or `sys.stderr` (2).
#[pyclass(frozen, module = "appliance_worker")]
pub(crate) struct Lines {
    number: usize,
}

#[pymethods]
impl Lines {
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = data.py();
        let copy;
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes,
            Err(_) => {
                // A bytearray, a memoryview: rare, and the buffer protocol is not in the stable ABI of 3.9.
                copy = py.get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?;
                &copy
            }
        };
        adopt(py);
        put(py, self.number, bytes.as_bytes());
        Ok(bytes.as_bytes().len())
    }

    fn flush(&self, py: Python<'_>) {
        flush(py, self.number);
    }

    /// Nothing is closed: the descriptor belongs to the process.
    fn close(&self, py: Python<'_>) {
        flush(py, self.number);
    }

    fn fileno(&self) -> usize {
        self.number
    }

    fn isatty(&self) -> bool {
        false
    }

    fn readable(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    #[getter]
    fn closed(&self) -> bool {
        false
    }

    #[getter]
    fn mode(&self) -> &'static str {
        "wb"
    }

    #[getter]
    fn name(&self) -> &'static str {
        if self.number == 1 { "<stdout>" } else { "<stderr>" }
    }
}

/// Puts our streams in the place of `sys.stdout` and `sys.stderr`. Before the application is imported: logging's handlers keep
/// what they find then.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let wrapper = py.import("io")?.getattr("TextIOWrapper")?;
    for (number, names) in [(1, ["stdout", "__stdout__"]), (2, ["stderr", "__stderr__"])] {
        let options = PyDict::new(py);
        options.set_item("encoding", "utf-8")?;
        options.set_item("errors", "backslashreplace")?;
        options.set_item("newline", "\n")?;
        options.set_item("line_buffering", true)?;
        options.set_item("write_through", true)?;
        let stream = wrapper.call((Bound::new(py, Lines { number })?,), Some(&options))?;
        for name in names {
            sys.setattr(name, &stream)?;
        }
    }
    Ok(())
}
