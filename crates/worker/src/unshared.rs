//! What an import has left in the process that a fork cannot hand to several workers.
//!
//! A fork copies one thread, so every other one is missing in the worker, with whatever lock it held. It
//! shares open descriptions: of a connection (to a database, above all) each worker would read what was meant
//! for another, and an epoll set, an eventfd or a self-pipe would wake the wrong process. Closing them behind
//! the application's back makes its first request fail. So an import that leaves such things is not shared:
//! the zygote tells what it is and each worker imports the application itself.
//!
//! Everything else is shared as it is: files, datagram sockets (each message is whole), listening sockets.

pub(crate) mod descriptors;
pub(crate) mod library;
pub(crate) mod places;
pub(crate) mod threads;

use pyo3::prelude::*;

/// Why the import cannot be shared.
#[derive(Debug, Default)]
pub(crate) struct Unshared {
    threads: Vec<String>,
    descriptors: Vec<String>,
}

impl Unshared {
    /// Looks at this process as a fork would find it. `known`: descriptors that were open before the import.
    pub(crate) fn find(py: Python<'_>, known: &descriptors::Known, green: bool) -> PyResult<Self> {
        // What is only waiting to be collected is closed by that.
        py.import("gc")?.call_method0("collect")?;
        close_connections_of_django(py)?;
        let threads = threads::left(py)?;
        let descriptors = known
            .opened()
            .filter_map(|number| descriptors::kind(number, green))
            .map(|kind| kind.to_string())
            .collect();
        Ok(Self { threads, descriptors })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.threads.is_empty() && self.descriptors.is_empty()
    }

    /// Is any of it a descriptor, so that the place where it was opened can be looked for?
    pub(crate) fn has_descriptors(&self) -> bool {
        !self.descriptors.is_empty()
    }
}

impl std::fmt::Display for Unshared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for thing in self.threads.iter().chain(&self.descriptors) {
            match counted.iter_mut().find(|(same, _)| same == thing) {
                Some((_, count)) => *count += 1,
                None => counted.push((thing, 1)),
            }
        }
        for (index, (thing, count)) in counted.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match count {
                1 => write!(f, "{comma}{thing}")?,
                count => write!(f, "{comma}{thing} ({count} times)")?,
            }
        }
        Ok(())
    }
}

/// Django opens its connections again by itself, so those of the import are closed here, and the import can
/// be shared.
fn close_connections_of_django(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?;
    let db = modules.call_method1("get", ("django.db",))?;
    if !db.is_none() {
        db.getattr("connections")?.call_method0("close_all")?;
    }
    Ok(())
}
