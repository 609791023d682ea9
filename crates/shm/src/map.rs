//! Mapping a file whose seals and length are as they must be.

use std::{ops::RangeInclusive, os::fd::OwnedFd};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};

use crate::Error;

/// The length of a file that has these seals and is as long as it must be. The seals come first: they keep
/// the length.
pub(crate) fn sealed_len(
    file: &OwnedFd,
    seals: SealFlags,
    bytes: RangeInclusive<u64>,
) -> Result<usize, Error> {
    // Only memory files have seals; for any other file this is an error.
    let has = fcntl_get_seals(file).map_err(std::io::Error::from)?;
    if !has.contains(seals) {
        return Err(Error::NotSealed);
    }
    let size = u64::try_from(fstat(file).map_err(std::io::Error::from)?.st_size).unwrap_or(0);
    match usize::try_from(size) {
        Ok(len) if bytes.contains(&size) && size > 0 => Ok(len),
        _ => Err(Error::Size(size)),
    }
}

/// Maps the first `len` bytes to be read and written.
pub(crate) fn writable(file: &OwnedFd, len: usize) -> std::io::Result<MmapRaw> {
    MmapOptions::new().len(len).map_raw(file)
}

/// Maps the first `len` bytes to be read.
pub(crate) fn readable(file: &OwnedFd, len: usize) -> std::io::Result<MmapRaw> {
    MmapOptions::new().len(len).map_raw_read_only(file)
}
