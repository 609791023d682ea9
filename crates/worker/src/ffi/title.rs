//! The process's title, written over the memory of its arguments, which is what `ps` shows.

use std::sync::OnceLock;

/// Shows `title` in place of the command line, and its last 15 bytes' worth as the thread's name.
pub(crate) fn set(title: &str, name: &str) {
    if let Some((start, len)) = arguments() {
        let shown = title.len().min(len.saturating_sub(1));
        // SAFETY: the kernel says that the arguments lie there. Nobody reads them any more: Python has made its own copies
        // before any of its code ran, and the last byte stays NUL.
        unsafe {
            let start = std::ptr::with_exposed_provenance_mut::<u8>(start);
            std::ptr::write_bytes(start, 0, len);
            std::ptr::copy_nonoverlapping(title.as_ptr(), start, shown);
        }
    }
    thread(name);
}

/// Names the calling thread; the kernel keeps 15 bytes.
pub(crate) fn thread(name: &str) {
    let mut short = [0u8; 16];
    for (to, from) in short[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    if let Ok(name) = std::ffi::CStr::from_bytes_until_nul(&short) {
        let _ = rustix::thread::set_name(name);
    }
}

/// Start and length of the arguments, fields 48 and 49 of /proc/self/stat.
fn arguments() -> Option<(usize, usize)> {
    static FOUND: OnceLock<Option<(usize, usize)>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(45);
        let start: usize = fields.next()?.parse().ok()?;
        let end: usize = fields.next()?.parse().ok()?;
        (start != 0 && end > start && end - start < (1 << 20)).then_some((start, end - start))
    })
}
