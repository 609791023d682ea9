//! How many processors we may use: what `workers = "auto"` means.
//!
//! The affinity mask alone is wrong in a container, where a quota of the control group limits us while all processors
//! of the machine stay visible: sixty workers on two processors' worth of time. The quota may stand in our own group
//! or in any group above it, and both generations of control groups are about.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::text_file::read_bounded;

/// Processors this process may use, at least 1.
pub(crate) fn available() -> usize {
    let read = |path: &Path| read_bounded(File::open(path).ok()?, 1 << 16).ok();
    let allowed = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let allowed = allowed.map(|set| {
        (0..nix::sched::CpuSet::count())
            .filter(|cpu| set.is_set(*cpu) == Ok(true))
            .count()
    });
    let allowed = allowed.ok().filter(|count| *count > 0);
    // More processors than a CpuSet can name: the standard library asks with a larger mask.
    let allowed = allowed
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    quota(read).map_or(allowed, |quota| quota.clamp(1, allowed))
}

/// The least quota of our control group and those above it, rounded up to whole processors.
fn quota(read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let group = group.trim_start_matches('/');
        if controllers.is_empty() {
            return least(Path::new("/sys/fs/cgroup"), group, |directory| {
                let line = read(&directory.join("cpu.max"))?;
                let (quota, period) = line.trim().split_once(' ')?;
                whole(quota, period)
            });
        }
        if !controllers.split(',').any(|controller| controller == "cpu") {
            return None;
        }
        let mounts = [
            "/sys/fs/cgroup/cpu".to_owned(),
            format!("/sys/fs/cgroup/{controllers}"),
        ];
        let of_mount = |mount: &String| {
            least(Path::new(mount), group, |directory| {
                let quota = read(&directory.join("cpu.cfs_quota_us"))?;
                whole(quota.trim(), read(&directory.join("cpu.cfs_period_us"))?.trim())
            })
        };
        mounts.iter().filter_map(of_mount).min()
    };
    groups.lines().filter_map(of_line).min()
}

/// The least quota from `group` up to the root of the mount. Inside a container the path of the group is often that of
/// the host and does not exist here; its missing part is then simply passed over.
fn least(mount: &Path, group: &str, quota: impl Fn(&Path) -> Option<usize>) -> Option<usize> {
    let mut directory = PathBuf::from(mount);
    let mut least = quota(&directory);
    for part in group.split('/').filter(|part| !part.is_empty() && *part != "..") {
        directory.push(part);
        least = least.into_iter().chain(quota(&directory)).min();
    }
    least
}

/// `max` and -1 mean no quota.
fn whole(quota: &str, period: &str) -> Option<usize> {
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    if period == 0 {
        None
    } else {
        usize::try_from(quota.div_ceil(period)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota_with(files: &[(&str, &str)]) -> Option<usize> {
        quota(|path| {
            files
                .iter()
                .find(|(name, _)| Path::new(name) == path)
                .map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_least_quota_of_the_groups_above_counts() {
        let files = [
            ("/proc/self/cgroup", "0::/system.slice/site.service\n"),
            ("/sys/fs/cgroup/system.slice/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/system.slice/site.service/cpu.max", "max 100000\n"),
        ];
        assert_eq!(quota_with(&files), Some(2));
    }

    #[test]
    fn a_container_that_sees_the_path_of_its_host_finds_the_quota_at_the_root() {
        let files = [
            ("/proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/docker/4f2c\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(quota_with(&files), Some(1));
    }

    #[test]
    fn no_quota_is_no_limit() {
        assert_eq!(quota_with(&[]), None);
        let none = [
            ("/proc/self/cgroup", "1:cpu:/\n0::/\n"),
            ("/sys/fs/cgroup/cpu.max", "max 100000\n"),
        ];
        assert_eq!(quota_with(&none), None);
        let v1 = [
            ("/proc/self/cgroup", "1:cpu:/\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "0\n"),
        ];
        assert_eq!(quota_with(&v1), None);
    }

    #[test]
    fn there_is_at_least_one_processor() {
        assert!(available() >= 1);
    }
}
