//! Small files that are asked for often, kept in memory for a second.
//!
//! Finding and opening a file is six system calls, which for a small one is more work than sending it. So one that is asked for
//! again and again is looked up once a second, with all the rules that hold for finding it, and answered from memory in
//! between: what was replaced, removed or forbidden in the file system may be served for one second more, and no longer. A
//! file that is asked for now and then is looked up each time, so whoever edits a page and reloads it sees the new one.
//!
//! Nothing holds a descriptor: a file that was removed is gone from the disk at once, and a file system can
//! be unmounted. Each front thread has a memory of its own, so nobody waits for a lock. Threads that may wait
//! have none, and keep nothing.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use config::Symlinks;

use super::{
    content::Content,
    root::{self, Reach, Root},
};

/// What a lookup found, as far as it is remembered.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// A small regular file.
    File(Arc<Content>),
    /// No such regular file.
    Absent,
}

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Self::File(content) => content.bytes_kept(),
            Self::Absent => 0,
        }
    }
}

/// Files by where they are.
#[derive(Debug, Default)]
pub(super) struct Memory {
    entries: HashMap<Box<[u8]>, Entry>,
    /// Of all bodies.
    bytes: usize,
    swept: Option<Instant>,
    /// The key of the lookup at hand.
    key: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    looked_up: Instant,
    /// Since the file was looked up for the first time without a pause; counted no further than to [`OFTEN`].
    asked: u8,
    kept: Option<Kept>,
}

/// Whether what was found is worth to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It is asked for often.
    Keep,
    /// It is not, or there is no room.
    Pass,
}

impl Memory {
    /// What the last lookup of this place found, when that was a moment ago.
    pub(super) fn recall(
        &mut self,
        root: &Root<'_>,
        relative: &[u8],
        coding: &str,
        now: Instant,
    ) -> Option<Kept> {
        if root.reach == Reach::Anywhere {
            return None;
        }
        self.set_key(root, relative, coding);
        let entry = self.entries.get(self.key.as_slice())?;
        (now.saturating_duration_since(entry.looked_up) < FRESH)
            .then(|| entry.kept.clone())
            .flatten()
    }

    /// The place is being looked up now. What was known of it is forgotten.
    pub(super) fn ask(&mut self, root: &Root<'_>, relative: &[u8], coding: &str, now: Instant) -> Use {
        if root.reach == Reach::Anywhere {
            return Use::Pass;
        }
        self.set_key(root, relative, coding);
        if let Some(entry) = self.entries.get_mut(self.key.as_slice()) {
            if now.saturating_duration_since(entry.looked_up) >= PAUSE {
                entry.asked = 0;
            }
            entry.asked = entry.asked.saturating_add(1).min(OFTEN);
            entry.looked_up = now;
            if let Some(old) = entry.kept.take() {
                self.bytes -= old.bytes();
            }
            return if entry.asked >= OFTEN {
                Use::Keep
            } else {
                Use::Pass
            };
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.sweep(now);
        }
        if self.entries.len() < ENTRIES_MAX && self.key.len() <= KEY_BYTES_MAX {
            let entry = Entry {
                looked_up: now,
                asked: 1,
                kept: None,
            };
            self.entries.insert(self.key.as_slice().into(), entry);
        }
        Use::Pass
    }

    /// Keeps what [`Memory::ask`] has told to keep.
    pub(super) fn keep(&mut self, root: &Root<'_>, relative: &[u8], coding: &str, kept: Kept, now: Instant) {
        self.set_key(root, relative, coding);
        if kept.bytes() > BYTES_MAX - self.bytes {
            // What was asked for often some time ago must not fill the memory for ever.
            self.sweep(now);
        }
        let room = BYTES_MAX - self.bytes;
        if let Some(entry) = self.entries.get_mut(self.key.as_slice())
            && entry.kept.is_none()
            && kept.bytes() <= room
        {
            self.bytes += kept.bytes();
            entry.kept = Some(kept);
        }
    }

    /// Forgets what is not asked for any more; not more often than it can be worth it.
    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_some_and(|swept| now.saturating_duration_since(swept) < FRESH)
        {
            return;
        }
        self.swept = Some(now);
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let current = now.saturating_duration_since(entry.looked_up) < PAUSE;
            if let (false, Some(kept)) = (current, &entry.kept) {
                *bytes -= kept.bytes();
            }
            current
        });
    }

    fn set_key(&mut self, root: &Root<'_>, relative: &[u8], coding: &str) {
        self.key.clear();
        // No path holds a NUL.
        let links: &[u8] = match root.symlinks {
            Symlinks::Follow => b"\0",
            Symlinks::Inside => b"\0inside\0",
        };
        for part in [coding.as_bytes(), links, root::bytes(root.path), b"\0", relative] {
            self.key.extend_from_slice(part);
        }
    }
}

