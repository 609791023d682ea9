//! What comes from a worker: bytes, and descriptors beside them, made into frames.

#[doc(hidden)]
pub mod fuzz;

use std::{collections::VecDeque, io::IoSliceMut, mem::MaybeUninit, os::fd::OwnedFd};

use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketType,
        recvmsg, sockopt,
    },
};
use wire::{
    Malformed,
    frame::{self, AbortReason, BODY_FD, END, FileRange, HEADER_LEN, Kind, MORE, Return, TEXT, Tray},
};

use super::{Arrival, LinkError, trays::Trays};
use crate::{
    app::{app_file::Files, call::Event},
    os,
    unix_socket::UnixSocket,
};

/// One reading takes at most this much, unless a single frame is larger.
pub(super) const READ_BYTES: usize = 128 << 10;

/// A frame with a longer payload is read into memory of its own, which then is the piece that goes on to the client.
pub(super) const LARGE: usize = 64 << 10;

/// The kernel passes at most this many descriptors at once.
const DESCRIPTORS_MAX: usize = 253;

/// Descriptors that may wait for their frames: each comes with the first bytes of its own.
const PENDING_MAX: usize = DESCRIPTORS_MAX;

/// Bytes and descriptors that have come and are not understood yet.
pub(super) struct Inbound {
    bytes: Vec<u8>,
    filled: usize,
    files: VecDeque<OwnedFd>,
    trays: Trays,
    known: Files,
    /// The frame that is coming, when it is large; everything before it has been taken.
    large: Option<Large>,
}

/// A large frame, of which a part has come.
struct Large {
    header: frame::Header,
    payload: Vec<u8>,
}

impl Inbound {
    pub(super) fn new(trays: Trays, known: Files) -> Self {
        Self {
            bytes: vec![0; READ_BYTES],
            filled: 0,
            files: VecDeque::new(),
            trays,
            known,
            large: None,
        }
    }

