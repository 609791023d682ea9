//! The control socket to the supervisor: one message per packet, descriptors beside it.

use std::{io::IoSliceMut, mem::MaybeUninit, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, send},
};
use wire::control::{DESCRIPTORS_MAX, MESSAGE_MAX, TEXT_MAX};

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
}

impl Control {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one message. An error means that the supervisor is gone.
    pub(crate) fn send(&self, packet: &[u8]) -> Result<(), Errno> {
        loop {
            match send(&self.socket, packet, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for one message; `None`: the supervisor is gone, or speaks another language.
    pub(crate) fn receive(&self, packet: &mut Vec<u8>) -> Option<Vec<OwnedFd>> {
        packet.resize(MESSAGE_MAX, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        loop {
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(packet)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            let message = match received {
                Err(Errno::INTR) => continue,
                Err(_) => return None,
                Ok(message) if message.bytes == 0 || message.flags.contains(ReturnFlags::TRUNC) => {
                    return None;
                }
                Ok(message) => message,
            };
            packet.truncate(message.bytes);
            let mut descriptors = Vec::new();
            for part in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = part {
                    descriptors.extend(rights);
                }
            }
            return Some(descriptors);
        }
    }

    /// The socket itself, to keep it open over a fork.
    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

/// A text cut to what fits in one field of a message, at a character; of a long traceback the end says more.
pub(crate) fn fitting(text: &str) -> String {
    let mut from = text.len().saturating_sub(TEXT_MAX / 2);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}
