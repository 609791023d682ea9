//! Answers whose bytes lie on trays, as they should and otherwise.

use std::{fs::File, os::unix::fs::FileExt};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use wire::frame::{self, BODY_FD, END, Kind, Return, TRAY_BYTES, TRAYS_MAX, Tray};

use super::Worker;

/// A tray at this end.
pub(super) struct Own {
    file: File,
    lent: bool,
}

impl Worker {
    /// What a path says: `/tray/LENGTH/BYTE`, or a fault. `false`: it dies.
    pub(super) fn lay(&mut self, stream: u32, path: &str) -> bool {
        let sealed = SealFlags::SHRINK | SealFlags::GROW;
        self.answer(stream, &[], b"", false);
        let (number, len) = (0, 1000);
        match path {
            "/tray-unsealed" => {
                self.bring(stream, Tray { number, len }, &file(TRAY_BYTES, SealFlags::SHRINK))
            }
            "/tray-short" => self.bring(stream, Tray { number, len }, &file(TRAY_BYTES - 1, sealed)),
            "/tray-no-memory" => {
                let file = tempfile::tempfile().expect("a file");
                file.set_len(u64::from(TRAY_BYTES)).expect("a length");
                self.bring(stream, Tray { number, len }, &file);
            }
            "/tray-too-long" => {
                let len = TRAY_BYTES + 1;
                self.bring(stream, Tray { number, len }, &file(TRAY_BYTES, sealed));
            }
            "/tray-too-many" => {
                let number = TRAYS_MAX;
                self.bring(stream, Tray { number, len }, &file(TRAY_BYTES, sealed));
            }
            "/tray-new-again" => {
                for _ in 0..2 {
                    self.bring(stream, Tray { number, len: 0 }, &file(TRAY_BYTES, sealed));
                }
            }
            "/tray-unheard-of" => self.tell_of(stream, Tray { number, len }, 0),
            "/tray-lent" => {
                self.bring(stream, Tray { number, len }, &file(TRAY_BYTES, sealed));
                self.tell_of(stream, Tray { number, len }, 0);
            }
            path => {
                let numbers = path.strip_prefix("/tray/").and_then(|rest| rest.split_once('/'));
                let (len, byte) = numbers.expect("a path");
                let len = len.parse().expect("a length");
                match byte.strip_suffix("/die") {
                    Some(byte) => {
                        self.fill(stream, len, byte.parse().expect("a byte"), 0);
                        self.flush();
                        return false;
                    }
                    None => self.fill(stream, len, byte.parse().expect("a byte"), END),
                }
            }
        }
        true
    }

    /// Puts bytes on the first tray that is not lent.
    fn fill(&mut self, stream: u32, len: u32, byte: u8, flags: u8) {
        let idle = self.trays.iter().position(|own| !own.lent);
        let at = idle.unwrap_or_else(|| {
            self.trays.push(Own {
                file: file(TRAY_BYTES, SealFlags::SHRINK | SealFlags::GROW),
                lent: false,
            });
            self.trays.len() - 1
        });
        let own = &mut self.trays[at];
        own.lent = true;
        own.file
            .write_all_at(&vec![byte; len as usize], 0)
            .expect("write");
        let number = u32::try_from(at).expect("few");
        if idle.is_some() {
            self.tell_of(stream, Tray { number, len }, flags);
            return;
        }
        let file = own.file.try_clone().expect("dup");
        self.bring_with(stream, Tray { number, len }, flags, &file);
    }

    /// The proxy has given one back.
    pub(super) fn returned(&mut self, payload: &[u8]) {
        let back = Return::decode(payload).expect("well-formed");
        assert!(!back.shared);
        if let Some(own) = self.trays.get_mut(back.ticket as usize) {
            assert!(std::mem::take(&mut own.lent), "given back twice");
        }
        self.seen.returned.lock().expect("lock").push(back.ticket);
    }

    fn bring(&mut self, stream: u32, tray: Tray, file: &File) {
        self.bring_with(stream, tray, 0, file);
    }

    fn bring_with(&mut self, stream: u32, tray: Tray, flags: u8, file: &File) {
        self.flush();
        let mut frame = Vec::new();
        frame::put(&mut frame, stream, Kind::Tray, flags | BODY_FD, &tray.encode());
        self.send_file(&frame, file);
    }

    fn tell_of(&mut self, stream: u32, tray: Tray, flags: u8) {
        frame::put(&mut self.out, stream, Kind::Tray, flags, &tray.encode());
    }
}

fn file(len: u32, seals: SealFlags) -> File {
    let file = memfd_create("tray", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
    ftruncate(&file, u64::from(len)).expect("ftruncate");
    fcntl_add_seals(&file, seals).expect("seal");
    file.into()
}
