//! The supervisor's and the proxy's part, played by the test: a zygote of a real interpreter, a worker, a link.

use std::{
    collections::HashSet,
    io::{IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
    },
    process::{Pid, Signal, WaitOptions},
};
use wire::{
    control::{FromWorker, FromZygote, MESSAGE_MAX, ToWorker, ToZygote},
    page::ENTRY_LEN,
};

use crate::{
    interpreter,
    link::{ENTRIES, Link},
};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const BOOTSTRAP: &str = include_str!("../../src/bootstrap.py");

/// Every CPython from 3.9 on that can be found; at least one.
pub(crate) fn pythons() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let root = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    if let Some(versions) = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok()) {
        found.extend(versions.filter_map(|version| Some(version.ok()?.path().join("bin/python3"))));
    }
    found.push("/usr/bin/python3".into());
    found.extend((9..=15).map(|minor| PathBuf::from(format!("/usr/bin/python3.{minor}"))));
    // The same one may have several names.
    let mut seen = HashSet::new();
    found.retain(|python| std::fs::canonicalize(python).is_ok_and(|real| seen.insert(real)));
    let scratch = target().join("tests");
    found.retain(|python| interpreter::facts(python, &scratch).is_some_and(|facts| facts.is_supported));
    assert!(!found.is_empty(), "no python3 to test with");
    found
}

/// Runs a test with each of them.
pub(crate) fn on_every_python(test: impl Fn(&Path)) {
    for python in pythons() {
        eprintln!("with {}", python.display());
        test(&python);
    }
}

/// Runs a test of a WSGI application on every host of every Python: threads, gevent, eventlet.
pub(crate) fn on_every_host(app: &str, test: impl Fn(&Plan<'_>)) {
    on_every_python(|python| test(&Plan::new(python, app)));
    on_every_green(app, test);
}

/// Runs a test with gevent and eventlet on every Python; 50 greenlets.
pub(crate) fn on_every_green(app: &str, test: impl Fn(&Plan<'_>)) {
    for python in pythons() {
        let python = greenhouse(&python);
        for library in ["gevent", "eventlet"] {
            eprintln!("with {library} in {}", python.display());
            test(&Plan::new(&python, app).green(library, 50));
        }
    }
}

/// The interpreter of a virtualenv that has gevent and eventlet, made once and kept for later runs.
pub(crate) fn greenhouse(python: &Path) -> PathBuf {
    let name = format!("green{}", interpreter::flat(python));
    let directory = target().join("tests/virtualenvs").join(name);
    interpreter::virtualenv(python, &directory, &["gevent", "eventlet"]);
    directory.join("bin/python")
}

/// TARGET of TARGET/PROFILE/deps/TEST
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(3).expect("a target directory");
    target.to_owned()
}

/// The engine as it ships, or that of `$ENGINE_BUILT`, where there is no cargo: built as the binary's build
/// script does it, into the same directory, so mostly it is there already.
pub(crate) fn engine() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(built) = std::env::var_os("ENGINE_BUILT") {
            return built.into();
        }
        let target_dir = target().join("engine");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--locked",
                "--lib",
                "--package",
                "worker",
                "--target-dir",
            ])
            .arg(&target_dir)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env("PYO3_NO_PYTHON", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "thin")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .status()
            .expect("cargo");
        assert!(status.success(), "the engine does not build");
        target_dir.join("release/libappliance_worker.so")
    })
}

