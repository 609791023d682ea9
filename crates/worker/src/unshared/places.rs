//! Where in the application a descriptor was opened that workers cannot share.
//!
//! Nothing tells which line of Python made C code open something, so the import is watched: at each line of
//! the application's own files the descriptors are compared with those at the line before. That costs time,
//! so only one worker does it, of an application that is known to open such things, and not for long.

use std::{
    os::fd::RawFd,
    sync::{Arc, Mutex},
};

use pyo3::{
    prelude::*,
    types::{PyCFunction, PyDict, PyTuple},
};
use rustix::fs::{FileType, fstat};

use super::descriptors::{self, Known};
use crate::{engine::lock, ffi::descriptors::with_number};

/// How much is watched, in units of about half a microsecond: an import must not miss the boot timeout for
/// that.
const WATCHED_MAX: u32 = 2_000_000;

/// What a line of the application costs of it, and what a call of any function.
const LINE: u32 = 20;
const CALL: u32 = 1;

/// Most descriptors that are watched.
const NUMBERS_MAX: usize = 64;

/// A watch over an import.
pub(crate) struct Places {
    seen: Arc<Mutex<Seen>>,
    green: bool,
}

/// What the watch has seen so far.
struct Seen {
    /// What may still be watched.
    left: u32,
    /// The line of the application that runs.
    line: Option<String>,
    /// The lowest numbers that were free before the import.
    free: Vec<RawFd>,
    /// Of each of them: where it was opened, if it is open and of a kind that matters.
    places: Vec<Option<String>>,
}

impl Places {
    /// Watches from here on. Nothing is watched where something else (a debugger, a measurement of coverage)
    /// watches already.
    pub(crate) fn watch(py: Python<'_>, directory: &str, green: bool) -> PyResult<Option<Self>> {
        let sys = py.import("sys")?;
        if !sys.call_method0("gettrace")?.is_none() {
            return Ok(None);
        }
        let known = Known::now();
        let directory: Arc<str> = format!("{}/", directory.trim_end_matches('/')).into();
        let seen = Arc::new(Mutex::new(Seen {
            left: WATCHED_MAX,
            line: None,
            free: (3..)
                .filter(|&number| !known.has(number))
                .take(NUMBERS_MAX)
                .collect(),
            places: vec![None; NUMBERS_MAX],
        }));
        // Python calls the first function for every frame that begins, and what that one gives for each line
        // of the frame.
        let shared = Arc::clone(&seen);
        let own = Arc::clone(&directory);
        let of_line = move |arguments: &Bound<'_, PyTuple>,
                            _: Option<&Bound<'_, PyDict>>|
              -> PyResult<Option<Py<PyAny>>> {
            let frame = arguments.get_item(0)?;
            let left = arguments.get_item(1)?.eq("return")?;
            let now = if left { frame.getattr("f_back")? } else { frame };
            let line = innermost(now, &own);
            let mut seen = lock(&shared);
            seen.look();
            seen.line = line;
            let over = seen.spend(LINE);
            drop(seen);
            if over {
                unwatch(arguments.py())?;
            }
            // Not `()`, which is a tuple in Python.
            Ok(None)
        };
        let of_line = PyCFunction::new_closure(py, None, None, of_line)?.unbind();
        let shared = Arc::clone(&seen);
        let of_frame = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            let own = position(&arguments.get_item(0)?, &directory).is_some();
            if lock(&shared).spend(CALL) {
                unwatch(arguments.py())?;
            }
            PyResult::Ok(own.then(|| of_line.clone_ref(arguments.py())))
        };
        sys.call_method1("settrace", (PyCFunction::new_closure(py, None, None, of_frame)?,))?;
        Ok(Some(Self { seen, green }))
    }

    /// Ends the watch: a sentence for each descriptor that is still open and cannot be shared.
    pub(crate) fn end(self, py: Python<'_>) -> PyResult<Vec<String>> {
        unwatch(py)?;
        let mut seen = lock(&self.seen);
        seen.look();
        Ok(seen
            .free
            .iter()
            .zip(&seen.places)
            .filter_map(|(&number, place)| {
                let kind = descriptors::kind(number, self.green)?;
                Some(format!("{} opened {kind}", place.as_deref()?))
            })
            .collect())
    }
}

fn unwatch(py: Python<'_>) -> PyResult<()> {
    py.import("sys")?.call_method1("settrace", (py.None(),)).map(drop)
}

impl Seen {
    /// Has enough been watched? What is opened after that has no place.
    fn spend(&mut self, cost: u32) -> bool {
        self.left = self.left.saturating_sub(cost);
        if self.left == 0 {
            self.line = None;
        }
        self.left == 0
    }

    /// What is open now and was not before was opened by the line that ran.
    fn look(&mut self) {
        for (&number, place) in self.free.iter().zip(&mut self.places) {
            let kind = with_number(number, |open| {
                fstat(open).map_or(FileType::RegularFile, |stat| {
                    FileType::from_raw_mode(stat.st_mode)
                })
            });
            let matters = kind.is_some_and(|kind| {
                use FileType::{CharacterDevice, Directory, RegularFile};
                !matches!(kind, RegularFile | Directory | CharacterDevice)
            });
            if !matters {
                *place = None;
            } else if place.is_none() {
                place.clone_from(&self.line);
            }
        }
    }
}

/// The innermost line of the application's own, of this frame and its callers. `directory` ends with a slash.
fn innermost(frame: Bound<'_, PyAny>, directory: &str) -> Option<String> {
    let mut next = Some(frame);
    while let Some(frame) = next.filter(|frame| !frame.is_none()) {
        if let Some(position) = position(&frame, directory) {
            return Some(position);
        }
        next = frame.getattr("f_back").ok();
    }
    None
}

/// File and line of a frame that is the application's own.
fn position(frame: &Bound<'_, PyAny>, directory: &str) -> Option<String> {
    let file: String = frame
        .getattr("f_code")
        .ok()?
        .getattr("co_filename")
        .ok()?
        .extract()
        .ok()?;
    let own = file.strip_prefix(directory)?;
    let line: u32 = frame.getattr("f_lineno").ok()?.extract().ok()?;
    (!own.contains("-packages/")).then(|| format!("{own}:{line}"))
}
