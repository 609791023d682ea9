//! The body of a request, as `receive` hands it out.

use std::collections::VecDeque;

use pyo3::{exceptions::PyOSError, prelude::*, types::PyBytes};
use rustix::io::Errno;

use crate::{engine::body_file::BodyFile, ffi::bytes::copied};

/// Bytes of a file that are handed out at once.
const PIECE: u64 = 64 << 10;

/// A body, or what is left of it.
#[derive(Debug)]
pub(crate) enum Body {
    /// Nothing was handed out yet; all of it came with the request, from this position of its payload on.
    Whole(usize),
    /// In a file.
    File { file: BodyFile, at: u64, len: u64 },
    /// Still arriving.
    Streamed {
        /// What has come, and whether it counts against the window.
        parts: VecDeque<(Vec<u8>, bool)>,
        ended: bool,
        /// The proxy knows that the application wants it.
        asked: bool,
    },
    /// All has been handed out.
    Read,
}

/// A piece of it.
#[derive(Debug)]
pub(crate) struct Piece<'py> {
    pub(crate) bytes: Bound<'py, PyBytes>,
    /// There is more of it.
    pub(crate) more: bool,
    /// Bytes that the proxy may send in its place.
    pub(crate) credit: u32,
}

impl Body {
    /// More has come. `false`: nothing was expected.
    pub(crate) fn arrive(&mut self, bytes: Vec<u8>, last: bool) -> bool {
        let Self::Streamed { parts, ended, .. } = self else {
            return false;
        };
        if !bytes.is_empty() {
            parts.push_back((bytes, true));
        }
        *ended |= last;
        true
    }

    /// The application waits for more of it. `true`: the proxy has to hear that, since the client may wait to
    /// be asked to send.
    pub(crate) fn ask(&mut self) -> bool {
        match self {
            Self::Streamed { asked, .. } => !std::mem::replace(asked, true),
            _ => false,
        }
    }

    /// The next piece. `None`: it has not come yet, or there is none.
    pub(crate) fn next<'py>(&mut self, py: Python<'py>, payload: &[u8]) -> PyResult<Option<Piece<'py>>> {
        match self {
            Self::Whole(at) => {
                let bytes = PyBytes::new(py, payload.get(*at..).unwrap_or_default());
                *self = Self::Read;
                Ok(Some(Piece {
                    bytes,
                    more: false,
                    credit: 0,
                }))
            }
            Self::File { file, at, len } => {
                let size = usize::try_from((*len - *at).min(PIECE)).unwrap_or(0);
                let bytes = match file.rest(*at, *len).and_then(|rest| rest.get(..size)) {
                    Some(piece) => copied(py, piece)?,
                    None => {
                        PyBytes::new_with(py, size, |out| read_exactly(file, out, *at).map_err(os_error))?
                    }
                };
                *at += size as u64;
                let more = *at < *len;
                if !more {
                    *self = Self::Read;
                }
                Ok(Some(Piece {
                    bytes,
                    more,
                    credit: 0,
                }))
            }
            Self::Streamed { parts, ended, .. } => {
                let (bytes, counts) = match parts.pop_front() {
                    Some(part) => part,
                    None if *ended => (Vec::new(), false),
                    None => return Ok(None),
                };
                let more = !(*ended && parts.is_empty());
                if !more {
                    *self = Self::Read;
                }
                let credit = if counts && more { bytes.len() } else { 0 };
                Ok(Some(Piece {
                    bytes: PyBytes::new(py, &bytes),
                    more,
                    credit: u32::try_from(credit).unwrap_or(0),
                }))
            }
            Self::Read => Ok(None),
        }
    }
}

/// The file holds the whole body, so its end before that is an error.
fn read_exactly(file: &BodyFile, mut out: &mut [u8], mut from: u64) -> Result<(), Errno> {
    while !out.is_empty() {
        match rustix::io::pread(file, &mut *out, from) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => {
                out = &mut out[read..];
                from += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
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
