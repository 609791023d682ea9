//! A control group with little memory, where the machine lets us make one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A control group; removed when dropped, by when nothing may run in it.
pub(crate) struct LittleMemory {
    directory: PathBuf,
}

impl LittleMemory {
    /// A group of at most `bytes`. `None`, and a word about it, where control groups are out of reach.
    pub(crate) fn new(name: &str, bytes: u64) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        for (parent, limit) in [
            (root.join("memory"), "memory.limit_in_bytes"),
            (root.to_path_buf(), "memory.max"),
        ] {
            let directory = parent.join(format!("{name}-{}", std::process::id()));
            if fs::create_dir(&directory).is_err() {
                continue;
            }
            let group = Self { directory };
            // A plain directory that is no control group of memory takes no limit.
            if group.directory.join(limit).exists()
                && fs::write(group.directory.join(limit), bytes.to_string()).is_ok()
            {
                return Some(group);
            }
        }
        println!("skipped: no control group can be made here");
        None
    }

    /// The same command, run inside.
    pub(crate) fn inside(&self, program: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""])
            .arg(&self.directory)
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        if let Some(directory) = program.get_current_dir() {
            shell.current_dir(directory);
        }
        shell
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.directory);
    }
}
