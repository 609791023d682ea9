//! Finding the processes of one site, whatever became of their parents.

use std::{fs, path::PathBuf};

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

/// Every living process that carries the mark.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let proc = entry.path();
            let environment = fs::read(proc.join("environ")).ok()?;
            environment
                .split(|&byte| byte == 0)
                .any(|variable| variable == wanted.as_bytes())
                .then(|| title(proc).map(|title| Process { pid, title }))?
        })
        .collect()
}

fn title(proc: PathBuf) -> Option<String> {
    let stat = fs::read_to_string(proc.join("stat")).ok()?;
    let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let line = fs::read(proc.join("cmdline")).ok()?;
    let text = String::from_utf8_lossy(&line).replace('\0', " ");
    Some(text.trim().to_owned())
}
