//! A supervisor under test, with its directory, and everything it starts killed at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use supervisor::{Engine, Options, ProxyProgram};

/// Makes this program the supervisor; its value is the directory.
pub(crate) const SUPERVISED: &str = "LIFE_SUPERVISED";

const PATIENCE: Duration = Duration::from_secs(20);

const ZYGOTE: &str = include_str!("zygote.py");

const PROXY: &str = include_str!("proxy.py");

/// The other role of this program.
pub(crate) fn supervise() -> ExitCode {
    let directory = PathBuf::from(std::env::var_os(SUPERVISED).unwrap_or_default());
    let options = Options {
        conf: directory.join("site.toml"),
        daemon: std::env::var_os("LIFE_DAEMON").is_some(),
        engine: Engine {
            library: b"not an engine",
            bootstrap: ZYGOTE,
        },
        proxy: ProxyProgram {
            program: "python3".into(),
            arg0: "fake proxy".into(),
            args: vec!["-c".into(), PROXY.into()],
            env: ["JOURNAL", "PROXY_BEHAVIOUR"]
                .into_iter()
                .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
                .collect(),
        },
    };
    ExitCode::from(supervisor::run(options))
}

/// A supervisor under test.
pub(crate) struct Bench {
    directory: PathBuf,
    address: String,
    proxy: &'static str,
    background: bool,
    child: Option<Child>,
}

impl Bench {
    pub(crate) fn new(name: &str, behaviour: &str, address: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("appliance-life-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let address = if address.is_empty() {
            "127.0.0.1:0"
        } else {
            address
        };
        let bench = Self {
            directory,
            address: address.to_owned(),
            proxy: "",
            background: false,
            child: None,
        };
        bench.write_conf(behaviour);
        bench
    }

    pub(crate) fn with_proxy(mut self, behaviour: &'static str) -> Self {
        self.proxy = behaviour;
        self
    }

    pub(crate) fn in_background(mut self) -> Self {
        self.background = true;
        self
    }

    pub(crate) fn write_conf(&self, behaviour: &str) {
        let text = format!(
            r#"[server]
grace = "3s"
pid_file = "appliance.pid"
[[listener]]
address = "{}"
[app.web]
wsgi = "{behaviour}"
python = "{}"
workers = 2
[app.web.timeout]
boot = "{}"
drain = "2s"
[log.access]
to = "./access.log"
[log.error]
to = "./error.log"
[[site]]
app = "web"
"#,
            self.address,
            python(),
            if behaviour.ends_with("hangs") { "1s" } else { "20s" },
        );
        fs::write(self.conf(), text).expect("a configuration");
    }

    /// Started, and waited for.
    pub(crate) fn started(self) -> Self {
        let bench = self.launched();
        bench.wait("it to serve", || bench.journal().contains(" start"));
        bench
    }

    pub(crate) fn launched(mut self) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        let terminal = fs::File::create(self.directory.join("terminal")).expect("a file");
        command
            .env(SUPERVISED, &self.directory)
            .env("JOURNAL", self.directory.join("journal"))
            .env("PROXY_BEHAVIOUR", self.proxy)
            .stdin(Stdio::null())
            .stdout(terminal.try_clone().expect("a second descriptor"))
            .stderr(terminal);
        if self.background {
            command.env("LIFE_DAEMON", "1");
        }
        self.child = Some(command.spawn().expect("the supervisor"));
        self
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.directory.join("site.toml")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.join("appliance.pid")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.directory.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the proxies were told.
    pub(crate) fn journal(&self) -> String {
        self.read("journal")
    }

    pub(crate) fn log(&self) -> String {
        self.read("error.log")
    }

    /// What was written to the terminal.
    pub(crate) fn terminal(&self) -> String {
        self.read("terminal")
    }

    /// Process ids of the workers in the order in which proxies were told of them.
    pub(crate) fn workers(&self) -> Vec<u32> {
        pids(&self.journal(), "pid=", "link app=")
    }

    pub(crate) fn proxies(&self) -> Vec<u32> {
        let journal = self.journal();
        let boots = journal.lines().filter(|line| line.contains(" boot "));
        boots
            .filter_map(|line| line.split(' ').next()?.parse().ok())
            .collect()
    }

    pub(crate) fn zygotes(&self) -> Vec<u32> {
        pids(&self.log(), "pid=", "zygote ready")
    }

    pub(crate) fn wait_for_workers(&self, count: usize) -> Vec<u32> {
        self.wait("workers", || self.workers().len() >= count);
        self.workers()
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait(text, || self.log().contains(text));
    }

    pub(crate) fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(
                Instant::now() < until,
                "waited in vain for {what}\n--- journal\n{}\n--- log\n{}\n--- terminal\n{}",
                self.journal(),
                self.log(),
                self.terminal()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("launched").id(), name);
    }

    /// Waits for the end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("launched");
        let mut code = None;
        self.wait("its end", || {
            code = child.try_wait().expect("our child");
            code.is_some()
        });
        code.and_then(|status| status.code())
    }

    /// Waits for these processes to be gone.
    pub(crate) fn all_gone(&self, pids: &[u32]) {
        self.wait("all processes to be gone", || {
            !pids.iter().any(|&pid| is_alive(pid))
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Everything below it goes with it.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Ok(Ok(pid)) = fs::read_to_string(self.pid_file()).map(|text| text.trim().parse::<u32>())
            && self.background
        {
            kill(pid);
        }
        if std::thread::panicking() {
            eprintln!("left for you to look at: {}", self.directory.display());
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn pids(text: &str, before: &str, lines_with: &str) -> Vec<u32> {
    let lines = text.lines().filter(|line| line.contains(lines_with));
    lines
        .filter_map(|line| line.split(before).nth(1)?.split(' ').next()?.parse().ok())
        .collect()
}

fn python() -> String {
    let found = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .expect("python3 on PATH");
    String::from_utf8(found.stdout).expect("a path").trim().to_owned()
}

/// Is it there, and not only waiting to be reaped?
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

pub(crate) fn kill(pid: u32) {
    signal(pid, "KILL");
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {name} {pid}");
}
