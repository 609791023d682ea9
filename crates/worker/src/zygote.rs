//! The zygote: the application's own interpreter, imported once, forked for every worker.
//!
//! It has one thread for all its life, because a fork copies only the thread that calls it and leaves the
//! locks of all others locked. When the import leaves a thread, or a connection that only one process can use
//! ([`unshared`](crate::unshared)), the zygote tells, then executes its interpreter anew, without the
//! application, and the workers import it themselves.

use std::{
    os::{
        fd::{OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    time::Instant,
};

use pyo3::{exceptions::PyOSError, prelude::*, types::PyDict};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{DumpableBehavior, Pid, Signal, set_dumpable_behavior},
};
use wire::control::{FromZygote, STACKS_SIGNAL, ToZygote};

use crate::{
    application,
    asgi::event_loop,
    boot::Boot,
    control::{Control, fitting},
    ffi::{
        descriptors, exit_now,
        fork::{self, Side},
        signals, title,
    },
    green, output,
    refusal::Refusal,
    stateful,
    unshared::{Unshared, descriptors::Known},
    worker,
};

/// Where the engine's file is, which the bootstrap has loaded.
const ENGINE_FD: RawFd = 4;

/// Carries [`ToZygote::Boot`] over an exec of ourselves, in hexadecimal digits...
const AGAIN: &str = "APPLIANCE_BOOT";

/// ...and that the import has opened what workers cannot share.
const OPENED: &str = "APPLIANCE_OPENED";

/// What the zygote keeps.
#[derive(Debug)]
pub(crate) struct Zygote {
    boot: Boot,
    control: Control,
    engine: Option<OwnedFd>,
    /// Command line as executed, before the title was written over it.
    command: Vec<Vec<u8>>,
    /// The supervisor, which adopts the workers.
    supervisor: Option<Pid>,
}

/// All of the zygote's life; workers return from here to nowhere.
pub(crate) fn run(py: Python<'_>, control: RawFd) -> PyResult<()> {
    // Whoever has taken over a worker must not get into this process as well, from which all later workers
    // come: it hides before it imports the application. Where the kernel refuses, all else still works.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    descriptors::close_from(5);
    fork::watch_threads();
    let supervisor = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| PyOSError::new_err(error.raw_os_error()))?;
    signals::leave_to_supervisor();
    signals::hear_nothing();
    let socket = descriptors::inherited(control)
        .ok_or_else(|| PyOSError::new_err(format!("there is no control socket on descriptor {control}")))?;
    let engine = descriptors::inherited(ENGINE_FD);
    for kept in [Some(&socket), engine.as_ref()].into_iter().flatten() {
        let _ = fcntl_setfd(kept, FdFlags::CLOEXEC);
    }
    let control = Control::new(socket);
    let again = again(py)?;
    let life = match (&again, taken(py, OPENED)?) {
        (None, _) => Life::First,
        (Some(_), opened) => Life::Second {
            opened: opened.is_some(),
        },
    };
    let mut packet = Vec::new();
    let message = match again {
        Some(packet) => ToZygote::decode(&packet),
        None => {
            if control.receive(&mut packet).is_none() {
                exit_now(0);
            }
            ToZygote::decode(&packet)
        }
    };
    let Some(boot) = message.ok().and_then(Boot::of) else {
        return Err(PyOSError::new_err("the first message does not say what to run"));
    };
    let zygote = Zygote {
        boot,
        control,
        engine,
        command: std::fs::read("/proc/self/cmdline")
            .unwrap_or_default()
            .split(|&byte| byte == 0)
            .map(<[u8]>::to_vec)
            .collect(),
        supervisor,
    };
    zygote.live(py, life)
}

/// The message that an earlier life of this process has left.
fn again(py: Python<'_>) -> PyResult<Option<Vec<u8>>> {
    Ok(taken(py, AGAIN)?.map(|hex| {
        hex.as_bytes()
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect()
    }))
}

/// A variable that is not for the application.
fn taken(py: Python<'_>, name: &str) -> PyResult<Option<String>> {
    let environ = py.import("os")?.getattr("environ")?;
    environ.call_method1("pop", (name, py.None()))?.extract()
}

/// How often this process has been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Once.
    First,
    /// Again, after an import that could not be shared; `opened`: it has opened what workers cannot share.
    Second { opened: bool },
}

impl Zygote {
    fn live(self, py: Python<'_>, life: Life) -> PyResult<()> {
        title::set(
            &format!("appliance: zygote {}", self.boot.app),
            &format!("zygote {}", self.boot.app),
        );
        faulthandler(py)?;
        output::install(py)?;
        let known = Known::now();
        let began = Instant::now();
        let imported = application::enter(py, &self.boot.directory, &self.boot.target).and_then(|()| {
            if self.boot.preload || self.boot.check {
                event_loop::look(py, &self.boot.event_loop)?;
                green::patch(py, &self.boot)?;
                application::import(py, &self.boot).map(|found| {
                    application::tell_cost(py, &found, &self.boot);
                    Some(found.unbind())
                })
            } else {
                Ok(None)
            }
        });
        let application = match imported {
            Ok(application) => application,
            Err(refusal) => self.fail(py, refusal),
        };
        output::end(py);
        let import_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unshared = if application.is_some() {
            Unshared::find(py, &known, !self.boot.green.is_empty())?
        } else {
            Unshared::default()
        };
        if life == Life::First {
            let ready = FromZygote::Ready {
                python: version(py)?,
                import_ms: if application.is_some() { import_ms } else { 0 },
                unshared: fitting(&unshared.to_string()),
                stateful: match application.is_some() {
                    true => fitting(&stateful::found(py)?),
                    false => String::new(),
                },
                patched: match self.boot.interface == "wsgi" && self.boot.green.is_empty() {
                    true => application::patched_by(py, self.boot.threads_patched)
                        .unwrap_or_default()
                        .to_owned(),
                    false => String::new(),
                },
            };
            if self.control.send(&ready.encode()).is_err() || self.boot.check {
                exit_now(0);
            }
        }
        if !unshared.is_empty() {
            return Err(self.restart(py, unshared.has_descriptors()));
        }
        self.forks(py, application.as_ref(), life)
    }

