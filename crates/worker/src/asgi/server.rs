//! The life of the event loop in a worker: it is made, the application starts, requests run, the application stops.

use std::{sync::Arc, time::Duration};

use pyo3::prelude::*;

use super::{call::Application, event_loop::EventLoop, host::Host, lifespan::Lifespan};
use crate::{boot::Boot, engine::evented::Evented, output, refusal::Refusal, report};

/// What tasks that are left get to hear of their cancellation.
const WIND_UP: Duration = Duration::from_secs(1);

/// An application that has started.
#[derive(Debug)]
pub(crate) struct Server {
    host: Arc<Host>,
    lifespan: Option<Arc<Lifespan>>,
    pathsend: bool,
    shutdown: Duration,
}

impl Server {
    /// Makes the loop and lets the application start.
    pub(crate) fn start(
        py: Python<'_>,
        boot: &Boot,
        evented: &Arc<Evented>,
        application: Py<PyAny>,
    ) -> Result<Self, Refusal> {
        let event_loop = EventLoop::new(py, &boot.event_loop)?;
        let host = Host::new(py, evented, event_loop, Application::new(py, application))
            .map_err(|error| Refusal::raised(py, "python", "preparing the event loop", &error))?;
        let lifespan = Lifespan::begin(py, &host, &boot.lifespan)?;
        Ok(Self {
            host,
            lifespan,
            pathsend: boot.pathsend,
            shutdown: boot.shutdown,
        })
    }

    /// Runs requests until the worker is to leave and none is left, then lets the application stop.
    pub(crate) fn serve(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.lifespan.as_ref().map(|lifespan| lifespan.shared(py));
        self.host.open(py, state, self.pathsend)?;
        while !self.host.has_left() {
            // A task that the application has started may raise through the loop (SystemExit does); the others go on.
            if let Err(error) = self.host.event_loop.run(py) {
                output::tell(
                    py,
                    &format!("raised through the event loop\n{}", report::traceback(py, &error)),
                );
            }
        }
        self.host.event_loop.forget(py, self.host.evented.descriptor())?;
        if let Some(lifespan) = &self.lifespan
            && let Err(error) = lifespan.shut_down(py, self.shutdown)
        {
            output::tell(py, &report::traceback(py, &error));
        }
        if let Err(error) = self.host.event_loop.wind_up(py, WIND_UP) {
            output::tell(py, &report::traceback(py, &error));
        }
        Ok(())
    }
}
