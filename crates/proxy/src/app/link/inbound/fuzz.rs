//! For the fuzzer: what a worker sends on its link.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::Arc,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::{Inbound, LARGE, PENDING_MAX};
use crate::app::{
    answer_head,
    app_file::{Files, Held},
    call::Event,
    link::{
        Arrival,
        trays::{Returns, Trays},
    },
};

/// Lets frames arrive in two readings, with descriptors of four kinds beside them, as the first byte says.
/// Nothing may panic, what is kept has a bound, and no head that is taken could split an answer.
pub fn arrive(bytes: &[u8]) {
    let Some((&kinds, bytes)) = bytes.split_first() else {
        return;
    };
    let returns = Returns::new(&Arc::default());
    let mut inbound = Inbound::new(Trays::new(returns), Files::new(&Held::new(2)));
    let descriptors = (0..4).filter_map(|at| descriptor(kinds >> (2 * at) & 3));
    inbound.files.extend(descriptors);
    let mut arrivals = Vec::new();
    for reading in bytes.chunks(bytes.len() / 2 + 1) {
        let mut reading = reading;
        while !reading.is_empty() {
            reading = inbound.read(reading);
            if inbound.split(&mut arrivals).is_err() {
                return;
            }
            assert!(inbound.filled <= inbound.bytes.len() && inbound.files.len() <= PENDING_MAX);
        }
        for arrival in arrivals.drain(..) {
            look(arrival);
        }
    }
}

impl Inbound {
    /// A reading that brings as much of this as there is room for. Gives what is left.
    fn read<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if let Some(large) = &mut self.large {
            let (taken, left) = bytes.split_at(large.left().min(bytes.len()));
            large.payload.extend_from_slice(taken);
            return left;
        }
        let room = &mut self.bytes[self.filled..];
        // A frame that does not fit was begun as a large one.
        assert!(room.len() > LARGE.min(bytes.len().saturating_sub(1)));
        let (taken, left) = bytes.split_at(room.len().min(bytes.len()));
        room[..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        left
    }
}

fn look(arrival: Arrival) {
    let fields = match arrival.event {
        Event::Response { payload, end } => {
            answer_head::read(&payload, end, false).map(|head| head.answer.fields)
        }
        Event::Informational(payload) => answer_head::informational(&payload).map(|answer| answer.fields),
        Event::Trailers(payload) => answer_head::trailers(&payload),
        _ => return,
    };
    for (name, value) in fields.iter().flat_map(|fields| fields.iter()) {
        assert!(
            !name.is_empty()
                && !name
                    .iter()
                    .chain(value)
                    .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        );
    }
}

/// One of the kinds of descriptors that an application could hand over.
fn descriptor(kind: u8) -> Option<OwnedFd> {
    match kind {
        0 => File::open("/dev/null").ok().map(OwnedFd::from),
        1 => UnixStream::pair().ok().map(|(one, _)| one.into()),
        seals => {
            let file = memfd_create("tray", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).ok()?;
            ftruncate(&file, 1 << 20).ok()?;
            if seals == 2 {
                fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).ok()?;
            }
            Some(file)
        }
    }
}
