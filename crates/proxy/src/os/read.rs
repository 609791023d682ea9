//! Reading from a socket into memory that nothing was written to yet.

use std::{mem::MaybeUninit, os::fd::AsFd};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use tokio::io::ReadBuf;

/// Reads once into what is left of `buf`, without waiting; says how many bytes that was.
pub(crate) fn read(fd: impl AsFd, buf: &mut ReadBuf<'_>) -> Result<usize, Errno> {
    // SAFETY: nothing but bytes that the kernel wrote is put there, so what was initialised stays so.
    let room = unsafe { buf.unfilled_mut() };
    let read = filled(fd, room)?;
    // SAFETY: the kernel has written so many bytes at the beginning of the room.
    unsafe { buf.assume_init(read) };
    buf.advance(read);
    Ok(read)
}

/// Reads once behind the end of `bytes`, without waiting, at most `limit` and no more than it has room for;
/// says how many bytes that was.
pub(crate) fn append(fd: impl AsFd, bytes: &mut Vec<u8>, limit: usize) -> Result<usize, Errno> {
    let room = bytes.spare_capacity_mut();
    let limit = limit.min(room.len());
    let read = filled(fd, &mut room[..limit])?;
    // SAFETY: the kernel has written so many bytes at the beginning of the spare capacity, which holds them.
    unsafe { bytes.set_len(bytes.len() + read) };
    Ok(read)
}

fn filled(fd: impl AsFd, room: &mut [MaybeUninit<u8>]) -> Result<usize, Errno> {
    if room.is_empty() {
        // An empty socket would be waited for, whatever there is room for.
        return Ok(0);
    }
    let ((filled, _), _) = recv(fd, room, RecvFlags::DONTWAIT)?;
    Ok(filled.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_room_for() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("socketpair");
        std::io::Write::write_all(&mut &theirs, b"0123456789").expect("written");
        let mut memory = [MaybeUninit::uninit(); 3];
        let mut buf = ReadBuf::uninit(&mut memory);
        buf.put_slice(b"<");
        assert_eq!(read(&ours, &mut buf), Ok(2));
        assert_eq!(buf.filled(), b"<01");
        let mut bytes = Vec::with_capacity(64);
        bytes.push(b'<');
        assert_eq!(append(&ours, &mut bytes, 3), Ok(3));
        assert_eq!(append(&ours, &mut bytes, 64), Ok(5));
        assert_eq!(bytes, b"<23456789");
        let mut full = Vec::new();
        assert_eq!(append(&ours, &mut full, 5), Ok(0));
    }
}
