//! `wsgi.file_wrapper`: an open file as the answer. A real file goes to the proxy as a descriptor and is never read here.

use std::os::fd::{AsFd, OwnedFd};

use pyo3::{
    intern,
    prelude::*,
    types::{PyBytes, PyInt},
};
use rustix::fs::FileType;
use wire::file_system;

use crate::ffi::descriptors;

/// What the application returns.
#[pyclass(module = "appliance_worker")]
pub(crate) struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: isize,
}

/// How long a regular file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Known(u64),
    /// It has to be read: what the kernel makes up while it is read (/proc, /sys) says that it has no bytes,
    /// or a page of them, and has no blocks.
    Unknown,
}

impl Size {
    /// `None`: it is no regular file.
    pub(crate) fn of(file: impl AsFd) -> Option<Self> {
        const PAGE: u64 = 4096;
        let stat = rustix::fs::fstat(file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let size = u64::try_from(stat.st_size).ok()?;
        let made_up = size == 0 || size <= PAGE && stat.st_blocks == 0;
        Some(if made_up { Self::Unknown } else { Self::Known(size) })
    }
}

/// Can the proxy read it without waiting for somebody else? What it cannot is read here.
pub(crate) fn answers_at_once(file: impl AsFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|of| file_system::answers_at_once(of.f_type as u32))
}

/// A regular file from its current position on.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: OwnedFd,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl FileWrapper {
    /// The file behind it, when it is one that the kernel can read for us; else it is iterated.
    pub(crate) fn open_file(&self, py: Python<'_>) -> Option<OpenFile> {
        let mut filelike = self.filelike.bind(py).clone();
        let module = |of: &Bound<'_, PyAny>| of.get_type().module().map(|name| name.to_string());
        if module(&filelike).ok()?.starts_with("django.core.files") {
            filelike = filelike.getattr(intern!(py, "file")).ok()?;
        }
        // Others may unpack or decode what they read (gzip, text), and still have the descriptor of the file below.
        if !matches!(module(&filelike).ok()?.as_str(), "_io" | "tempfile") {
            return None;
        }
        let bytes = filelike
            .call_method1(intern!(py, "read"), (0,))
            .is_ok_and(|bytes| bytes.is_instance_of::<PyBytes>());
        if !bytes {
            return None;
        }
        let number: i32 = filelike
            .call_method0(intern!(py, "fileno"))
            .ok()?
            .cast_into::<PyInt>()
            .ok()?
            .extract()
            .ok()?;
        if let Ok(flush) = filelike.getattr(intern!(py, "flush")) {
            flush.call0().ok()?;
        }
        let offset: u64 = filelike.call_method0(intern!(py, "tell")).ok()?.extract().ok()?;
        OpenFile::of(number, offset)
    }
}

impl OpenFile {
    /// The regular file of this number, from a position on. None when it has to be read to know how long it
    /// is, or when reading it may wait.
    pub(crate) fn of(number: i32, offset: u64) -> Option<Self> {
        let (file, size) = descriptors::with_number(number, |file| {
            let Some(Size::Known(size)) = Size::of(file).filter(|_| answers_at_once(file)) else {
                return None;
            };
            Some((rustix::io::fcntl_dupfd_cloexec(file, 5).ok()?, size))
        })??;
        Some(Self {
            file,
            offset,
            len: size.saturating_sub(offset),
        })
    }
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize = 8192))]
    fn new(filelike: Py<PyAny>, blksize: isize) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self
            .filelike
            .bind(py)
            .call_method1(intern!(py, "read"), (self.blksize,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
