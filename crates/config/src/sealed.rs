//! Places in which nobody can write a file, whatever its mode and whoever asks: to root everything looks
//! writable there.

use std::path::Path;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};

/// Why, as the end of a sentence about the path.
pub(crate) fn sealed(path: &Path) -> Option<&'static str> {
    if statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY)) {
        return Some("is on a file system that is mounted read-only");
    }
    belongs_to_kernel(path).then_some("belongs to the kernel, which takes no files there")
}

/// Is what it shows made up by the kernel?
pub(crate) fn belongs_to_kernel(path: &Path) -> bool {
    let kernel = [PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC];
    statfs(path).is_ok_and(|found| kernel.contains(&found.filesystem_type()))
}
