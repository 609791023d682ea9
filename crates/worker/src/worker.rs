//! A worker: forked by the zygote, adopted by the supervisor, runs requests until it is told to leave.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use pyo3::{
    prelude::*,
    types::{PyCFunction, PyDict, PyTuple},
};
use rustix::process::{Pid, Signal};
use wire::control::{FromWorker, ToWorker};

use crate::{
    application,
    asgi::server::Server,
    boot::Boot,
    control::{Control, fitting},
    engine::{Engine, body_file::about_to_fork, evented::Evented, queue::Queue, ticker},
    ffi::{descriptors, exit_now, signals, threads, title},
    green::{self, Green},
    hosts, output,
    refusal::Refusal,
    report,
    unshared::places::Places,
};

/// How long the fork's middle process may take to end.
const ADOPTION: Duration = Duration::from_secs(5);

/// How long threads and exit functions of the application may hold up an exit in which every answer has been sent.
const FAREWELL: Duration = Duration::from_secs(3);

/// An event loop that does not turn for so long is held up by what it runs.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a worker gets from the fork.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) boot: Boot,
    pub(crate) slot: u32,
    /// It tells what its application costs, for all workers that import it themselves.
    pub(crate) tells_cost: bool,
    /// It tells where its import opens what workers cannot share.
    pub(crate) tells_places: bool,
    pub(crate) control: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) supervisor: Option<Pid>,
}

/// All of a worker's life.
pub(crate) fn run(py: Python<'_>, birth: Birth, application: Option<Py<PyAny>>) -> ! {
    let born = Instant::now();
    let boot = birth.boot;
    output::forget();
    threads::this_is_main();
    for (stream, number) in [(&birth.stdout, 1), (&birth.stderr, 2)] {
        let _ = descriptors::put_at(stream, number);
    }
    drop((birth.stdout, birth.stderr));
    signals::leave_to_supervisor();
    if !be_adopted(birth.supervisor) {
        exit_now(0);
    }
    title::set(
        &format!("appliance: worker {}/{}", boot.app, birth.slot),
        &format!("{}/{}", boot.app, birth.slot),
    );
    let control = Arc::new(Control::new(birth.control));
    if control.send(&FromWorker::Hello {}.encode()).is_err() {
        exit_now(0);
    }
    signals::ask_on(control.socket(), FromWorker::Leave {}.encode());
    signals::leave_to_supervisor();
    if let Err(error) = prepare(py, &control, &boot) {
        fail(
            py,
            &control,
            Refusal::raised(py, "after_fork", "preparing the worker", &error),
        );
    }
    let inherited = application.is_some();
    let application = match application {
        Some(application) => application,
        None => match import(py, &boot, birth.tells_places) {
            Ok(application) => {
                if birth.tells_cost {
                    application::tell_cost(py, &application, &boot);
                }
                application.unbind()
            }
            Err(refusal) => fail(py, &control, refusal),
        },
    };
    // Only now, because an application that patches the standard library wants greenlets.
    let library = green::library(py, &boot);
    let engine = match start(py, &control, &boot, library) {
        Ok(engine) => engine,
        Err(refusal) => fail(py, &control, refusal),
    };
    let greenlets = match (&engine, library) {
        (Engine::Evented(evented), Some(library)) => {
            match Green::new(py, &boot, library, inherited, evented, &application) {
                Ok(greenlets) => Some(greenlets),
                Err(refusal) => fail(py, &control, refusal),
            }
        }
        _ => None,
    };
    let server = match &engine {
        Engine::Threads(_) => None,
        Engine::Evented(_) if greenlets.is_some() => None,
        Engine::Evented(evented) => match Server::start(py, &boot, evented, application.clone_ref(py)) {
            Ok(server) => Some(server),
            Err(refusal) => fail(py, &control, refusal),
        },
    };
    // The application may have installed handlers of its own while it was imported.
    signals::leave_to_supervisor();
    output::end(py);
    let ready = FromWorker::Ready {
        boot_ms: u64::try_from(born.elapsed().as_millis()).unwrap_or(u64::MAX),
        evented: matches!(engine, Engine::Evented(_)),
        concurrency: u32::try_from(match &engine {
            Engine::Threads(queue) => queue.slots.len(),
            Engine::Evented(_) => boot.concurrency,
        })
        .unwrap_or(u32::MAX),
    };
    if control.send(&ready.encode()).is_err() {
        exit_now(0);
    }
    let served = match (&engine, &greenlets, &server) {
        (Engine::Threads(queue), _, _) => hosts::serve(py, queue, &application),
        (Engine::Evented(_), Some(greenlets), _) => greenlets.serve(py),
        (Engine::Evented(_), None, Some(server)) => server.serve(py),
        (Engine::Evented(_), None, None) => Ok(()),
    };
    if let Err(error) = served {
        output::tell(py, &report::traceback(py, &error));
        exit_now(1);
    }
    leave(py, &engine)
}

