//! A file as the body of an answer, or as a part of it: opened or duplicated here, with the application's
//! rights, and read by the proxy. What has to be read to know how long it is, is read here.

use std::os::fd::OwnedFd;

use pyo3::{exceptions::PyOSError, intern, prelude::*, types::PyBytes};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use wire::frame::FileRange;

use super::{
    channel::broken,
    event::{Event, bytes},
};
use crate::{ffi::descriptors, wsgi::file_wrapper::Size};

/// Most bytes that are read here. Such files of the kernel's are small.
const READ_MAX: usize = 16 << 20;

/// What an event brings.
#[derive(Debug)]
pub(crate) enum FileBody<'py> {
    File(OwnedFd, FileRange),
    Read(Bound<'py, PyBytes>),
}

impl<'py> FileBody<'py> {
    /// Of an `http.response.pathsend`.
    pub(crate) fn by_path(py: Python<'py>, event: &Event<'py>) -> PyResult<Self> {
        let path = event.required(intern!(py, "path"))?;
        let path = py.import("os")?.call_method1("fsencode", (path,))?;
        let path = bytes(&path)?;
        let name = String::from_utf8_lossy(path.as_bytes());
        let failed = |error: Errno| {
            PyOSError::new_err((
                error.raw_os_error(),
                format!("http.response.pathsend: {error}"),
                name.clone().into_owned(),
            ))
        };
        // A FIFO would wait for somebody who writes.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path.as_bytes(), flags, Mode::empty()).map_err(failed)?;
        match Size::of(&file) {
            Some(Size::Known(len)) => Ok(Self::File(file, FileRange { offset: 0, len })),
            Some(Size::Unknown) => {
                let bytes = read(&file, 0, None).map_err(failed)?;
                Ok(Self::Read(PyBytes::new(py, &bytes)))
            }
            None => Err(broken(format!("http.response.pathsend: {name} is not a file"))),
        }
    }

    /// Of an `http.response.zerocopysend`, whose descriptor is the application's.
    pub(crate) fn by_descriptor(py: Python<'py>, event: &Event<'py>) -> PyResult<Self> {
        let file = event.required(intern!(py, "file"))?;
        let number: i32 = match file.extract() {
            Ok(number) => number,
            Err(_) => file.call_method0(intern!(py, "fileno"))?.extract()?,
        };
        let file = descriptors::with_number(number, |file| rustix::io::fcntl_dupfd_cloexec(file, 5).ok())
            .flatten()
            .ok_or_else(|| {
                broken(format!(
                    "http.response.zerocopysend: descriptor {number} is not open"
                ))
            })?;
        let size = Size::of(&file).ok_or_else(|| {
            broken(format!(
                "http.response.zerocopysend: descriptor {number} is not a file"
            ))
        })?;
        let offset = match event.integer(intern!(py, "offset"))? {
            Some(offset) => offset,
            None => rustix::fs::tell(&file).unwrap_or(0),
        };
        let count = event.integer(intern!(py, "count"))?;
        match size {
            Size::Known(size) => {
                let rest = size.saturating_sub(offset);
                let len = count.map_or(rest, |count| count.min(rest));
                Ok(Self::File(file, FileRange { offset, len }))
            }
            Size::Unknown => {
                let bytes = read(&file, offset, count).map_err(|error| {
                    PyOSError::new_err((
                        error.raw_os_error(),
                        format!("http.response.zerocopysend: {error}"),
                    ))
                })?;
                Ok(Self::Read(PyBytes::new(py, &bytes)))
            }
        }
    }
}

/// What a file holds from a position on, or so many bytes of it.
fn read(file: &OwnedFd, mut from: u64, count: Option<u64>) -> Result<Vec<u8>, Errno> {
    const PIECE: usize = 64 << 10;
    let wanted = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut all = Vec::new();
    while all.len() < wanted {
        let at = all.len();
        if at >= READ_MAX {
            return Err(Errno::FBIG);
        }
        all.resize(wanted.min(at + PIECE), 0);
        let got = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut all[at..], from))?;
        all.truncate(at + got);
        from += got as u64;
        if got == 0 {
            break;
        }
    }
    Ok(all)
}