    fn fail(&self, py: Python<'_>, refusal: Refusal) -> ! {
        output::end(py);
        let failed = FromZygote::Failed {
            step: refusal.step.to_owned(),
            message: fitting(&refusal.message),
            traceback: fitting(&refusal.traceback),
        };
        let _ = self.control.send(&failed.encode());
        exit_now(1)
    }

    /// Executes the interpreter anew, with the application left to the workers. `opened`: it opens what they
    /// cannot share.
    fn restart(&self, py: Python<'_>, opened: bool) -> PyErr {
        let boot = self.boot.again();
        let hex: String = boot.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let executable: PyResult<String> = py
            .import("sys")
            .and_then(|sys| sys.getattr("executable"))
            .and_then(|executable| executable.extract());
        let mut command = self.command.iter().map(|argument| {
            use std::os::unix::ffi::OsStrExt;
            std::ffi::OsStr::from_bytes(argument)
        });
        for kept in [Some(self.control.socket()), self.engine.as_ref()]
            .into_iter()
            .flatten()
        {
            let _ = fcntl_setfd(kept, FdFlags::empty());
        }
        let mut again = Command::new(executable.unwrap_or_else(|_| "/proc/self/exe".to_owned()));
        if let Some(name) = command.next() {
            again.arg0(name);
        }
        again
            .args(command.filter(|argument| !argument.is_empty()))
            .env(AGAIN, hex);
        if opened {
            again.env(OPENED, "1");
        }
        PyOSError::new_err(format!(
            "the interpreter can not be executed again: {}",
            again.exec()
        ))
    }

    /// Forks for every message until the supervisor is gone.
    fn forks(&self, py: Python<'_>, application: Option<&Py<PyAny>>, life: Life) -> PyResult<()> {
        let mut packet = Vec::new();
        // The first life has told it already, if there was one.
        let mut tells_cost = life == Life::First;
        let mut tells_places = life == Life::Second { opened: true };
        loop {
            let Some(descriptors) = py.detach(|| self.control.receive(&mut packet)) else {
                exit_now(0);
            };
            let Ok(ToZygote::Fork { slot }) = ToZygote::decode(&packet) else {
                return Err(PyOSError::new_err("a message of the supervisor can not be read"));
            };
            let Ok([control, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
                // The kernel drops what a process has no room for.
                self.fork_failed(
                    slot,
                    "the zygote has no descriptors left: its import keeps too many open".to_owned(),
                );
                continue;
            };
            freeze(py)?;
            match fork::twice(py) {
                Ok(Side::Parent) => (tells_cost, tells_places) = (false, false),
                Ok(Side::Child) => {
                    let birth = worker::Birth {
                        boot: self.boot.clone(),
                        slot,
                        tells_cost,
                        tells_places,
                        control,
                        stdout,
                        stderr,
                        supervisor: self.supervisor,
                    };
                    self.forget();
                    worker::run(
                        py,
                        birth,
                        application.map(|application| application.clone_ref(py)),
                    );
                }
                Err(error) => self.fork_failed(slot, error.to_string()),
            }
        }
    }

    fn fork_failed(&self, slot: u32, message: String) {
        let failed = FromZygote::ForkFailed { slot, message };
        if self.control.send(&failed.encode()).is_err() {
            exit_now(0);
        }
    }

    /// In a worker: the zygote's own descriptors are replaced. Not closed: their owner is still borrowed, and a number that is
    /// free would be given to something else.
    fn forget(&self) {
        let Ok(null) = descriptors::null() else {
            return;
        };
        for own in [Some(self.control.socket()), self.engine.as_ref()]
            .into_iter()
            .flatten()
        {
            let _ = descriptors::replace(&null, own);
        }
    }
}

/// Collected before the fork and frozen, so that collections in the workers leave the shared pages alone.
fn freeze(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    gc.call_method0("freeze")?;
    Ok(())
}

/// Stacks of all threads into standard error on [`STACKS_SIGNAL`], and when the process crashes. Workers inherit it.
fn faulthandler(py: Python<'_>) -> PyResult<()> {
    let faulthandler = py.import("faulthandler")?;
    let options = PyDict::new(py);
    options.set_item("file", 2)?;
    options.set_item("all_threads", true)?;
    faulthandler.call_method("enable", (), Some(&options))?;
    options.set_item("chain", false)?;
    faulthandler.call_method("register", (STACKS_SIGNAL,), Some(&options))?;
    Ok(())
}

fn version(py: Python<'_>) -> PyResult<String> {
    let (major, minor, micro): (u8, u8, u8) = py
        .import("sys")?
        .getattr("version_info")?
        .call_method1("__getitem__", (pyo3::types::PySlice::new(py, 0, 3, 1),))?
        .extract()?;
    Ok(format!("{major}.{minor}.{micro}"))
}
