//! `wsgi.input`: the request's body, from the frame it came in, from a file, or from a file that is mapped.

use pyo3::{
    exceptions::{PyOSError, PyRuntimeError},
    prelude::*,
    types::{PyBytes, PyList},
};
use rustix::io::Errno;
use shm::Shared;

use crate::{engine::body_file::BodyFile, ffi::bytes::copied};

/// Bytes read from the file at once for lines and small reads.
const BLOCK: usize = 64 << 10;

/// The body. It is whole when the request starts, so reading never waits for the client.
#[pyclass(module = "appliance_worker")]
#[derive(Debug)]
pub(crate) struct Input {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// In memory, from `at` on.
    Memory { bytes: Vec<u8>, at: usize },
    /// In a file.
    File {
        file: BodyFile,
        /// Where the block was read from; the position, where the file is mapped and no block is needed.
        offset: u64,
        /// Length of the body.
        len: u64,
        block: Vec<u8>,
        /// Position in the block.
        at: usize,
    },
}

impl Input {
    /// Without a body; shared by all such requests.
    pub(crate) fn empty() -> Self {
        Self::memory(Vec::new(), 0)
    }

    /// `bytes` from `at` on.
    pub(crate) fn memory(bytes: Vec<u8>, at: usize) -> Self {
        Self {
            source: Source::Memory { bytes, at },
        }
    }

    /// The first `len` bytes of a file.
    pub(crate) fn file(file: BodyFile, len: u64) -> Self {
        Self {
            source: Source::File {
                file,
                offset: 0,
                len,
                block: Vec::new(),
                at: 0,
            },
        }
    }

    /// Bytes not read yet.
    fn left(&self) -> u64 {
        match &self.source {
            Source::Memory { bytes, at } => (bytes.len() - at) as u64,
            Source::File { offset, len, at, .. } => len.saturating_sub(offset + *at as u64),
        }
    }

    /// All that has not been read yet, where it is in memory.
    fn rest(&self) -> Option<Shared<'_>> {
        match &self.source {
            Source::Memory { bytes, at } => bytes.get(*at..).map(Shared::from),
            Source::File {
                file, offset, len, ..
            } => file.rest(*offset, *len),
        }
    }

    /// Once all has been read, memory is given back, and a file that was lent: an application may keep the environ for long.
    fn settle(&mut self) {
        if self.left() == 0 {
            self.source = Source::Memory {
                bytes: Vec::new(),
                at: 0,
            };
        }
    }

    /// At most `size` bytes.
    fn take<'py>(&mut self, py: Python<'py>, size: u64) -> PyResult<Bound<'py, PyBytes>> {
        let size = usize::try_from(size.min(self.left()))?;
        if let Some(taken) = self.rest().and_then(|rest| rest.get(..size)) {
            let taken = copied(py, taken)?;
            match &mut self.source {
                Source::Memory { at, .. } => *at += size,
                Source::File { offset, .. } => *offset += size as u64,
            }
            self.settle();
            return Ok(taken);
        }
        let Source::File {
            file,
            offset,
            block,
            at,
            ..
        } = &mut self.source
        else {
            return Err(changed());
        };
        if size > block.len() - *at && size < BLOCK {
            fill(py, file, offset, block, at)?;
        }
        let ready = size.min(block.len() - *at);
        let taken = PyBytes::new_with(py, size, |out| {
            let (head, rest) = out.split_at_mut(ready);
            head.copy_from_slice(&block[*at..*at + ready]);
            *at += ready;
            if !rest.is_empty() {
                // The block is used up; what follows is read straight into the result.
                *offset += *at as u64;
                block.clear();
                *at = 0;
                let file = &*file;
                let from = *offset;
                py.detach(|| read_exactly(file, rest, from)).map_err(os_error)?;
                *offset += rest.len() as u64;
            }
            Ok(())
        });
        self.settle();
        taken
    }

    /// The next line with its end, at most `size` bytes of it.
    fn line<'py>(&mut self, py: Python<'py>, size: u64) -> PyResult<Bound<'py, PyBytes>> {
        if let Some(rest) = self.rest() {
            let len = rest.find(b'\n').map_or(rest.len(), |end| end + 1);
            return self.take(py, size.min(len as u64));
        }
        let mut line = Vec::new();
        loop {
            let wanted = size - line.len() as u64;
            if wanted == 0 || self.left() == 0 {
                break;
            }
            let Source::File {
                file,
                offset,
                block,
                at,
                ..
            } = &mut self.source
            else {
                return Err(changed());
            };
            if *at == block.len() {
                fill(py, file, offset, block, at)?;
            }
            let rest = &block[*at..];
            let rest = &rest[..rest.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))];
            let end = memchr::memchr(b'\n', rest);
            let len = end.map_or(rest.len(), |end| end + 1);
            line.extend_from_slice(&rest[..len]);
            *at += len;
            if end.is_some() {
                break;
            }
        }
        self.settle();
        copied(py, line.as_slice())
    }
}

/// Reads the block that begins at the current position. The file holds the whole body, so it is never empty when bytes are left.
fn fill(
    py: Python<'_>,
    file: &BodyFile,
    offset: &mut u64,
    block: &mut Vec<u8>,
    at: &mut usize,
) -> PyResult<()> {
    *offset += *at as u64;
    *at = 0;
    block.resize(BLOCK, 0);
    let from = *offset;
    let read = py.detach(|| read_some(file, block, from)).map_err(os_error);
    block.truncate(*read.as_ref().unwrap_or(&0));
    match read {
        Ok(0) => Err(short()),
        read => read.map(|_| ()),
    }
}

fn read_some(file: &BodyFile, out: &mut [u8], from: u64) -> Result<usize, Errno> {
    loop {
        match rustix::io::pread(file, &mut *out, from) {
            Err(Errno::INTR) => {}
            read => return read,
        }
    }
}

fn read_exactly(file: &BodyFile, mut out: &mut [u8], mut from: u64) -> Result<(), Errno> {
    while !out.is_empty() {
        match read_some(file, out, from)? {
            0 => return Err(Errno::IO),
            read => {
                out = &mut out[read..];
                from += read as u64;
            }
        }
    }
    Ok(())
}

fn os_error(error: Errno) -> PyErr {
    PyOSError::new_err((
        error.raw_os_error(),
        format!("reading the request's body: {error}"),
    ))
}

fn changed() -> PyErr {
    PyRuntimeError::new_err("wsgi.input has changed its source")
}

fn short() -> PyErr {
    os_error(Errno::IO)
}

/// What `size` means: nothing, None and negative numbers are "all".
fn wanted(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX)
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.take(py, wanted(size))
    }

    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.line(py, wanted(size))
    }

    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(&mut self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        let enough = hint.filter(|&hint| hint > 0).map_or(u64::MAX, i64::unsigned_abs);
        let mut read = 0;
        while read < enough {
            let line = self.line(py, u64::MAX)?;
            if line.as_bytes().is_empty() {
                break;
            }
            read += line.as_bytes().len() as u64;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.line(py, u64::MAX)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}
