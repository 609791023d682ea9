//! The event loop: asyncio's own or uvloop's, and the few things that are asked of it.

use std::time::Duration;

use pyo3::{
    exceptions::PyModuleNotFoundError,
    intern,
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::refusal::Refusal;

/// A loop, with what is called often looked up once.
#[derive(Debug)]
pub(crate) struct EventLoop {
    event_loop: Py<PyAny>,
    call_soon: Py<PyAny>,
    create_future: Py<PyAny>,
    task: Py<PyAny>,
    task_options: Py<PyDict>,
    eager: bool,
}

impl EventLoop {
    /// `auto`, `asyncio` or `uvloop`.
    pub(crate) fn new(py: Python<'_>, kind: &str) -> Result<Self, Refusal> {
        let uvloop = match kind {
            "asyncio" => None,
            _ => match py.import("uvloop") {
                Ok(uvloop) => Some(uvloop),
                Err(error) if error.is_instance_of::<PyModuleNotFoundError>(py) && kind == "auto" => None,
                Err(error) => return Err(not_importable(py, &error)),
            },
        };
        Self::of(py, uvloop).map_err(|error| Refusal::raised(py, "python", "making the event loop", &error))
    }

    fn of(py: Python<'_>, uvloop: Option<Bound<'_, PyModule>>) -> PyResult<Self> {
        let asyncio = py.import("asyncio")?;
        let event_loop = match uvloop {
            Some(uvloop) => uvloop.call_method0("new_event_loop")?,
            None => asyncio.call_method0("new_event_loop")?,
        };
        asyncio.call_method1("set_event_loop", (&event_loop,))?;
        // A task that starts at once ends at once when its application does not wait, without a turn of the loop.
        let eager = py.version_info() >= (3, 12);
        let task_options = PyDict::new(py);
        task_options.set_item("loop", &event_loop)?;
        task_options.set_item("name", "request")?;
        if eager {
            task_options.set_item("eager_start", true)?;
        }
        Ok(Self {
            call_soon: event_loop.getattr("call_soon")?.unbind(),
            create_future: event_loop.getattr("create_future")?.unbind(),
            event_loop: event_loop.unbind(),
            task: asyncio.getattr("Task")?.unbind(),
            task_options: task_options.unbind(),
            eager,
        })
    }

    /// Do tasks start when they are made?
    pub(crate) fn is_eager(&self) -> bool {
        self.eager
    }

    /// A task for this coroutine. Its context is a copy of the current one.
    #[inline]
    pub(crate) fn task<'py>(
        &self,
        py: Python<'py>,
        coroutine: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = PyTuple::new(py, [coroutine])?;
        self.task
            .bind(py)
            .call(arguments, Some(self.task_options.bind(py)))
    }

    /// Something to wait for.
    #[inline]
    pub(crate) fn future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.create_future.bind(py).call0()
    }

    #[inline]
    pub(crate) fn call_soon(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        self.call_soon.bind(py).call1((callback,)).map(drop)
    }

    pub(crate) fn call_later(
        &self,
        py: Python<'_>,
        delay: Duration,
        callback: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.event_loop
            .bind(py)
            .call_method1("call_later", (delay.as_secs_f64(), callback))
            .map(drop)
    }

    /// All tasks that have not ended.
    pub(crate) fn tasks<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let tasks = py
            .import("asyncio")?
            .call_method1("all_tasks", (self.event_loop.bind(py),))?;
        tasks.try_iter()?.collect()
    }

    pub(crate) fn watch(&self, py: Python<'_>, descriptor: i32, callback: Bound<'_, PyAny>) -> PyResult<()> {
        self.event_loop
            .bind(py)
            .call_method1(intern!(py, "add_reader"), (descriptor, callback))
            .map(drop)
    }

    pub(crate) fn forget(&self, py: Python<'_>, descriptor: i32) -> PyResult<()> {
        self.event_loop
            .bind(py)
            .call_method1(intern!(py, "remove_reader"), (descriptor,))
            .map(drop)
    }

    /// Runs until somebody calls [`EventLoop::stop`], or something raises through it.
    pub(crate) fn run(&self, py: Python<'_>) -> PyResult<()> {
        self.event_loop.bind(py).call_method0("run_forever").map(drop)
    }

    /// Runs for so long at most.
    pub(crate) fn run_for(&self, py: Python<'_>, longest: Duration) -> PyResult<()> {
        let event_loop = self.event_loop.bind(py);
        let stop = event_loop.getattr("stop")?;
        let timer = event_loop.call_method1("call_later", (longest.as_secs_f64(), stop))?;
        let ran = self.run(py);
        timer.call_method0("cancel")?;
        ran
    }

    pub(crate) fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.event_loop.bind(py).call_method0("stop").map(drop)
    }

    /// Cancels what is left, and lets asynchronous generators end; for so long at most.
    pub(crate) fn wind_up(&self, py: Python<'_>, longest: Duration) -> PyResult<()> {
        let asyncio = py.import("asyncio")?;
        let event_loop = self.event_loop.bind(py);
        let left = self.tasks(py)?;
        for task in &left {
            task.call_method0("cancel")?;
        }
        let options = PyDict::new(py);
        options.set_item("timeout", longest.as_secs_f64())?;
        if !left.is_empty() {
            let wait = asyncio.getattr("wait")?.call((left,), Some(&options))?;
            event_loop.call_method1("run_until_complete", (wait,))?;
        }
        event_loop
            .call_method1(
                "run_until_complete",
                (asyncio.call_method1(
                    "wait_for",
                    (
                        event_loop.call_method0("shutdown_asyncgens")?,
                        longest.as_secs_f64(),
                    ),
                )?,),
            )
            .map(drop)
    }
}

/// Is the loop there that the configuration asks for?
pub(crate) fn look(py: Python<'_>, kind: &str) -> Result<(), Refusal> {
    match kind {
        "uvloop" => py
            .import("uvloop")
            .map(drop)
            .map_err(|error| not_importable(py, &error)),
        _ => Ok(()),
    }
}

fn not_importable(py: Python<'_>, error: &PyErr) -> Refusal {
    let mut refusal = Refusal::raised(py, "python", "importing uvloop", error);
    if error.is_instance_of::<PyModuleNotFoundError>(py) {
        let interpreter = py
            .import("sys")
            .and_then(|sys| sys.getattr("executable"))
            .map_or_else(|_| "python".to_owned(), |executable| executable.to_string());
        refusal.message = format!(
            "loop = \"uvloop\", but uvloop is not installed for {interpreter}: \
             pip install uvloop, or loop = \"asyncio\""
        );
    }
    refusal
}