/// What to start.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) python: &'a Path,
    pub(crate) app: &'a str,
    pub(crate) target: &'a str,
    pub(crate) threads: u32,
    /// `wsgi` or `asgi`
    pub(crate) interface: &'a str,
    pub(crate) event_loop: &'a str,
    pub(crate) lifespan: &'a str,
    pub(crate) pathsend: bool,
    /// `gevent`, `eventlet` or empty
    pub(crate) green: &'a str,
    pub(crate) preload: bool,
    pub(crate) check: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(python: &'a Path, app: &'a str) -> Self {
        Self {
            python,
            app,
            target: "app",
            threads: 1,
            interface: "wsgi",
            event_loop: "",
            lifespan: "",
            pathsend: false,
            green: "",
            preload: false,
            check: false,
        }
    }

    /// ASGI with asyncio's own loop.
    pub(crate) fn asgi(python: &'a Path, app: &'a str) -> Self {
        Self {
            interface: "asgi",
            event_loop: "asyncio",
            lifespan: "auto",
            ..Self::new(python, app)
        }
    }

    pub(crate) fn lifespan(self, lifespan: &'a str) -> Self {
        Self { lifespan, ..self }
    }

    pub(crate) fn pathsend(self) -> Self {
        Self {
            pathsend: true,
            ..self
        }
    }

    pub(crate) fn event_loop(self, event_loop: &'a str) -> Self {
        Self { event_loop, ..self }
    }

    pub(crate) fn green(self, green: &'a str, connections: u32) -> Self {
        Self {
            green,
            threads: connections,
            ..self
        }
    }

    pub(crate) fn threads(self, threads: u32) -> Self {
        Self { threads, ..self }
    }

    pub(crate) fn preload(self) -> Self {
        Self {
            preload: true,
            ..self
        }
    }

    pub(crate) fn check(self) -> Self {
        Self { check: true, ..self }
    }

    pub(crate) fn target(self, target: &'a str) -> Self {
        Self { target, ..self }
    }
}

/// A running zygote; killed when dropped.
pub(crate) struct Zygote {
    child: Child,
    control: OwnedFd,
    pub(crate) directory: tempfile::TempDir,
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Zygote {
    pub(crate) fn start(plan: &Plan<'_>) -> Self {
        // Workers are adopted by this process, as they are by the supervisor.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("subreaper");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("app.py"), plan.app).expect("the app");
        let (control, theirs) = pair(SocketType::SEQPACKET);
        let child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4<"$ENGINE" 0</dev/null"#, "sh"])
            .arg(plan.python)
            .args(["-B", "-c", BOOTSTRAP, &" ".repeat(200)])
            .env("ENGINE", engine())
            .stdin(Stdio::from(theirs))
            .spawn()
            .expect("an interpreter");
        let boot = ToZygote::Boot {
            app: "web".to_owned(),
            interface: plan.interface.to_owned(),
            target: plan.target.to_owned(),
            directory: directory.path().to_str().expect("a text").to_owned(),
            preload: plan.preload,
            threads: plan.threads,
            threads_patched: plan.threads,
            concurrency: plan.threads,
            event_loop: plan.event_loop.to_owned(),
            lifespan: plan.lifespan.to_owned(),
            pathsend: plan.pathsend,
            green: plan.green.to_owned(),
            shutdown_ms: 1000,
            check: plan.check,
        };
        send(&control, &boot.encode(), &[]);
        Self {
            child,
            control,
            directory,
        }
    }

    pub(crate) fn hear(&self) -> FromZygote {
        FromZygote::decode(&receive(&self.control).expect("the zygote is alive")).expect("a message")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes the control socket, as the death of the supervisor would.
    pub(crate) fn abandon(mut self) -> std::process::ExitStatus {
        self.control = pair(SocketType::SEQPACKET).0;
        self.child.wait().expect("a status")
    }

    /// Forks a worker and waits until it says hello.
    pub(crate) fn fork(&self, slot: u32) -> Worker {
        let (control, theirs) = pair(SocketType::SEQPACKET);
        let (out, stdout) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        let (err, stderr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        sockopt::set_socket_passcred(&control, true).expect("the kernel says who sends");
        send(
            &self.control,
            &ToZygote::Fork { slot }.encode(),
            &[theirs, stdout, stderr],
        );
        let (packet, sender) = receive_from(&control).expect("a hello");
        let hello = FromWorker::decode(&packet).expect("a message");
        assert_eq!(hello, FromWorker::Hello {});
        Worker {
            pid: sender.expect("the kernel says who sent it"),
            control: Some(control),
            stdout: collect(out),
            stderr: collect(err),
            reaped: false,
        }
    }
}

/// A running worker; killed when dropped.
pub(crate) struct Worker {
    pub(crate) pid: Pid,
    control: Option<OwnedFd>,
    pub(crate) stdout: Arc<Mutex<String>>,
    pub(crate) stderr: Arc<Mutex<String>>,
    reaped: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
        }
    }
}

impl Worker {
    /// One worker of one zygote, ready.
    pub(crate) fn ready(plan: &Plan<'_>) -> (Zygote, Self) {
        let zygote = Zygote::start(plan);
        let told = zygote.hear();
        assert!(matches!(told, FromZygote::Ready { .. }), "{told:?}");
        let worker = zygote.fork(0);
        let told = worker.hear();
        assert!(matches!(told, Some(FromWorker::Ready { .. })), "{told:?}");
        (zygote, worker)
    }

