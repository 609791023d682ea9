//! Finding the processes of one site, whatever became of their parents.

use std::{fs, path::Path};

/// Environment variable that marks every process of a site under test. Not one of `APPLIANCE_`, which applications do not get.
pub(crate) const MARK: &str = "SITE_UNDER_TEST";

/// One process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Its title, as `ps` shows it.
    pub(crate) title: String,
}

impl Process {
    /// Sends a signal by its number or name, as kill(1) takes it.
    pub(crate) fn signal(&self, signal: &str) {
        signal_pid(self.pid, signal);
    }
}

/// Sends a signal; a process that is gone is no failure.
pub(crate) fn signal_pid(pid: i32, signal: &str) {
    let _ = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
}

/// Every living process that carries the mark. Supervisor, proxy and zygote show their environment to root
/// alone; to others the first is known by its arguments, which name the site's directory, and the others are
/// its children. A proxy has no mark: it works in the site's directory, or its supervisor has the mark.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let directory = format!("/{mark}/");
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let all: Vec<Seen> = entries
        .flatten()
        .filter_map(|entry| Seen::at(&entry.path()))
        .collect();
    let supervisor = all
        .iter()
        .find(|seen| seen.environment.is_none() && seen.process.title.contains(&directory))
        .map(|seen| seen.process.pid);
    let marked: Vec<i32> = all
        .iter()
        .filter(|seen| seen.has(&wanted))
        .map(|seen| seen.process.pid)
        .collect();
    all.into_iter()
        .filter(|seen| match &seen.environment {
            Some(_) if seen.process.title == "appliance: proxy" => {
                seen.works_in(mark) || marked.contains(&seen.parent)
            }
            Some(_) => marked.contains(&seen.process.pid),
            None => supervisor.is_some_and(|pid| [seen.process.pid, seen.parent].contains(&pid)),
        })
        .map(|seen| seen.process)
        .collect()
}

/// A living process, as far as we may look.
struct Seen {
    process: Process,
    parent: i32,
    environment: Option<Vec<u8>>,
}

impl Seen {
    /// Is this variable, as `NAME=VALUE`, in its environment?
    fn has(&self, variable: &str) -> bool {
        let mut variables = self
            .environment
            .iter()
            .flat_map(|all| all.split(|&byte| byte == 0));
        variables.any(|other| other == variable.as_bytes())
    }

    /// Is the last part of its directory this?
    fn works_in(&self, name: &str) -> bool {
        fs::read_link(format!("/proc/{}/cwd", self.process.pid))
            .is_ok_and(|directory| directory.ends_with(name))
    }

    fn at(proc: &Path) -> Option<Self> {
        let pid = proc.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(proc.join("stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        let line = fs::read(proc.join("cmdline")).ok()?;
        let text = String::from_utf8_lossy(&line).replace('\0', " ");
        Some(Self {
            process: Process {
                pid,
                title: text.trim().to_owned(),
            },
            parent: fields.next()?.parse().ok()?,
            environment: fs::read(proc.join("environ")).ok(),
        })
    }
}
