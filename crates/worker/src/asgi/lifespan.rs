//! `lifespan`: startup before the first request, shutdown after the last one.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyString},
};

use super::{
    call::{Call, Unit},
    channel::{Peer, Receive, Received, Send_, Sent, Wanted, broken, wake},
    event::Event,
    host::Host,
};
use crate::{engine::lock, output, refusal::Refusal, report};

/// The application's life, as one call of it.
#[derive(Debug)]
pub(crate) struct Lifespan {
    host: Arc<Host>,
    state: Mutex<State>,
    receivers: Mutex<Vec<Py<PyAny>>>,
    /// Nobody ever waits to send.
    senders: Mutex<Vec<Py<PyAny>>>,
    /// What the application keeps there, every scope gets a copy of.
    shared: Py<PyDict>,
}

#[derive(Debug)]
struct State {
    /// Events that the application has not received.
    startup: bool,
    shutdown: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Starting,
    Started,
    /// `startup.failed`, with its message.
    StartFailed(String),
    /// `shutdown.failed` or `shutdown.complete` was sent.
    Stopped,
    /// The application returned or raised.
    Ended(Option<PyErr>),
}

impl Lifespan {
    /// Starts the application, or finds that it knows nothing of lifespans (`None`).
    pub(crate) fn begin(py: Python<'_>, host: &Arc<Host>, mode: &str) -> Result<Option<Arc<Self>>, Refusal> {
        if mode == "off" {
            return Ok(None);
        }
        let lifespan = Self::start(py, host)
            .map_err(|error| Refusal::raised(py, "lifespan", "the lifespan's startup", &error))?;
        let phase = {
            let mut state = lock(&lifespan.state);
            if matches!(state.phase, Phase::Started) {
                drop(state);
                return Ok(Some(lifespan));
            }
            std::mem::replace(&mut state.phase, Phase::Stopped)
        };
        match phase {
            Phase::StartFailed(message) => {
                let message = if message.is_empty() {
                    "the application sent lifespan.startup.failed; what it printed says why".to_owned()
                } else {
                    let mut lines = message.trim_end().lines();
                    let told = lines.next_back().unwrap_or_default().to_owned();
                    return Err(Refusal {
                        step: "lifespan",
                        message: format!("the application sent lifespan.startup.failed: {told}"),
                        traceback: if lines.next().is_some() {
                            message
                        } else {
                            String::new()
                        },
                    });
                };
                Err(Refusal::new("lifespan", message))
            }
            // It may have raised because it does not know this scope; only "on" says that it must.
            _ if mode == "auto" => Ok(None),
            Phase::Ended(Some(error)) => Err(Refusal::raised(
                py,
                "lifespan",
                "the application's startup",
                &error,
            )),
            _ => Err(Refusal::new(
                "lifespan",
                "the application returned before it sent lifespan.startup.complete; lifespan = \"off\" \
                 if it has no lifespan"
                    .to_owned(),
            )),
        }
    }

    fn start(py: Python<'_>, host: &Arc<Host>) -> PyResult<Arc<Self>> {
        let shared = PyDict::new(py);
        let lifespan = Arc::new(Self {
            host: Arc::clone(host),
            state: Mutex::new(State {
                startup: true,
                shutdown: false,
                phase: Phase::Starting,
            }),
            receivers: Mutex::default(),
            senders: Mutex::default(),
            shared: shared.clone().unbind(),
        });
        let scope = PyDict::new(py);
        let asgi = PyDict::new(py);
        asgi.set_item("version", "3.0")?;
        asgi.set_item("spec_version", "2.0")?;
        scope.set_item("type", "lifespan")?;
        scope.set_item("asgi", asgi)?;
        scope.set_item("state", shared)?;
        let peer: Arc<dyn Peer> = lifespan.clone();
        let receive = Bound::new(
            py,
            Receive {
                peer: Arc::clone(&peer),
            },
        )?;
        let send = Bound::new(py, Send_ { peer })?;
        let call = Call::new(
            host,
            Unit::Lifespan(Arc::clone(&lifespan)),
            scope,
            receive.into_any(),
            send.into_any(),
        );
        let call = Bound::new(py, call)?;
        let task = host.event_loop.task(py, call.clone().into_any())?;
        call.get().keep(task);
        while matches!(lock(&lifespan.state).phase, Phase::Starting) {
            if let Err(error) = host.event_loop.run(py) {
                output::tell(py, &report::traceback(py, &error));
            }
        }
        Ok(lifespan)
    }

