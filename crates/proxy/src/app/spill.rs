//! Temporary files for bodies that are too large to wait in memory.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, Once, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use config::Buffers;
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, memfd_create, open, unlink},
    io::Errno,
};
use tracing::warn;

use super::app_file;

/// A file nobody else can open and that is gone with its last descriptor. Where the file system cannot do
/// that in one step, the file is unlinked at once.
pub(super) fn temporary_file(buffers: &Buffers) -> Result<File, Unavailable> {
    let error = match unnamed(&buffers.directory) {
        Ok(file) => return Ok(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => match unlinked(&buffers.directory) {
            Ok(file) => return Ok(file),
            Err(error) => error,
        },
        Err(error) => error,
    };
    // These pass, and memory would be the wrong way out.
    if matches!(
        error,
        Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE | Errno::NOMEM
    ) {
        return Err(Unavailable::Now(error.into()));
    }
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        let directory = buffers.directory.display();
        let shared_bytes = buffers.shared_bytes;
        warn!(
            %directory, %error, shared_bytes,
            "no temporary files can be made: large bodies share the memory of server.buffers.shared"
        );
    });
    Err(Unavailable::Ever(error.into()))
}

/// Why there is no temporary file.
#[derive(Debug)]
pub(super) enum Unavailable {
    /// The disk is full, or the process has no descriptor left: this passes.
    Now(io::Error),
    /// The directory is missing or read-only.
    Ever(io::Error),
    /// So many answers wait on disk that the descriptors of others would be next.
    Crowded,
}

impl From<Unavailable> for io::Error {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Now(error) | Unavailable::Ever(error) => error,
            Unavailable::Crowded => io::ErrorKind::QuotaExceeded.into(),
        }
    }
}

/// A file that is memory.
pub(super) fn memory_file() -> io::Result<File> {
    Ok(memfd_create("body", MemfdFlags::CLOEXEC)?.into())
}

fn unnamed(directory: &Path) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::EXCL;
    open(directory, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

fn unlinked(directory: &Path) -> Result<File, Errno> {
    let path = directory.join(format!("appliance-{:016x}", fastrand::u64(..)));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let file = open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    unlink(&path)?;
    Ok(file.into())
}

/// What waits of an answer on disk: written at the end, read from the start, and what was read is given back to the disk.
#[derive(Debug)]
pub(super) struct Spill {
    file: Arc<File>,
    written: u64,
    read: u64,
    _place: Place,
}

/// One of the descriptors that answers on disk may have together: a quarter of the process's.
#[derive(Debug)]
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Result<Self, Unavailable> {
        static MOST: OnceLock<usize> = OnceLock::new();
        let most = *MOST.get_or_init(|| app_file::open_files_max() / 4);
        let place = Self;
        let before = TAKEN.fetch_add(1, Ordering::Relaxed);
        (before < most).then_some(place).ok_or(Unavailable::Crowded)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Spill {
    pub(super) fn new(buffers: &Buffers) -> Result<Self, Unavailable> {
        let place = Place::take()?;
        Ok(Self {
            file: Arc::new(temporary_file(buffers)?),
            written: 0,
            read: 0,
            _place: place,
        })
    }

    /// Appends. The write goes to the page cache; like nginx without threads we accept that a disk under pressure makes it
    /// wait. On an error nothing of it counts.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Where the next `len` bytes to send are.
    pub(super) fn next(&self, len: u64) -> (Arc<File>, u64, u64) {
        (Arc::clone(&self.file), self.read, len)
    }

    /// They were sent.
    pub(super) fn sent(&mut self, len: u64) {
        use rustix::fs::{FallocateFlags, fallocate};
        // Where holes cannot be made the space comes back with the end of the answer.
        let _ = fallocate(
            &*self.file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            self.read,
            len,
        );
        self.read += len;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn buffers(directory: &Path) -> Buffers {
        Buffers {
            memory_bytes: 1,
            shared_bytes: 1,
            response_bytes_max: 1,
            directory: directory.to_owned(),
        }
    }

    #[test]
    fn a_temporary_file_has_no_name() {
        let directory = std::env::temp_dir().join(format!("spill-{}", fastrand::u64(..)));
        std::fs::create_dir(&directory).expect("mkdir");
        for file in [
            temporary_file(&buffers(&directory)).expect("unnamed"),
            unlinked(&directory).expect("unlinked"),
        ] {
            file.write_all_at(b"abc", 0).expect("write");
            assert_eq!(std::fs::read_dir(&directory).expect("readdir").count(), 0);
        }
        std::fs::remove_dir(&directory).expect("rmdir");
    }

    #[test]
    fn a_directory_that_takes_no_files_is_told_from_a_full_one() {
        let missing = temporary_file(&buffers(Path::new("/nonexistent/directory")));
        assert!(matches!(missing, Err(Unavailable::Ever(_))), "{missing:?}");
    }
}
