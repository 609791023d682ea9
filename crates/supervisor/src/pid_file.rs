//! The file that holds the supervisor's pid while it runs.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::Error;

/// A pid file, locked: a second supervisor with the same file refuses to start. Removed when dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Locks the file and writes our pid into it.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::PidFile {
            path: path.to_owned(),
            source,
        };
        // A supervisor that ends removes its file; a lock on a removed file protects nothing, so look again.
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(path)
                .map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    return Err(Error::Running {
                        path: path.to_owned(),
                        pid: holder.trim().to_owned(),
                    });
                }
                Err(error) => return Err(failed(error.into())),
            }
            if !same(&file, path) {
                continue;
            }
            file.set_len(0).map_err(failed)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())
                .map_err(failed)?;
            return Ok(Self {
                path: path.to_owned(),
                file,
            });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if same(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_supervisor_is_refused_and_the_file_goes_with_the_first() {
        let path = std::env::temp_dir().join(format!("appliance-pid-{}", std::process::id()));
        let first = PidFile::claim(&path).expect("a new pid file");
        let written = fs::read_to_string(&path).expect("the pid file");
        assert_eq!(written.trim(), std::process::id().to_string());
        match PidFile::claim(&path) {
            Err(Error::Running { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(!path.exists());
    }
}