    pub(crate) fn shared(&self, py: Python<'_>) -> Py<PyDict> {
        self.shared.clone_ref(py)
    }

    /// Tells the application that the worker leaves, and waits for it so long at most.
    pub(crate) fn shut_down(&self, py: Python<'_>, longest: Duration) -> PyResult<()> {
        {
            let mut state = lock(&self.state);
            if !matches!(state.phase, Phase::Started) {
                return Ok(());
            }
            state.shutdown = true;
        }
        wake(py, &self.receivers);
        self.host.event_loop.run_for(py, longest)?;
        if matches!(lock(&self.state).phase, Phase::Started) {
            output::tell(
                py,
                &format!(
                    "the lifespan's shutdown has not ended after {} s (timeout.shutdown)",
                    longest.as_secs_f64()
                ),
            );
        }
        Ok(())
    }

    /// The application has returned or raised.
    pub(crate) fn finish(&self, py: Python<'_>, raised: Option<PyErr>) {
        let before = std::mem::replace(&mut lock(&self.state).phase, Phase::Ended(None));
        match before {
            Phase::Starting => lock(&self.state).phase = Phase::Ended(raised),
            Phase::StartFailed(message) => lock(&self.state).phase = Phase::StartFailed(message),
            Phase::Started | Phase::Stopped | Phase::Ended(_) => {
                if let Some(error) = raised
                    && !super::call::is_cancelled(py, &error)
                {
                    output::tell(
                        py,
                        &format!("the lifespan raised\n{}", report::traceback(py, &error)),
                    );
                }
            }
        }
        self.stop(py);
    }

    fn stop(&self, py: Python<'_>) {
        // While requests run the loop goes on: nobody waits for the lifespan then.
        let waited = {
            let state = lock(&self.state);
            state.shutdown || !self.host.is_open()
        };
        if waited && let Err(error) = self.host.event_loop.stop(py) {
            output::tell(py, &report::traceback(py, &error));
        }
    }

    fn become_phase(&self, py: Python<'_>, from_startup: bool, phase: Phase, kind: &str) -> PyResult<Sent> {
        {
            let mut state = lock(&self.state);
            let fits = match state.phase {
                Phase::Starting => from_startup,
                Phase::Started => !from_startup && state.shutdown,
                _ => false,
            };
            if !fits {
                return Err(broken(format!("{kind} was sent at the wrong time")));
            }
            state.phase = phase;
        }
        self.stop(py);
        Ok(Sent::All)
    }
}

impl Peer for Lifespan {
    fn receive(&self, py: Python<'_>) -> PyResult<Received> {
        let kind = {
            let mut state = lock(&self.state);
            if std::mem::take(&mut state.startup) {
                "lifespan.startup"
            } else if state.shutdown && matches!(state.phase, Phase::Started) {
                "lifespan.shutdown"
            } else {
                return Ok(Received::Nothing);
            }
        };
        let event = PyDict::new(py);
        event.set_item(intern!(py, "type"), PyString::intern(py, kind))?;
        Ok(Received::Event(event.into_any().unbind()))
    }

    fn send(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<Sent> {
        let event = Event::new(event)?;
        let message = || -> PyResult<String> {
            Ok(event
                .text(intern!(py, "message"))?
                .map_or_else(String::new, |message| message.to_string_lossy().into_owned()))
        };
        match event.kind()? {
            kind @ "lifespan.startup.complete" => self.become_phase(py, true, Phase::Started, kind),
            kind @ "lifespan.startup.failed" => {
                self.become_phase(py, true, Phase::StartFailed(message()?), kind)
            }
            kind @ "lifespan.shutdown.complete" => self.become_phase(py, false, Phase::Stopped, kind),
            kind @ "lifespan.shutdown.failed" => {
                output::tell(py, &format!("the lifespan's shutdown failed: {}", message()?));
                self.become_phase(py, false, Phase::Stopped, kind)
            }
            other => Err(broken(format!(
                "{other:?} is no event that can be sent to a lifespan"
            ))),
        }
    }

    fn is_sent(&self) -> bool {
        true
    }

    fn waiters(&self, of: Wanted) -> MutexGuard<'_, Vec<Py<PyAny>>> {
        lock(match of {
            Wanted::Received => &self.receivers,
            Wanted::Sent => &self.senders,
        })
    }

    fn host(&self) -> &Host {
        &self.host
    }
}