    /// One reading. `true`: there may be more.
    pub(super) fn receive(&mut self, socket: &UnixSocket) -> Result<bool, LinkError> {
        if let Some(large) = &mut self.large {
            return large.receive(socket);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let wanted = room.len();
        let received = loop {
            match recvmsg(
                socket,
                &mut [IoSliceMut::new(room)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(received) => break received,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(LinkError::Os(error.into())),
            }
        };
        // What came after it would be given the wrong file.
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(LinkError::DescriptorLost);
        }
        let mut with_files = false;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                with_files = true;
                self.files.extend(files);
            }
        }
        if received.bytes == 0 {
            return Err(LinkError::Closed);
        }
        if self.files.len() > PENDING_MAX {
            return Err(LinkError::Unexpected(Kind::File));
        }
        self.filled += received.bytes;
        // The kernel ends a reading behind the bytes that a descriptor came with, even if there is more.
        Ok(received.bytes == wanted || with_files)
    }

    /// Takes every whole frame that has come.
    pub(super) fn split(&mut self, arrivals: &mut Vec<Arrival>) -> Result<(), LinkError> {
        if let Some(large) = self.large.take_if(|large| large.left() == 0) {
            let arrival = self.arrival(large.header, Payload::Own(large.payload.into()))?;
            arrivals.push(arrival);
        }
        if self.large.is_some() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.bytes);
        let used = self.split_from(bytes.get(..self.filled).unwrap_or_default(), arrivals);
        self.bytes = bytes;
        let used = used?;
        self.bytes.copy_within(used..self.filled, 0);
        self.filled -= used;
        Ok(())
    }

    /// The same; says how many bytes are taken.
    fn split_from(&mut self, bytes: &[u8], arrivals: &mut Vec<Arrival>) -> Result<usize, LinkError> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            if let Some((frame, used)) = frame::split(rest)? {
                at += used;
                arrivals.push(self.arrival(frame.header, Payload::Read(frame.payload))?);
                continue;
            }
            if let Some((head, rest)) = rest.split_first_chunk::<HEADER_LEN>() {
                let header = frame::Header::decode(head)?;
                if header.len as usize > LARGE {
                    let mut payload = Vec::with_capacity(header.len as usize);
                    payload.extend_from_slice(rest);
                    self.large = Some(Large { header, payload });
                    at = bytes.len();
                }
            }
            break;
        }
        Ok(at)
    }

    /// What a frame says.
    fn arrival(&mut self, header: frame::Header, payload: Payload<'_>) -> Result<Arrival, LinkError> {
        let end = header.has(END);
        let (event, end) = match header.kind {
            Kind::Response => {
                let payload = payload.keep();
                (Event::Response { payload, end }, end)
            }
            Kind::Data => {
                let bytes = payload.keep();
                (Event::Data { bytes, end }, end)
            }
            Kind::File => {
                let file = self.file(header.kind)?;
                let range = FileRange::decode(payload.bytes())?;
                let file = self.known.take(file).map_err(|_| LinkError::NotAFile)?;
                (Event::File { file, range, end }, end)
            }
            Kind::Tray => {
                let file = match header.has(BODY_FD) {
                    true => Some(self.file(header.kind)?),
                    false => None,
                };
                let bytes = self.trays.take(Tray::decode(payload.bytes())?, file)?;
                (Event::Data { bytes, end }, end)
            }
            Kind::Socket => (Event::Socket(self.socket()?), false),
            Kind::Abort => (Event::Abort(AbortReason::decode(payload.bytes())?), true),
            Kind::Informational => (Event::Informational(payload.keep()), false),
            Kind::Trailers => (Event::Trailers(payload.keep()), true),
            Kind::Accept => (Event::Accept(payload.keep()), false),
            Kind::Return => (Event::Returned(Return::decode(payload.bytes())?), false),
            Kind::Message => {
                let (text, more) = (header.has(TEXT), header.has(MORE));
                let bytes = payload.keep();
                (Event::Message { bytes, text, more }, false)
            }
            Kind::Close => (Event::Close(payload.keep()), end),
            Kind::Credit => {
                let granted = payload.bytes().try_into().map(u32::from_le_bytes);
                let granted = granted.map_err(|_| Malformed { what: "credit" })?;
                (Event::Credit(granted), false)
            }
            kind @ (Kind::Request | Kind::Body | Kind::Cancel) => {
                return Err(LinkError::Unexpected(kind));
            }
        };
        Ok(Arrival {
            stream: header.stream,
            event,
            end,
        })
    }

    /// The socket of the frame that is looked at. Whoever is connected to it says nothing that a client could
    /// not be told.
    fn socket(&mut self) -> Result<OwnedFd, LinkError> {
        let socket = self.file(Kind::Socket)?;
        let is_stream = sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
            && sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
        is_stream
            .then_some(socket)
            .ok_or(LinkError::Unexpected(Kind::Socket))
    }

    /// The file of the frame that is looked at.
    fn file(&mut self, kind: Kind) -> Result<OwnedFd, LinkError> {
        self.files.pop_front().ok_or(LinkError::Unexpected(kind))
    }
}

impl Large {
    fn left(&self) -> usize {
        (self.header.len as usize).saturating_sub(self.payload.len())
    }

    /// One reading, to the end of the frame and no further. No descriptor comes in the midst of a frame. `true`: there may be more.
    fn receive(&mut self, socket: &UnixSocket) -> Result<bool, LinkError> {
        let left = self.left();
        match os::append(socket, &mut self.payload, left) {
            Ok(0) => Err(LinkError::Closed),
            Ok(received) => Ok(received == left),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(LinkError::Os(error.into())),
        }
    }
}

/// A frame's payload: inside the read buffer, or in memory of its own.
enum Payload<'a> {
    Read(&'a [u8]),
    Own(Bytes),
}

impl Payload<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    /// To be kept.
    fn keep(self) -> Bytes {
        match self {
            Self::Read(bytes) => Bytes::copy_from_slice(bytes),
            Self::Own(bytes) => bytes,
        }
    }
}
