//! Sites of one small application below `tests/apps`, requests that run beside the test, and files that the two tell each other.

use std::{fs, process::Command, thread::JoinHandle};

use super::{Connection, Response, Site, processes, wait_for};

impl Site {
    /// A site of the application in `tests/apps/APP`, with `keys` in its `[app.web]` and `more` sections. The application finds
    /// the site's directory in `$GATE`, unless the keys have an environment of their own.
    pub(crate) fn of_app(test: &str, app: &str, keys: &str, more: &str) -> Self {
        let site = Self::new(test);
        site.config(&of_app(app, keys, more));
        site
    }

    /// A GET on its own connection, in its own thread.
    pub(crate) fn beside(&self, target: &str) -> JoinHandle<Response> {
        let (port, target) = (self.port, target.to_owned());
        std::thread::spawn(move || Connection::open(port).get(&target, &[]))
    }

    /// Waits until the application has left a file of this name with that many lines; gives the lines.
    #[track_caller]
    pub(crate) fn lines_of(&self, name: &str, count: usize) -> Vec<String> {
        let path = self.directory.join(name);
        wait_for(&format!("{count} lines in {}", path.display()), || {
            let lines: Vec<_> = fs::read_to_string(&path)
                .ok()?
                .lines()
                .map(str::to_owned)
                .collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Waits until there are so many processes with this text in their title.
    #[track_caller]
    pub(crate) fn processes_at_least(&self, title: &str, count: usize) -> Vec<super::processes::Process> {
        wait_for(&format!("{count} processes named {title:?}"), || {
            let found = self.processes_named(title);
            (found.len() >= count).then_some(found)
        })
    }

    /// Waits until the error log contains a text so many times.
    #[track_caller]
    pub(crate) fn wait_for_log_times(&self, text: &str, count: usize) {
        wait_for(
            &format!(
                "{text:?} {count} times in the error log of {}",
                self.directory.display()
            ),
            || (self.error_log().matches(text).count() >= count).then_some(()),
        );
    }
}

/// The configuration of [`Site::of_app`].
pub(crate) fn of_app(app: &str, keys: &str, more: &str) -> String {
    let environment = if keys.lines().any(|line| line.trim_start().starts_with("env =")) {
        ""
    } else {
        "env = { GATE = \"{dir}\" }"
    };
    let target = if keys.contains("wsgi =") || keys.contains("asgi =") {
        ""
    } else {
        "wsgi = \"wsgi\""
    };
    let python = if keys.contains("venv =") || keys.contains("\npython =") {
        ""
    } else {
        "python = \"{python}\""
    };
    format!(
        r#"
        [app.web]
        {target}
        directory = "{{apps}}/{app}"
        {python}
        {environment}
        {keys}

        [[site]]
        app = "web"
        {more}
        "#
    )
}

/// May we mount in a namespace of our own? In many containers root may not. Tests that need it say so and pass otherwise.
pub(crate) fn mounts() -> bool {
    if !root() {
        return false;
    }
    let mounted = Command::new("unshare")
        .args(["-m", "mount", "--make-rprivate", "/"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        println!("skipped: needs to mount");
    }
    mounted
}

/// The program in a mount namespace of its own, where `prepare` has been run; `program` becomes the last
/// command.
pub(crate) fn in_namespace(site: &Site, prepare: &str, program: &str) -> Command {
    let binary = site.directory.join("appliance");
    fs::copy(env!("CARGO_BIN_EXE_appliance"), &binary).unwrap();
    let mut command = Command::new("unshare");
    let script = format!(
        "set -e; {prepare}; exec {program} {} --conf {}/site.toml",
        binary.display(),
        site.directory.display()
    );
    command
        .args(["-m", "sh", "-c", &script])
        .env(processes::MARK, site.mark())
        .current_dir(&site.directory);
    command
}

/// Are we root? Tests that need it say so and pass otherwise.
pub(crate) fn root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        println!("skipped: needs root");
    }
    root
}