/// The import that the zygote has not done. `tells_places`: it is watched for what it opens.
fn import<'py>(py: Python<'py>, boot: &Boot, tells_places: bool) -> Result<Bound<'py, PyAny>, Refusal> {
    green::patch(py, boot)?;
    let watch = tells_places
        .then(|| {
            Places::watch(py, &boot.directory, !boot.green.is_empty())
                .ok()
                .flatten()
        })
        .flatten();
    let imported = application::import(py, boot);
    if let Some(places) = watch.and_then(|watch| watch.end(py).ok()) {
        for place in places {
            output::tell(py, &format!("{place}, so the workers cannot share one import"));
        }
    }
    imported
}

/// Waits until the supervisor is the parent, then asks to die with it. `false`: it is gone already.
fn be_adopted(supervisor: Option<Pid>) -> bool {
    let deadline = Instant::now() + ADOPTION;
    while rustix::process::getppid() != supervisor {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    // Asked again afterwards: it may have died in between, and then no signal comes.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && rustix::process::getppid() == supervisor
}

/// What comes before the application: what was inherited is made the worker's own.
fn prepare(py: Python<'_>, control: &Arc<Control>, boot: &Boot) -> PyResult<()> {
    reseed(py)?;
    if boot.threads > 1 {
        // A thread that has the GIL gives it up after 1 ms, not 5.
        py.import("sys")?.call_method1("setswitchinterval", (0.001,))?;
    }
    let forks = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| about_to_fork();
    at_fork(py, "before", PyCFunction::new_closure(py, None, None, forks)?)?;
    let control = Arc::clone(control);
    disown_copies(py, move |null| {
        let _ = descriptors::replace(null, control.socket());
    })
}

/// The engine for this host, its threads, and the one that hears the supervisor.
fn start(
    py: Python<'_>,
    control: &Arc<Control>,
    boot: &Boot,
    greenlets: Option<&str>,
) -> Result<Engine, Refusal> {
    let engine = if boot.interface == "asgi" || greenlets.is_some() {
        Evented::new().map(|evented| Engine::Evented(Arc::new(evented)))
    } else {
        Queue::new(hosts::threads(py, boot)).map(|queue| Engine::Threads(Arc::new(queue)))
    };
    let engine = engine
        .map_err(|error| Refusal::new("after_fork", format!("the engine can not be started: {error}")))?;
    let disowned = engine.clone();
    disown_copies(py, move |null| disowned.disown(null))
        .map_err(|error| Refusal::raised(py, "after_fork", "preparing the worker", &error))?;
    let (for_control, control) = (engine.clone(), Arc::clone(control));
    thread("control", move || listen(&control, &for_control))?;
    let for_ticker = engine.clone();
    thread("ticker", move || match for_ticker {
        Engine::Threads(queue) => ticker::run(&queue),
        Engine::Evented(evented) => ticker::run(&evented),
    })?;
    Ok(engine)
}

fn thread(name: &str, life: impl FnOnce() + Send + 'static) -> Result<(), Refusal> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(life)
        .map(drop)
        .map_err(|error| {
            Refusal::new(
                "after_fork",
                format!("the {name} thread can not be started: {error}"),
            )
        })
}

/// What must not be shared by processes. Python's own modules see to themselves.
fn reseed(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    if let Some(random) = modules.get_item("numpy.random")? {
        random.call_method0("seed")?;
    }
    Ok(())
}

/// What the application forks (a pool of `multiprocessing`, above all) is not this worker: something of ours
/// is taken from it there.
fn disown_copies(py: Python<'_>, disown: impl Fn(&OwnedFd) + Send + Sync + 'static) -> PyResult<()> {
    let disown = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        if let Ok(null) = descriptors::null() {
            disown(&null);
        }
    };
    at_fork(
        py,
        "after_in_child",
        PyCFunction::new_closure(py, None, None, disown)?,
    )
}