/// Works with the memory of this thread.
pub(super) fn with<R>(work: impl FnOnce(&mut Memory) -> R) -> R {
    thread_local! {
        static MEMORY: RefCell<Memory> = RefCell::default();
    }
    MEMORY.with_borrow_mut(work)
}

/// For so long a lookup holds.
const FRESH: Duration = Duration::from_secs(1);
/// Who is not asked for during this time has to become popular again.
const PAUSE: Duration = Duration::from_secs(2);
/// So many lookups without such a pause make a file worth keeping.
const OFTEN: u8 = 8;
/// Of one front thread.
const ENTRIES_MAX: usize = 4096;
const BYTES_MAX: usize = 16 << 20;
const KEY_BYTES_MAX: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at(root: &str) -> Root<'_> {
        Root::at(Path::new(root), Symlinks::Follow, Reach::Near)
    }

    fn often(memory: &mut Memory, name: &str, now: Instant) {
        for _ in 1..OFTEN {
            assert_eq!(memory.ask(&at("/r"), name.as_bytes(), "", now), Use::Pass);
        }
        assert_eq!(memory.ask(&at("/r"), name.as_bytes(), "", now), Use::Keep);
    }

    fn keep(memory: &mut Memory, name: &str, len: usize, now: Instant) {
        let content = Content::in_memory(name.as_bytes(), &vec![b'x'; len]);
        memory.keep(&at("/r"), name.as_bytes(), "", Kept::File(Arc::new(content)), now);
    }

    fn knows(memory: &mut Memory, root: &str, name: &str, now: Instant) -> bool {
        memory.recall(&at(root), name.as_bytes(), "", now).is_some()
    }

    #[test]
    fn what_is_asked_for_often_is_kept_for_a_second_and_no_longer() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        keep(&mut memory, "a", 10, start);
        assert!(!knows(&mut memory, "/r", "a", start), "nobody asked for it");
        often(&mut memory, "a", start);
        keep(&mut memory, "a", 10, start);
        let almost = start + FRESH - Duration::from_millis(1);
        assert!(knows(&mut memory, "/r", "a", almost));
        assert!(!knows(&mut memory, "/", "r\0a", almost) && !knows(&mut memory, "/r2", "a", almost));
        assert!(!knows(&mut memory, "/r", "a", start + FRESH));
        // It stays popular as long as somebody comes back in time, and what is looked up again replaces what was known.
        let later = start + FRESH;
        assert_eq!(memory.ask(&at("/r"), b"a", "", later), Use::Keep);
        assert!(!knows(&mut memory, "/r", "a", later));
        assert_eq!(memory.ask(&at("/r"), b"a", "", later + PAUSE), Use::Pass);
        assert_eq!(memory.bytes, 0);
    }

    #[test]
    fn what_is_kept_of_one_way_to_follow_links_is_not_told_to_the_other() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        often(&mut memory, "a", now);
        keep(&mut memory, "a", 10, now);
        let inside = Root::at(Path::new("/r"), Symlinks::Inside, Reach::Near);
        assert!(knows(&mut memory, "/r", "a", now));
        assert!(memory.recall(&inside, b"a", "", now).is_none());
    }

    #[test]
    fn the_memory_is_bounded_and_makes_room_for_what_is_asked_for_now() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        for name in ["a", "b"] {
            often(&mut memory, name, start);
            keep(&mut memory, name, BYTES_MAX / 2 + 1, start);
        }
        assert!(knows(&mut memory, "/r", "a", start) && !knows(&mut memory, "/r", "b", start));
        for number in 0..2 * ENTRIES_MAX {
            memory.ask(&at("/r"), number.to_string().as_bytes(), "", start);
        }
        assert_eq!(memory.entries.len(), ENTRIES_MAX);
        assert!(
            knows(&mut memory, "/r", "a", start),
            "the crowd does not push it out"
        );
        memory.ask(&at("/r"), b"new", "", start + PAUSE);
        assert_eq!((memory.entries.len(), memory.bytes), (1, 0));
    }

    #[test]
    fn files_that_nobody_asks_for_any_more_make_room_for_others() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        often(&mut memory, "old", start);
        keep(&mut memory, "old", BYTES_MAX, start);
        let later = start + PAUSE;
        often(&mut memory, "new", later);
        keep(&mut memory, "new", 10, later);
        assert!(knows(&mut memory, "/r", "new", later));
        assert_eq!((memory.entries.len(), memory.bytes), (1, 10));
    }
}
