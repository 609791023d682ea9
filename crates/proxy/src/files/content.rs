//! A file with all that an answer tells of it.

use std::{
    borrow::Cow,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;

use super::{
    content_type,
    distant::DistantFile,
    validators::{Validators, Written},
};

/// A regular file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) data: Data,
    pub(super) len: u64,
    pub(super) validators: Validators,
    pub(super) content_type: Cow<'static, str>,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(super) enum Data {
    File(Arc<File>),
    /// Reading it may wait.
    Distant(DistantFile),
    Memory(Bytes),
}

impl Content {
    /// An open file; `name` is for the content type, `coding` that of a compressed sibling, "" for a plain file.
    pub(super) fn new(file: OwnedFd, stat: &rustix::fs::Stat, name: &[u8], coding: &str) -> Self {
        let len = stat.st_size as u64;
        let written = Written::of(stat);
        let mut content = Self {
            data: Data::File(Arc::new(file.into())),
            len,
            validators: Validators::new(written, len, coding, SystemTime::now()),
            content_type: content_type::of(name),
        };
        if written.says_nothing()
            && content.load()
            && let Data::Memory(bytes) = &content.data
        {
            content.validators = Validators::of_bytes(bytes, coding);
        }
        content
    }

    /// Takes a small file into memory and closes it; a large one stays as it is, and so does one that cannot
    /// be read: who sends it will find out and tell.
    pub(super) fn load(&mut self) -> bool {
        if self.len <= SMALL_BYTES_MAX
            && let Data::File(file) = &self.data
            && let Ok(bytes) = read(file, 0, self.len)
        {
            self.data = Data::Memory(bytes);
        }
        matches!(self.data, Data::Memory(_))
    }

    /// What it costs to keep it.
    pub(super) fn bytes_kept(&self) -> usize {
        match &self.data {
            Data::File(_) | Data::Distant(_) => 0,
            Data::Memory(bytes) => bytes.len(),
        }
    }
}

/// Reads a part of a file that is as long as it was.
pub(super) fn read(file: &File, offset: u64, len: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0; len as usize];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

/// Up to this size a file is read at once.
pub(super) const SMALL_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
impl Content {
    pub(super) fn in_memory(name: &[u8], bytes: &[u8]) -> Self {
        Self {
            data: Data::Memory(Bytes::copy_from_slice(bytes)),
            len: bytes.len() as u64,
            validators: Validators::of_bytes(bytes, ""),
            content_type: content_type::of(name),
        }
    }
}
