//! Why a process is dead, in words.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use crate::os::wait::Ended;

/// The cause in the words of an operator. `ours`: we had sent SIGKILL; `oom`: the kernel's count of processes it killed
/// for memory in our control group has risen.
pub(crate) fn cause(ended: Ended, ours: bool, oom: bool) -> String {
    match ended {
        Ended::Code(0) => "exited with code 0".to_owned(),
        Ended::Code(code) => format!("exited with code {code}"),
        Ended::Signal(9) if ours => "killed by us (SIGKILL)".to_owned(),
        Ended::Signal(9) if oom => "killed by the kernel, out of memory (SIGKILL)".to_owned(),
        Ended::Signal(9) => "killed by SIGKILL from outside, perhaps out of memory".to_owned(),
        Ended::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {}", signal.as_str()),
            Err(_) => format!("killed by signal {number}"),
        },
    }
}

/// What a process does that does not end by SIGKILL: its state and, where the kernel says so, what it waits
/// for.
pub(crate) fn stuck(pid: u32) -> String {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    does(state(&directory), &directory)
}

/// Was this process stopped by a signal?
pub(crate) fn is_stopped(pid: u32) -> bool {
    state(&PathBuf::from(format!("/proc/{pid}"))) == Some('T')
}

/// A thread of a process, and what it does.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) name: String,
    /// In the letters of `/proc/PID/stat`.
    pub(crate) state: char,
    /// The same in words, and the system call, where the kernel tells us.
    pub(crate) does: String,
}

/// All threads of a process.
pub(crate) fn threads(pid: u32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let directory = task.path();
            let state = state(&directory)?;
            let name = fs::read_to_string(directory.join("comm")).ok()?;
            let call = fs::read_to_string(directory.join("syscall")).unwrap_or_default();
            let mut does = does(Some(state), &directory);
            if let Some(number) = call.split(' ').next().filter(|call| call.parse::<u32>().is_ok()) {
                does = format!("{does}, system call {number}");
            }
            Some(Thread {
                name: name.trim().to_owned(),
                state,
                does,
            })
        })
        .collect()
}

/// The state of a process or thread, by its directory below /proc.
fn state(directory: &Path) -> Option<char> {
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // Behind the name, which may hold anything.
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

fn does(state: Option<char>, directory: &Path) -> String {
    let state = match state {
        Some('D') => "in uninterruptible sleep".to_owned(),
        Some('T') => "stopped by a signal".to_owned(),
        Some('Z') => "dead, and held by a process that traces it".to_owned(),
        Some(other) => format!("in state {other}"),
        None => return "gone from /proc".to_owned(),
    };
    let channel = fs::read_to_string(directory.join("wchan")).unwrap_or_default();
    match channel.trim() {
        "" | "0" => state,
        channel => format!("{state}, waits in {channel}"),
    }
}

/// The kernel's count of out-of-memory kills in our control group.
#[derive(Debug)]
pub(crate) struct OomKills {
    file: Option<PathBuf>,
    seen: u64,
}

impl OomKills {
    /// Finds the file of version 2 or 1 of control groups; without either nothing is ever known.
    pub(crate) fn find() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let file = groups
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let path = path.trim_start_matches('/');
                if controllers.is_empty() {
                    Some(PathBuf::from("/sys/fs/cgroup").join(path).join("memory.events"))
                } else if controllers.split(',').any(|name| name == "memory") {
                    Some(
                        PathBuf::from("/sys/fs/cgroup/memory")
                            .join(path)
                            .join("memory.oom_control"),
                    )
                } else {
                    None
                }
            })
            .find(|file| file.exists());
        let mut kills = Self { file, seen: 0 };
        kills.rose();
        kills
    }

    /// Has it risen since the last question?
    pub(crate) fn rose(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        let count = fs::read_to_string(file).map_or(self.seen, |text| count(&text));
        let rose = count > self.seen;
        self.seen = count;
        rose
    }
}

fn count(text: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix("oom_kill "))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_name_the_signal_and_who_sent_it() {
        assert_eq!(cause(Ended::Signal(11), false, false), "killed by SIGSEGV");
        assert_eq!(cause(Ended::Signal(9), true, true), "killed by us (SIGKILL)");
        assert!(cause(Ended::Signal(9), false, true).contains("out of memory"));
        assert!(cause(Ended::Signal(9), false, false).contains("perhaps"));
        assert_eq!(cause(Ended::Code(3), false, false), "exited with code 3");
    }

    #[test]
    fn the_kill_count_is_read_in_both_formats() {
        assert_eq!(count("low 0\noom 2\noom_kill 3\noom_group_kill 0\n"), 3);
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), 5);
    }
}
