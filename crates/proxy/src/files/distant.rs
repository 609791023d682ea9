//! Files on file systems that may let us wait: for a server (NFS, CIFS), or for another process (FUSE).
//!
//! A front thread that waits there serves nobody, and its successor would wait as well. So it opens nothing of which it
//! does not know that it lies on a file system which [answers at once](file_system::answers_at_once): all of the lookup, the
//! readings and the closing are done by tokio's threads for what blocks, a bounded number of them at a time. Where these
//! all wait, more requests for such files are answered 503, and everything else goes on.
//!
//! Which file system a route's directory is on is asked there too, and known for a while. What is mounted below it is
//! found by the kernel, which then says so instead of going on (`RESOLVE_NO_XDEV`; before Linux 5.6 it does not).

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io,
    os::{fd::AsFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use config::Files;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::timeout,
};
use wire::file_system;

use super::{Looked, content::Data, find::Fault, plan::Plan, root::Reach};
use crate::{
    downstream::{ClientError, Downstream},
    head::Head,
};

/// Threads of this process that may wait at the same time.
const AT_ONCE_MAX: usize = 64;

/// A request that none of them takes up in this time is answered 503.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);

/// So long it is known which file system a directory is on.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// One reading of a large file.
const PIECE_BYTES: u64 = 256 << 10;

static AT_ONCE: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

thread_local! {
    /// When what answers at once was found to do so, by the route's directory: there are no more than routes.
    static NEAR: RefCell<HashMap<PathBuf, Instant>> = RefCell::default();
}

/// Is this directory of a route known to lie on a file system that answers at once?
pub(super) fn is_near(root: &Path) -> bool {
    let found = NEAR.with_borrow(|near| near.get(root).copied());
    found.is_some_and(|at| at.elapsed() < KNOWN_FOR)
}

fn set_near(root: &Path, near: bool) {
    NEAR.with_borrow_mut(|known| {
        if near {
            known.insert(root.to_owned(), Instant::now());
        } else {
            known.remove(root);
        }
    });
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
        let file = self.0.take();
        // Without a loop this is no front thread.
        if let Ok(handle) = Handle::try_current() {
            handle.spawn_blocking(move || drop(file));
        }
    }
}

/// Looks for a file, and plans the answer, where that may wait.
pub(super) async fn look(files: &Files, path: &[u8], headers: &[(String, String)], head: &Head) -> Looked {
    let permit = match AT_ONCE.try_acquire() {
        Ok(permit) => permit,
        Err(_) => match timeout(TAKEN_WITHIN, AT_ONCE.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Looked::Fault(Fault::Elsewhere),
        },
    };
    let root = files.root.clone();
    let (files, path, headers, head) = (files.clone(), path.to_owned(), headers.to_owned(), head.clone());
    let looked = run(permit, move || {
        let near = rustix::fs::statfs(&files.root)
            .is_ok_and(|stat| file_system::answers_at_once(stat.f_type as u32));
        let mut looked = super::look(&files, &path, &headers, &head, Reach::Anywhere);
        if let Looked::Plan(Plan::Send { data, .. }) = &mut looked
            && let Data::File(file) = data
            && !answers_at_once(&**file)
        {
            *data = Data::Distant(DistantFile(Arc::new(Open(Some(Arc::clone(file))))));
        }
        (near, looked)
    });
    match looked.await {
        Some((near, looked)) => {
            set_near(&root, near);
            looked
        }
        None => Looked::Fault(Fault::Elsewhere),
    }
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
        // Its head is sent, so it waits for its turn.
        let Ok(permit) = AT_ONCE.acquire().await else {
            return Ok(false);
        };
        let (file, len) = (file.clone(), (end - at).min(PIECE_BYTES));
        let read = run(permit, move || read(&file, at, len)).await;
        let bytes = match read {
            Some(Ok(bytes)) if bytes.is_empty() => return Ok(false),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                tracing::warn!(offset = at, %error, "file cannot be read while it is sent, answer cut");
                return Ok(false);
            }
            None => return Ok(false),
        };
        at += bytes.len() as u64;
        down.send_body(bytes).await?;
    }
    Ok(true)
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

/// Runs what may wait; the permit is held as long as it does, also when nobody waits for it any more. `None`: the process
/// ends.
async fn run<T: Send + 'static>(
    permit: SemaphorePermit<'static>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let done = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.ok()
}
