//! One running site: its directory, its processes, its logs.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    Connection, Response, free_port,
    processes::{self, Process},
    scratch, wait_for, workspace,
};

/// A site under test. Dropping it kills every process it started; when the test failed its directory is kept and named.
pub(crate) struct Site {
    name: String,
    /// Holds `site.toml`, the logs and what the test puts there.
    pub(crate) directory: PathBuf,
    /// Plain port, for `{port}` in the configuration.
    pub(crate) port: u16,
    /// TLS port, for `{tls_port}` in the configuration.
    pub(crate) tls_port: u16,
    child: Option<Child>,
    expected_errors: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Site {
    /// A site with an empty directory. Nothing runs yet.
    pub(crate) fn new(test: &str) -> Self {
        Self::below(&scratch().join("sites"), test)
    }

    /// A site in a place that every user can reach, which the checkout may not be: for tests that run as another user.
    pub(crate) fn in_the_open(test: &str) -> Self {
        Self::below(&std::env::temp_dir(), &format!("appliance-{test}"))
    }

    fn below(parent: &Path, test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{test}-{}-{number}", std::process::id());
        let directory = parent.join(&name);
        fs::create_dir_all(&directory).unwrap();
        Self {
            name,
            directory,
            port: free_port(),
            tls_port: free_port(),
            child: None,
            expected_errors: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Writes the configuration: `{port}`, `{tls_port}`, `{dir}`, `{apps}` (tests/apps) and `{python}` (the system's interpreter)
    /// are replaced, and logs go to `access.log` and `error.log` in the directory unless the text says otherwise.
    pub(crate) fn config(&self, text: &str) -> &Self {
        let mut text = text
            .replace("{port}", &self.port.to_string())
            .replace("{tls_port}", &self.tls_port.to_string())
            .replace("{dir}", &self.directory.display().to_string())
            .replace("{apps}", &workspace().join("tests/apps").display().to_string())
            .replace("{python}", &super::python::python().path.display().to_string());
        if !text.contains("[[listener]]") {
            text.push_str(&format!(
                "\n[[listener]]\naddress = \"127.0.0.1:{}\"\n",
                self.port
            ));
        }
        if !text.contains("[log.access]") {
            text.push_str("\n[log.access]\nto = \"./access.log\"\nformat = \"json\"\n");
        }
        if !text.contains("[log.error]") {
            text.push_str("\n[log.error]\nto = \"./error.log\"\nlevel = \"info\"\n");
        }
        self.write("site.toml", &text);
        self
    }

    /// Writes a file below the directory.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Sets a variable in the environment of the program.
    pub(crate) fn environment(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The test expects an error or warning that contains this text; any other line of level ERROR fails the test.
    pub(crate) fn expect_error(&mut self, text: &str) -> &mut Self {
        self.expected_errors.push(text.to_owned());
        self
    }

    /// The command that runs the program on this site.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_appliance"));
        command
            .arg("--conf")
            .arg(self.directory.join("site.toml"))
            .args(arguments)
            .env(processes::MARK, &self.name)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// The same by way of another program, which gets this one and its arguments behind its own.
    pub(crate) fn command_by(&self, other: &str, arguments: &[&str]) -> Command {
        let program = self.command(&[]);
        let mut command = Command::new(other);
        command
            .args(arguments)
            .arg(program.get_program())
            .args(program.get_args())
            .envs(
                program
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// Starts the program and waits until it answers on its first listener.
    #[track_caller]
    pub(crate) fn start(&mut self) -> &mut Self {
        let command = self.command(&[]);
        self.start_by(command)
    }

    /// Starts the program by a command that becomes the program, and waits until it serves.
    #[track_caller]
    pub(crate) fn start_by(&mut self, command: Command) -> &mut Self {
        self.spawn_by(command);
        wait_for("the site serves", || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!(
                    "the site ended with {status}:\n{}{}",
                    self.output(),
                    self.error_log()
                );
            }
            self.told().contains(" serving generation=1 ").then_some(())
        });
        self
    }

    /// Output and error log, wherever the configuration sends the latter.
    fn told(&self) -> String {
        self.output() + &self.error_log()
    }

    /// Starts the program without waiting for anything.
    pub(crate) fn spawn(&mut self) -> &mut Self {
        let command = self.command(&[]);
        self.spawn_by(command)
    }

    /// The same by a command that becomes the program.
    pub(crate) fn spawn_by(&mut self, mut command: Command) -> &mut Self {
        assert!(self.child.is_none(), "the site runs already");
        let output = File::create(self.directory.join("output")).unwrap();
        let child = command
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self
    }

    /// What [`processes::MARK`] is for this site; for commands that clear the environment.
    pub(crate) fn mark(&self) -> &str {
        &self.name
    }

    /// Waits until the program has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        wait_for("the site ends", || child.try_wait().unwrap())
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal to the supervisor.
    pub(crate) fn signal(&self, signal: &str) {
        processes::signal_pid(self.pid(), signal);
    }

    /// Process id of the supervisor.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().expect("the site runs").id()).unwrap()
    }

    /// All living processes of this site.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::marked(&self.name)
    }

    /// Living processes whose title contains this text.
    pub(crate) fn processes_named(&self, title: &str) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(|process| process.title.contains(title))
            .collect()
    }

    /// A plain connection.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.port)
    }

    /// One GET on its own connection.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.connect().get(target, &[])
    }

    /// What the program wrote to standard output and standard error.
    pub(crate) fn output(&self) -> String {
        self.read("output")
    }

    /// The error log so far.
    pub(crate) fn error_log(&self) -> String {
        self.read("error.log")
    }

    /// The access log so far.
    pub(crate) fn access_log(&self) -> String {
        self.read("access.log")
    }

    /// Waits until the access log has this many lines, and gives them as JSON texts.
    #[track_caller]
    pub(crate) fn access_lines(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} access lines"), || {
            let log = self.access_log();
            let lines: Vec<_> = log.lines().map(str::to_owned).collect();
            (log.ends_with('\n') && lines.len() >= count).then_some(lines)
        })
    }

    /// Waits until the access log has this many lines, and gives them parsed; fails when there are more.
    #[track_caller]
    pub(crate) fn records(&self, count: usize) -> Vec<serde_json::Value> {
        let lines = self.access_lines(count);
        assert_eq!(lines.len(), count, "one line for each request: {lines:#?}");
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Waits until the error log contains a text.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        wait_for(
            &format!("{text:?} in the error log of {}", self.directory.display()),
            || self.error_log().contains(text).then_some(()),
        );
    }

    fn read(&self, name: &str) -> String {
        fs::read(self.directory.join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn unexpected_errors(&self) -> Vec<String> {
        self.told()
            .lines()
            .filter(|line| line.contains(" ERROR ") || line.contains("panicked"))
            .filter(|line| !self.expected_errors.iter().any(|text| line.contains(text)))
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is killed leaves its control socket, which may be in a directory of the machine.
        for place in config::control_search(&self.directory.join("site.toml")).places {
            let _ = fs::remove_file(place.path);
        }
        // Read before the kill, which may leave an error of its own.
        let errors = self.unexpected_errors();
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for process in self.processes() {
            process.signal("KILL");
        }
        if std::thread::panicking() {
            println!("kept for inspection: {}", self.directory.display());
            return;
        }
        assert!(
            errors.is_empty(),
            "unexpected errors in {}/error.log:\n{}",
            self.directory.display(),
            errors.join("\n")
        );
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Copies a directory tree, for applications that write beside themselves.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
