//! The engine on its way into the interpreters.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

/// The engine as it lies in our binary.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// The shared object.
    pub library: &'static [u8],
    /// Argument of the interpreter's `-c`: loads the shared object from descriptor 4 and runs it.
    pub bootstrap: &'static str,
}

/// Descriptor on which a zygote finds the shared object.
pub(crate) const ENGINE_FD: i32 = 4;

/// The engine as an open file that interpreters can load.
#[derive(Debug)]
pub(crate) struct EngineFile {
    file: OwnedFd,
    pub(crate) bootstrap: &'static str,
}

impl EngineFile {
    /// In memory; where memory may not be executed, in a file of the state directory or the one for temporary files,
    /// which has no name any more when this returns.
    pub(crate) fn new(engine: Engine, state_dir: Option<&Path>) -> io::Result<Self> {
        let file = shm::file::sealed("appliance-engine", engine.library, true).or_else(|error| {
            let temporary = std::env::temp_dir();
            [state_dir, Some(&*temporary)]
                .into_iter()
                .flatten()
                .find_map(|directory| on_disk(directory, engine.library).ok())
                .ok_or(error)
        })?;
        Ok(Self {
            file,
            bootstrap: engine.bootstrap,
        })
    }
}

impl AsFd for EngineFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn on_disk(directory: &Path, bytes: &[u8]) -> io::Result<OwnedFd> {
    let path = directory.join(format!("appliance-engine-{}", std::process::id()));
    // Readable by every user that an app may run as, writable by none.
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o555)
        .open(&path)?;
    // Whatever the umask takes away.
    let written = file
        .set_permissions(fs::Permissions::from_mode(0o555))
        .and_then(|()| file.write_all(bytes));
    // Opened again, for reading only: a file that is open for writing cannot be executed everywhere.
    let reading = File::open(&path);
    fs::remove_file(&path)?;
    written?;
    Ok(reading?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_engine_can_be_read_from_its_file() {
        let engine = Engine {
            library: b"shared object",
            bootstrap: "",
        };
        let file = EngineFile::new(engine, None).expect("a memory file");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file.as_fd()));
        assert_eq!(fs::read(path).expect("readable"), b"shared object");
    }

    #[test]
    fn the_file_on_disk_has_no_name_left() {
        let directory = std::env::temp_dir().join(format!("appliance-engine-test-{}", std::process::id()));
        fs::create_dir(&directory).expect("a directory");
        let mut file = File::from(on_disk(&directory, b"shared object").expect("a file"));
        let mut text = String::new();
        file.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "shared object");
        fs::remove_dir(&directory).expect("empty");
    }
}
