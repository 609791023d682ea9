//! The life of the supervisor, from its command line to its exit code.

use std::{
    collections::HashSet,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use config::{Config, To, Visible};
use logs::Fifo;
use rustix::process::Signal;
use tracing::{error, info, warn};

use crate::{
    Engine, Error, ProxyProgram,
    cause::{OomKills, stuck},
    context::{Numbers, Outputs, Pids},
    control::ControlSocket,
    daemon::{self, Background, Place},
    engine::EngineFile,
    generation::Proxies,
    listening::Listenings,
    log_files,
    names::Names,
    notify::Notify,
    os::{allocator, descriptors, open_files, proc, signals::Signals, wait},
    pid_file::PidFile,
    reload::Reload,
    supervisor::{Supervisor, read, tell},
};

/// What adopted processes get between SIGTERM and SIGKILL at the end.
const STRANGERS_WITHIN: Duration = Duration::from_secs(1);

/// What is still there so long after SIGKILL is left to the kernel.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// Between two looks at what is left, after SIGTERM and after SIGKILL: a process that forks and ends, again
/// and again, lives no longer than a forked interpreter needs to fork.
const ASKED_LOOK: Duration = Duration::from_millis(5);
const KILLED_LOOK: Duration = Duration::from_micros(50);

/// Where so many appear of which none was there at SIGTERM, they multiply and have no time to wait for.
const NEWBORN_MAX: usize = 16;

/// What is to be run.
#[derive(Debug)]
pub struct Options {
    /// The configuration's file.
    pub conf: PathBuf,
    /// Go into the background.
    pub daemon: bool,
    /// The engine for the interpreters.
    pub engine: Engine,
    /// What is executed as the proxy.
    pub proxy: ProxyProgram,
}

/// Runs until it is told to stop. Answers the exit code. Everything that goes wrong was told when it returns: in the error log,
/// and before there is one, or where it is not the terminal, on standard error.
#[must_use]
pub fn run(options: Options) -> u8 {
    let read = config::absolute(&options.conf)
        .map_err(|problems| Error::Config(problems.to_string()))
        .and_then(|conf| Ok((read(&conf)?, conf)));
    let (config, conf) = match read {
        Ok(read) => read,
        Err(failure) => return say(&failure),
    };
    if options.daemon
        && let Err(failure) = daemon::check(&config)
    {
        return say(&failure);
    }
    let background = if options.daemon {
        match daemon::detach() {
            Ok(Place::Front(code)) => return code,
            Ok(Place::Background(background)) => Some(background),
            Err(source) => {
                return say(&Error::System {
                    what: "fork into the background",
                    source,
                });
            }
        }
    } else {
        None
    };
    let life = Life {
        options,
        conf,
        config,
        background,
    };
    match life.live() {
        Ok(()) => 0,
        Err(Told::Yes(failure)) => failure.exit_code(),
        Err(Told::No(failure)) => say(&failure),
    }
}

/// What a life begins with.
struct Life {
    options: Options,
    conf: PathBuf,
    config: Config,
    background: Option<Background>,
}

/// Whether the operator can have seen it.
enum Told {
    Yes(Error),
    No(Error),
}

impl From<Error> for Told {
    fn from(failure: Error) -> Self {
        Self::No(failure)
    }
}

impl Life {
    fn live(self) -> Result<(), Told> {
        let Self {
            options,
            conf,
            config,
            background,
        } = self;
        allocator::one_arena();
        descriptors::reserve_low().map_err(Error::system("open /dev/null"))?;
        proc::look().map_err(Error::NoProc)?;
        let signals = Signals::open().map_err(Error::system("signalfd"))?;
        wait::adopt_orphans().map_err(Error::system("prctl(PR_SET_CHILD_SUBREAPER)"))?;
        let engine =
            EngineFile::new(options.engine, config.server.state_dir.as_deref()).map_err(Error::Engine)?;
        let _pid_file = config
            .server
            .pid_file
            .as_deref()
            .map(PidFile::claim)
            .transpose()?;
        // Before they are opened: then there is a reader, this program itself.
        let fifos = fifos(&config);
        let error_log = log_files::file(log_files::ERROR_LOG, &config.error_log.to)?;
        let log = logs::error_log::init(&config.error_log, "supervisor", error_log).map_err(|error| {
            Error::Log {
                key: log_files::ERROR_LOG,
                message: error.to_string(),
            }
        })?;
        info!(version = env!("CARGO_PKG_VERSION"), "starting");
        if let Err(error) = open_files::raise_limit() {
            warn!(%error, "limit of open files could not be raised");
        }
        let on_terminal = config.error_log.to == To::Stderr;
        let mut readers = Vec::new();
        for (key, path, fifo) in fifos {
            match fifo {
                Fifo::Unread => tell_unread(key, path),
                Fifo::Read(reader) => readers.push(reader),
            }
        }
        let mut supervisor = Supervisor {
            conf,
            signals,
            engine,
            proxies: Proxies {
                program: options.proxy,
                detached: background.is_some(),
            },
            log,
            notify: Notify::find(),
            generations: Vec::new(),
            listenings: Listenings::default(),
            outputs: Outputs::default(),
            numbers: Numbers::default(),
            generation_numbers: Numbers::default(),
            pids: Pids::default(),
            oom_kills: OomKills::find(),
            names: Names::default(),
            reload: Reload::default(),
            last_reload: None,
            control: ControlSocket::default(),
            started: Instant::now(),
            cut_at: None,
            stop_by: None,
            stopped_at: None,
        };
        let lived = supervisor.begin(config, true, Instant::now()).and_then(|()| {
            supervisor.settle_control();
            supervisor.run(|| {
                drop(readers);
                background.into_iter().for_each(Background::started);
            })
        });
        for generation in &mut supervisor.generations {
            generation.kill();
        }
        // Nobody answers from here on. Who waits for the end stays connected.
        supervisor.control.close();
        bury();
        let Err(failure) = lived else {
            info!("stopped");
            return Ok(());
        };
        tell(&failure);
        supervisor.log.flush(STRANGERS_WITHIN);
        // Where the log is a file, whoever started us sees it on the terminal as well.
        Err(if on_terminal {
            Told::Yes(failure)
        } else {
            Told::No(failure)
        })
    }
}

/// The logs that go to a FIFO, by their keys.
fn fifos(config: &Config) -> Vec<(&'static str, &PathBuf, Fifo)> {
    log_files::places(config)
        .into_iter()
        .filter_map(|(key, to)| match to {
            Some(To::File(path)) => Some((key, path, logs::look_at_fifo(path)?)),
            _ => None,
        })
        .collect()
}

fn tell_unread(key: &str, path: &std::path::Path) {
    let path = path.to_string_lossy();
    warn!(key, %path, "nobody reads this FIFO; lines wait, and then are dropped");
    // The error log may be the one that nobody reads.
    let _ = writeln!(
        std::io::stderr(),
        "appliance: {key}: nobody reads the FIFO {}; lines wait, and then are dropped",
        Visible(&path)
    );
}

/// Ends what is left below us: what our processes had started and we have adopted.
fn bury() {
    let mut asked = HashSet::new();
    let first = wait::children().len();
    let asked_all = all_end_within(STRANGERS_WITHIN, ASKED_LOOK, |pid| {
        if asked.insert(pid) {
            wait::kill(pid, Signal::TERM);
        }
        asked.len() <= first + NEWBORN_MAX
    });
    if asked_all {
        return;
    }
    let mut killed = HashSet::new();
    // What multiplies is killed faster than that, again and again.
    let all_killed = all_end_within(KILLED_WITHIN, KILLED_LOOK, |pid| {
        if killed.insert(pid) && killed.len() <= NEWBORN_MAX {
            warn!(pid, "a process an app had started does not end, killed");
        }
        wait::kill(pid, Signal::KILL);
        true
    });
    if !all_killed {
        for pid in wait::children() {
            error!(
                pid,
                cause = stuck(pid),
                "a process does not end though it was killed, it is left"
            );
        }
    }
}

/// Collects what ends, and does something about each child that has not, until it says `false`. `true`: no
/// child is left.
fn all_end_within(time: Duration, pause: Duration, mut act: impl FnMut(u32) -> bool) -> bool {
    let by = Instant::now() + time;
    loop {
        while wait::reap().is_some() {}
        let children = wait::children();
        if children.is_empty() {
            return true;
        }
        if !children.into_iter().all(&mut act) || Instant::now() >= by {
            return false;
        }
        std::thread::sleep(pause);
    }
}

fn say(failure: &Error) -> u8 {
    let _ = writeln!(std::io::stderr(), "appliance: {}", Visible(&failure.to_string()));
    failure.exit_code()
}