    pub(crate) fn hear(&self) -> Option<FromWorker> {
        let packet = receive(self.control.as_ref()?)?;
        Some(FromWorker::decode(&packet).expect("a message"))
    }

    pub(crate) fn tell(&self, message: &ToWorker) {
        send(self.control.as_ref().expect("a socket"), &message.encode(), &[]);
    }

    /// Tells it to drain, and waits until it has heard that: the next message is one that it complains about.
    pub(crate) fn drain(&self) {
        self.tell(&ToWorker::Drain { within_ms: 30_000 });
        self.tell(&ToWorker::Link { link: 99 });
        until("the drain has begun", || {
            let told = self.stderr.lock().expect("no panic");
            told.contains("link 99 can not be used")
        });
    }

    pub(crate) fn abandon(&mut self) {
        self.control = None;
    }

    /// Waits for its end; the exit code, if it was one.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        until("the worker ends", || {
            status = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG).expect("a child");
            status.is_some()
        });
        self.reaped = true;
        // What it has printed last is still on its way to us; a child that it leaves may keep the pipe open.
        let end = Instant::now() + Duration::from_secs(2);
        let is_read = |text: &Arc<Mutex<String>>| Arc::strong_count(text) == 1;
        while !(is_read(&self.stdout) && is_read(&self.stderr)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        status.and_then(|(_, status)| status.exit_status())
    }

    pub(crate) fn link(&self) -> Link {
        let (socket, theirs) = pair(SocketType::STREAM);
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE)).expect("a timeout");
        let page = shm::file::shared("page", (ENTRIES * ENTRY_LEN) as u64).expect("a page");
        let theirs_page = page.try_clone().expect("a duplicate");
        send(
            self.control.as_ref().expect("a socket"),
            &ToWorker::Link { link: 1 }.encode(),
            &[theirs, theirs_page],
        );
        Link {
            socket,
            page,
            buffer: Vec::new(),
            descriptors: Vec::new(),
            trays: Default::default(),
        }
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a pair of sockets")
}

pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[OwnedFd]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
    }
    let sent = sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )
    .expect("sent");
    assert_eq!(sent, bytes.len());
}

fn receive(socket: &OwnedFd) -> Option<Vec<u8>> {
    receive_from(socket).map(|(packet, _)| packet)
}

/// A packet, and the process that sent it where the socket was asked to say so.
fn receive_from(socket: &OwnedFd) -> Option<(Vec<u8>, Option<Pid>)> {
    sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(PATIENCE)).expect("a timeout");
    let mut packet = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut packet)],
        &mut beside,
        RecvFlags::empty(),
    )
    .ok()?;
    let sender = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid),
        _ => None,
    });
    packet.truncate(received.bytes);
    (received.bytes > 0).then_some((packet, sender))
}

/// Reads a pipe to its end, in a thread.
fn collect(pipe: OwnedFd) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&text);
    std::thread::spawn(move || {
        let mut pipe = std::fs::File::from(pipe);
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = pipe.read(&mut bytes) {
            // The mark of a line that belongs to no request says nothing to a test.
            let text = String::from_utf8_lossy(&bytes[..len]).replace("\u{1e}\u{1f}", "");
            let mut told = into.lock().expect("no panic");
            told.push_str(&text);
            if told.contains(NOT_GREENED) {
                *told = told.replace(NOT_GREENED, "");
            }
        }
    });
    text
}

/// What eventlet 0.41 says whenever it patches CPython 3.14 or later, which it does not know: of the lock
/// that a default argument in `threading` holds. It does so without us as well.
const NOT_GREENED: &str = "1 RLock(s) were not greened, to fix this error make sure you run eventlet.monkey_patch() \
                           before importing any other modules.\n";
