//! `appliance check`: does each app import in its own interpreter?

use std::{
    path::Path,
    time::{Duration, Instant},
};

use config::{Config, Identity, Need, path_problem};
use wire::control::FromZygote;

use crate::{
    Engine, Error,
    cause::cause,
    engine::EngineFile,
    journey::{Failure, Journey},
    lines::Lines,
    os::{descriptors, proc, wait},
    ready::Interest,
    zygote::{Pipes, Zygote},
};

/// How often a check looks whether its process has ended.
const TURN: Duration = Duration::from_millis(50);

/// What importing one app has shown.
#[derive(Debug)]
pub struct AppCheck {
    /// Name of the app.
    pub app: String,
    /// The interpreter that was executed.
    pub python: String,
    /// What was imported, or the journey to the failure, a line each.
    pub outcome: Result<Imported, Vec<String>>,
}

/// An app that can be imported.
#[derive(Debug)]
pub struct Imported {
    /// Python's version.
    pub version: String,
    /// How long it took.
    pub import_ms: u64,
    /// What an operator should know of it, if anything.
    pub warning: Option<String>,
    /// What workers cannot share of it, so that each of them imports on its own; empty: nothing.
    pub unshared: String,
    /// The library with which it has patched the standard library itself; empty: none.
    pub patched: String,
}

/// Imports every app as the user it would run as, one after the other.
///
/// # Errors
/// When no app can be tried at all.
pub fn check_apps(config: &Config, engine: Engine) -> Result<Vec<AppCheck>, Error> {
    descriptors::reserve_low().map_err(Error::system("open /dev/null"))?;
    proc::look().map_err(Error::NoProc)?;
    wait::adopt_orphans().map_err(Error::system("prctl(PR_SET_CHILD_SUBREAPER)"))?;
    let state_dir = config.server.state_dir.as_deref();
    let engine = EngineFile::new(engine, state_dir).map_err(Error::Engine)?;
    Ok(config
        .apps
        .iter()
        .map(|app| check(config, app, &engine))
        .collect())
}

fn check(config: &Config, app: &config::App, engine: &EngineFile) -> AppCheck {
    let began = Instant::now();
    let mut journey = Journey::new(began);
    let identity = app.user.as_ref().or(config.server.user.as_ref());
    let outcome = match Zygote::start(app, identity, engine, true, began) {
        Ok((zygote, pipes)) => {
            journey.step(format!("exec {}", app.python.display()), Instant::now());
            Visit {
                zygote,
                pipes,
                stdout: Lines::default(),
                stderr: Lines::default(),
                found: None,
            }
            .end(&mut journey, app)
        }
        Err(error) => Err(Failure::new("exec", explain(&app.python, identity, &error))),
    };
    AppCheck {
        app: app.name.clone(),
        python: app.python.display().to_string(),
        outcome: outcome.map_err(|failure| journey.tell(&failure, Instant::now())),
    }
}

/// Requests of one client go to any worker, so what one process remembers fails at random with two.
pub(crate) fn lone_process(app: &config::App, stateful: &str) -> Option<String> {
    (!stateful.is_empty() && app.workers > 1).then(|| {
        format!(
            "app {} runs in {} processes, but keeps state in the process ({stateful}): write workers = 1",
            app.name, app.workers
        )
    })
}

/// What an application may have written, as a part of one line of ours.
fn line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

fn explain(python: &Path, identity: Option<&Identity>, error: &std::io::Error) -> String {
    let user = identity.cloned().unwrap_or_else(Identity::current);
    path_problem(python, &user, Need::Execute)
        .unwrap_or_else(|| format!("{} cannot be started: {error}", python.display()))
}

/// An interpreter that imports an app.
struct Visit {
    zygote: Zygote,
    pipes: Pipes,
    stdout: Lines,
    stderr: Lines,
    found: Option<Imported>,
}

impl Visit {
    fn end(mut self, journey: &mut Journey, app: &config::App) -> Result<Imported, Failure> {
        let ended = loop {
            let now = Instant::now();
            // Short turns: the end of the process itself wakes nobody here.
            let mut interest = Interest::default();
            if let Some(channel) = self.zygote.child.channel() {
                interest.channel(channel);
            }
            if interest.wait(TURN).is_err() {
                self.zygote.child.kill();
            }
            self.hear(app);
            self.listen(journey);
            if self.zygote.started + app.timeout.boot <= now {
                self.zygote.overdue(now);
            }
            self.zygote.tick(now);
            let mut dead = std::iter::from_fn(wait::reap);
            if let Some((_, ended)) = dead.find(|&(pid, _)| pid == self.zygote.pid) {
                break ended;
            }
        };
        self.hear(app);
        self.listen(journey);
        match (self.zygote.failure.take(), self.found.take()) {
            (Some(failure), _) => Err(failure),
            (None, Some(found)) => Ok(found),
            (None, None) if self.zygote.child.is_killed() => Err(Failure::new(
                "boot",
                format!("not imported within timeout.boot ({:?})", app.timeout.boot),
            )),
            (None, None) => Err(Failure::new(
                "python",
                format!("the interpreter died: {}", cause(ended, false, false)),
            )),
        }
    }

    fn hear(&mut self, app: &config::App) {
        while let Some(message) = self.zygote.hear() {
            match message {
                FromZygote::Ready {
                    python,
                    import_ms,
                    unshared,
                    stateful,
                    patched,
                } => {
                    self.zygote.ready = true;
                    self.found = Some(Imported {
                        version: line(&python),
                        import_ms,
                        unshared: line(&unshared),
                        patched: line(&patched),
                        warning: lone_process(app, &line(&stateful)),
                    });
                }
                FromZygote::Failed {
                    step,
                    message,
                    traceback,
                } => {
                    self.zygote.failure = Some(Failure {
                        step,
                        message,
                        traceback,
                    });
                }
                FromZygote::ForkFailed { .. } => {}
            }
        }
    }

    fn listen(&mut self, journey: &mut Journey) {
        let mut buffer = [0; 4096];
        for (pipe, lines) in [
            (&self.pipes.0, &mut self.stdout),
            (&self.pipes.1, &mut self.stderr),
        ] {
            while let Ok(len @ 1..) = rustix::io::read(pipe, &mut buffer) {
                lines.push(&buffer[..len], |line| journey.printed(line.text));
            }
        }
    }
}
