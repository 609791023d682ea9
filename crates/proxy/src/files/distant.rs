//! Files on file systems that may let us wait: for a server (NFS, CIFS), or for another process (FUSE).
//!
//! A front thread that waits there serves nobody, and its successor would wait as well. So it opens nothing
//! of which it does not know that it lies on a file system which [answers at
//! once](file_system::answers_at_once): all of the lookup, the readings and the closing are done by tokio's
//! threads for what blocks, a bounded number of them at a time. Where these all wait, more requests for such
//! files are answered 503, and everything else goes on.
//!
//! Which file system a route's directory is on is asked by threads too, by others than those that wait for
//! files, and known for a while. What is mounted below it is found by the kernel, which then says so instead
//! of going on (`RESOLVE_NO_XDEV`; before Linux 5.6 it does not).

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io,
    mem::ManuallyDrop,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use config::Files;
use message::{client_error::ClientError, downstream::Downstream, head::Head};
use rustix::io::Errno;
use tokio::{
    runtime::Handle,
    select,
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use wire::file_system;

use super::{Looked, content::Data, find::Fault, plan::Plan, root::Reach};

/// Threads of this process that may wait for files at the same time.
const AT_ONCE_MAX: usize = 64;

/// Threads that may wait besides for the kind of a file system.
const ASKING_MAX: usize = 8;

/// A request that none of them takes up in this time is answered 503.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);

/// What takes longer is not waited for: before the head the request is answered 503, later the answer is cut.
const DONE_WITHIN: Duration = Duration::from_secs(60);

/// So long it is known which file system a directory is on.
const KNOWN_FOR: Duration = Duration::from_secs(2);

/// One reading of a large file.
const PIECE_BYTES: u64 = 256 << 10;

static AT_ONCE: Semaphore = Semaphore::const_new(AT_ONCE_MAX);
static ASKING: Semaphore = Semaphore::const_new(ASKING_MAX);

thread_local! {
    /// What is known of the directories of routes: there are no more than routes.
    static KNOWN: RefCell<HashMap<PathBuf, Known>> = RefCell::default();
}

/// What is known of a directory.
#[derive(Debug)]
struct Known {
    /// Does its file system answer at once?
    near: bool,
    /// When that was found; `None`: never.
    at: Option<Instant>,
    /// Held by who asks, until there is an answer: one thread that waits for it is enough.
    turn: Arc<Semaphore>,
}

impl Known {
    fn new() -> Self {
        Self {
            near: false,
            at: None,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// What was found, unless that is too long ago.
    fn lately(&self) -> Option<bool> {
        self.at
            .is_some_and(|at| at.elapsed() < KNOWN_FOR)
            .then_some(self.near)
    }
}

/// Is this directory of a route known to lie on a file system that answers at once?
pub(super) fn is_near(root: &Path) -> bool {
    lately(root) == Some(true)
}

fn lately(root: &Path) -> Option<bool> {
    KNOWN.with_borrow(|known| known.get(root).and_then(Known::lately))
}

/// Finds out whether it does. The last answer holds on while it cannot be asked, because others that do not
/// answer have all threads there are for that; one that does not answer itself is not near.
async fn ask(root: &Path) -> bool {
    let (last, turn) = KNOWN.with_borrow_mut(|known| {
        let known = known.entry(root.to_owned()).or_insert_with(Known::new);
        (known.near, Arc::clone(&known.turn))
    });
    let near = match timeout(TAKEN_WITHIN, turn.acquire_owned()).await {
        Ok(Ok(turn)) => {
            // Another request has asked meanwhile.
            if let Some(near) = lately(root) {
                return near;
            }
            match ASKING.try_acquire() {
                Ok(permit) => {
                    let path = root.to_owned();
                    let asked = spawn_blocking(move || {
                        let _held = (turn, permit);
                        rustix::fs::statfs(&path)
                            .is_ok_and(|stat| file_system::answers_at_once(stat.f_type as u32))
                    });
                    matches!(timeout(TAKEN_WITHIN, asked).await, Ok(Ok(true)))
                }
                Err(_) => last,
            }
        }
        Ok(Err(_)) | Err(_) => false,
    };
    KNOWN.with_borrow_mut(|known| {
        if let Some(known) = known.get_mut(root) {
            (known.near, known.at) = (near, Some(Instant::now()));
        }
    });
    near
}

fn answers_at_once(file: impl AsFd) -> bool {
    // The lower 32 bits are the kind.
    rustix::fs::fstatfs(file).is_ok_and(|stat| file_system::answers_at_once(stat.f_type as u32))
}

/// A file whose reading, and closing, may wait.
#[derive(Debug, Clone)]
pub(super) struct DistantFile(Arc<Open>);

/// The file; gone only while it is closed.
#[derive(Debug)]
struct Open(Option<Arc<File>>);

impl Drop for Open {
    fn drop(&mut self) {
        // Without a loop this is no front thread.
        if let Ok(handle) = Handle::try_current()
            && let Some(file) = self.0.take()
        {
            // Where the loop ends before its turn comes, the kernel closes it with the process.
            handle.spawn(close(ManuallyDrop::new(file)));
        }
    }
}

async fn close(file: ManuallyDrop<Arc<File>>) {
    if let Ok(permit) = AT_ONCE.acquire().await {
        spawn_blocking(move || {
            let _permit = permit;
            drop(ManuallyDrop::into_inner(file));
        });
    }
}

/// Looks for a file, and plans the answer, where that may wait.
pub(super) async fn look(files: &Files, path: &[u8], headers: &[(String, String)], head: Head) -> Looked {
    if lately(&files.root).is_none() && ask(&files.root).await {
        let looked = super::look(files, path, headers, &head, Reach::Near);
        if !matches!(looked, Looked::Fault(Fault::Elsewhere)) {
            return looked;
        }
    }
    let permit = match AT_ONCE.try_acquire() {
        Ok(permit) => permit,
        Err(_) => match timeout(TAKEN_WITHIN, AT_ONCE.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Looked::Fault(Fault::Elsewhere),
        },
    };
    let (files, path, headers) = (files.clone(), path.to_owned(), headers.to_owned());
    let looked = run(permit, move || {
        let mut looked = super::look(&files, &path, &headers, &head, Reach::Anywhere);
        if let Looked::Plan(Plan::Send { data, .. }) = &mut looked
            && let Data::File(file) = data
            && !answers_at_once(&**file)
        {
            *data = Data::Distant(DistantFile(Arc::new(Open(Some(Arc::clone(file))))));
        }
        looked
    });
    looked.await.unwrap_or_else(Looked::Fault)
}

/// Resolves when the client has left a file that keeps it waiting. One that says no more may still read, and
/// cannot be told from one that has left: it gets what comes soon.
pub(super) async fn gone<D: Downstream>(down: &mut D) {
    sleep(TAKEN_WITHIN).await;
    down.gone().await;
}

/// Sends a part of a file; `false` when it cannot be read to its end.
pub(super) async fn send<D: Downstream>(
    down: &mut D,
    file: &DistantFile,
    offset: u64,
    len: u64,
) -> Result<bool, ClientError> {
    let (mut at, end) = (offset, offset.saturating_add(len));
    while at < end {
        let read = select! {
            biased;
            read = piece(file.clone(), at, (end - at).min(PIECE_BYTES)) => read,
            () = gone(down) => return Err(ClientError::Gone),
        };
        let bytes = match read {
            Ok(bytes) if bytes.is_empty() => return Ok(false),
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(offset = at, %error, "file cannot be read while it is sent, answer cut");
                return Ok(false);
            }
        };
        at += bytes.len() as u64;
        down.send_body(bytes).await?;
    }
    Ok(true)
}

/// Reads a part of a file whose head is sent, so that it waits for its turn.
async fn piece(file: DistantFile, offset: u64, len: u64) -> io::Result<Bytes> {
    match timeout(DONE_WITHIN, AT_ONCE.acquire()).await {
        Ok(Ok(permit)) => match run(permit, move || read(&file, offset, len)).await {
            Ok(read) => read,
            Err(Fault::Failed(error)) => Err(error.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        },
        Ok(Err(_)) | Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn read(file: &DistantFile, offset: u64, len: u64) -> io::Result<Bytes> {
    let Some(file) = &file.0.0 else {
        return Ok(Bytes::new());
    };
    let mut buffer = vec![0; len as usize];
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Runs what may wait; the permit is held as long as it does, also when nobody waits for it any more.
async fn run<T: Send + 'static>(
    permit: SemaphorePermit<'static>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let done = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    match timeout(DONE_WITHIN, done).await {
        Ok(Ok(done)) => Ok(done),
        // It panicked, which is told already, or the process ends.
        Ok(Err(_)) => Err(Fault::Failed(Errno::IO)),
        Err(_) => Err(Fault::Elsewhere),
    }
}