fn at_fork(py: Python<'_>, when: &str, call: Bound<'_, PyCFunction>) -> PyResult<()> {
    let options = PyDict::new(py);
    options.set_item(when, call)?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&options))
        .map(drop)
}

fn fail(py: Python<'_>, control: &Control, refusal: Refusal) -> ! {
    output::end(py);
    let failed = FromWorker::Failed {
        step: refusal.step.to_owned(),
        message: fitting(&refusal.message),
        traceback: fitting(&refusal.traceback),
    };
    let _ = control.send(&failed.encode());
    exit_now(1)
}

/// The control thread: never takes the GIL, so it hears the supervisor whatever the application does.
fn listen(control: &Control, engine: &Engine) {
    let mut packet = Vec::new();
    loop {
        let Some(descriptors) = control.receive(&mut packet) else {
            exit_now(0)
        };
        match ToWorker::decode(&packet) {
            Ok(ToWorker::Link { link }) => {
                let added = match <[OwnedFd; 2]>::try_from(descriptors) {
                    Ok([socket, page]) => engine.add_link(socket, &page).map_err(|error| error.to_string()),
                    Err(_) => Err("a link needs two descriptors".to_owned()),
                };
                if let Err(error) = added {
                    let told = format!("link {link} can not be used: {error}\n");
                    let _ = rustix::io::write(rustix::stdio::stderr(), told.as_bytes());
                }
            }
            Ok(ToWorker::Drain { within_ms }) => engine.drain(Duration::from_millis(within_ms)),
            Ok(ToWorker::Interrupt { thread }) => {
                // Waits for the GIL, which may never come; the control socket must not wait with it.
                let engine = engine.clone();
                let _ = std::thread::Builder::new().spawn(move || interrupt(&engine, thread));
            }
            Err(_) => exit_now(1),
        }
    }
}

fn interrupt(engine: &Engine, thread: u32) {
    match engine {
        Engine::Threads(queue) => Python::attach(|py| {
            for slot in &queue.slots {
                if (thread == 0 || slot.thread.load(Ordering::Relaxed) == thread) && slot.interrupt() {
                    threads::raise_system_exit(py, slot.ident.load(Ordering::Relaxed));
                }
            }
        }),
        Engine::Evented(evented) => {
            // A loop that turns ends a request on its own; an exception would hit any other one.
            let turns = evented.knock();
            std::thread::sleep(PATIENCE);
            if evented.turns() == turns {
                Python::attach(|py| threads::raise_system_exit(py, threads::main_ident()));
            }
        }
    }
}

/// Every answer is sent, then the application's own end, bounded, then ours. Not Py_Finalize: it waits for, and crashes on, what threads
/// of C code do.
fn leave(py: Python<'_>, engine: &Engine) -> ! {
    py.detach(|| engine.leave());
    let _ = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(FAREWELL);
        exit_now(0);
    });
    let farewell = || -> PyResult<()> {
        py.import("threading")?.call_method0("_shutdown")?;
        py.import("atexit")?.call_method0("_run_exitfuncs")?;
        Ok(())
    };
    if let Err(error) = farewell() {
        output::tell(py, &report::traceback(py, &error));
    }
    output::end(py);
    exit_now(0)
}
