//! Files of an application that are parts of its answers: checked, shared and counted, because each that
//! waits for a client is a descriptor of ours.

use std::{
    fs::File,
    os::fd::OwnedFd,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::{FileType, OFlags, fcntl_getfl, fstat, fstatfs},
    process::{Resource, getrlimit},
};
use wire::file_system;

/// What each of so many apps may hold of the descriptors of this process, of which so many are `wanted` for
/// clients, links and servers behind us, and a quarter for answers on disk ([`super::spill`]). Of the others
/// as many as one app has stay free. Where more are wanted than there are, which the start has told, an
/// eighth is for the files.
pub(crate) fn files_max(apps: usize, wanted: u64) -> usize {
    share(open_files_max(), apps, wanted)
}

fn share(limit: usize, apps: usize, wanted: u64) -> usize {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let left = (limit - limit / 4).saturating_sub(wanted).max(limit / 8);
    left / apps.saturating_add(1)
}

/// The descriptors that this process may have.
pub(super) fn open_files_max() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How many files of one app wait.
#[derive(Debug)]
pub(crate) struct Held {
    count: AtomicUsize,
    most: usize,
}

impl Held {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicUsize::new(0),
            most,
        })
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

/// A regular file of an application that can be read without waiting for anybody.
#[derive(Debug)]
pub(crate) struct AppFile {
    file: Arc<File>,
    /// Device and inode.
    place: (u64, u64),
    beyond: bool,
    held: Arc<Held>,
}

impl AppFile {
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Is it one more than the app may have?
    pub(super) fn is_beyond(&self) -> bool {
        self.beyond
    }
}

impl Drop for AppFile {
    fn drop(&mut self) {
        self.held.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// It is no regular file, or reading it may wait for somebody else.
#[derive(Debug)]
pub(super) struct NotAFile;

/// Takes the files of one link.
#[derive(Debug)]
pub(super) struct Files {
    held: Arc<Held>,
    /// What came last: an answer of many slices of one file costs one descriptor.
    last: Weak<AppFile>,
}

impl Files {
    pub(super) fn new(held: &Arc<Held>) -> Self {
        Self {
            held: Arc::clone(held),
            last: Weak::new(),
        }
    }

    /// The file behind a descriptor that a worker has sent. It says nothing about it that the kernel does not
    /// say as well: a reading that waits would hold up every client of this thread.
    pub(super) fn take(&mut self, descriptor: OwnedFd) -> Result<Arc<AppFile>, NotAFile> {
        let stat = fstat(&descriptor).map_err(|_| NotAFile)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(NotAFile);
        }
        let place = (stat.st_dev, stat.st_ino);
        if let Some(last) = self.last.upgrade().filter(|last| last.place == place) {
            return Ok(last);
        }
        let kind = fstatfs(&descriptor).map_err(|_| NotAFile)?.f_type;
        if !file_system::answers_at_once(kind as u32) || !is_readable(&descriptor) {
            return Err(NotAFile);
        }
        let before = self.held.count.fetch_add(1, Ordering::Relaxed);
        let file = Arc::new(AppFile {
            file: Arc::new(File::from(descriptor)),
            place,
            beyond: before >= self.held.most,
            held: Arc::clone(&self.held),
        });
        self.last = Arc::downgrade(&file);
        Ok(file)
    }
}

/// Was it opened for reading? With others (`O_WRONLY`, `O_PATH`) that would come out only while an answer is
/// sent.
fn is_readable(descriptor: &OwnedFd) -> bool {
    fcntl_getfl(descriptor).is_ok_and(|flags| {
        !flags.contains(OFlags::PATH) && matches!(flags & OFlags::RWMODE, OFlags::RDONLY | OFlags::RDWR)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &str) -> OwnedFd {
        File::open(path).expect("it is there").into()
    }

    #[test]
    fn files_leave_what_the_connections_need() {
        assert_eq!(share(20_000, 1, 10_100), 2450);
        assert_eq!(share(20_000, 3, 10_100), 1225);
        assert_eq!(share(4096, 1, 20_000), 256);
        assert_eq!(share(usize::MAX, 1, 0), (usize::MAX - usize::MAX / 4) / 2);
        assert_eq!(share(64, usize::MAX, u64::MAX), 0);
    }

    #[test]
    fn slices_of_one_file_are_one_descriptor() {
        let held = Held::new(10);
        let mut files = Files::new(&held);
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("UTF-8");
        let slices: Vec<_> = (0..5).map(|_| files.take(open(path)).expect("a file")).collect();
        assert_eq!(held.count(), 1);
        let other = files
            .take(tempfile::tempfile().expect("a file").into())
            .expect("a file");
        assert_eq!(held.count(), 2);
        drop((slices, other));
        assert_eq!(held.count(), 0);
    }

    #[test]
    fn what_is_too_much_says_so() {
        let held = Held::new(2);
        let mut files = Files::new(&held);
        let mut take = || {
            files
                .take(tempfile::tempfile().expect("a file").into())
                .expect("a file")
        };
        let [first, second, third] = [take(), take(), take()];
        assert!(!first.is_beyond() && !second.is_beyond() && third.is_beyond());
        drop((second, third));
        assert!(!take().is_beyond());
    }

    #[test]
    fn what_is_no_file_or_may_wait_is_refused() {
        let mut files = Files::new(&Held::new(10));
        assert!(files.take(open("/dev/null")).is_err());
        assert!(files.take(open("/proc/self/status")).is_err());
        assert!(files.take(open("/")).is_err());
        let file = tempfile::NamedTempFile::new().expect("a file");
        for flags in [OFlags::PATH, OFlags::WRONLY, OFlags::WRONLY | OFlags::APPEND] {
            let opened =
                rustix::fs::open(file.path(), flags, rustix::fs::Mode::empty()).expect("it is there");
            assert!(files.take(opened).is_err(), "{flags:?}");
        }
        let opened = rustix::fs::open(file.path(), OFlags::RDWR, rustix::fs::Mode::empty());
        assert!(files.take(opened.expect("it is there")).is_ok());
        let (read, _write) = rustix::pipe::pipe().expect("a pipe");
        assert!(files.take(read).is_err());
        let (socket, _) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(files.take(socket.into()).is_err());
    }
}
