//! A site that is attacked: when that is over, its proxy and its supervisor hold as much as before.

use std::{
    fs,
    ops::{Deref, DerefMut},
    process::{Command, ExitStatus},
};

use crate::harness::{Connection, Site, app, wait_for};

/// Descriptors that a process may have opened meanwhile and keeps: a slab for each link, a spare one.
const DESCRIPTORS_MORE: usize = 16;

/// Those that the supervisor has for each zygote and worker: a control socket, two pipes.
const DESCRIPTORS_EACH: usize = 3;

/// Memory that a process may have come to use meanwhile and keeps: its threads have met their first requests,
/// and an allocator gives back whole pages at best.
const MEMORY_MORE: usize = 16 << 20;

/// What proxies and supervisor have, each of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// Zygotes and workers.
    children: usize,
    /// `None`: they show their descriptors to root alone.
    descriptors: Option<[usize; 2]>,
    /// In bytes, without the program's own.
    memory: [usize; 2],
}

impl Held {
    /// `None`: one of the processes has ended while it was looked at, or there is no proxy.
    fn by(site: &Site) -> Option<Self> {
        let processes = site.processes();
        let pids = |title: &str| -> Vec<i32> {
            let named = processes.iter().filter(|process| process.title.contains(title));
            named.map(|process| process.pid).collect()
        };
        let proxies = pids("appliance: proxy");
        // Who starts the program may have another process above it.
        let supervisor = [value(*proxies.first()?, "PPid:")?.try_into().ok()?];
        let sum = |of: &dyn Fn(&i32) -> Option<usize>| {
            let [proxies, supervisor] =
                [&proxies[..], &supervisor].map(|pids| pids.iter().map(of).sum::<Option<usize>>());
            Some([proxies?, supervisor?])
        };
        Some(Self {
            children: pids("appliance: zygote").len() + pids("appliance: worker").len(),
            descriptors: match app::root() {
                true => Some(sum(&|pid| {
                    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
                })?),
                false => None,
            },
            memory: sum(&|pid| Some((value(*pid, "RssAnon:")? + value(*pid, "RssShmem:")?) << 10))?,
        })
    }

    /// Is it hardly more than that?
    fn is_about(&self, before: &Self) -> bool {
        let about = |now: [usize; 2], before: [usize; 2], more: usize| {
            now.iter().zip(before).all(|(now, before)| *now <= before + more)
        };
        let born = self.children.saturating_sub(before.children);
        let more = DESCRIPTORS_MORE + DESCRIPTORS_EACH * born;
        let descriptors = self.descriptors.zip(before.descriptors);
        descriptors.is_none_or(|(now, before)| about(now, before, more))
            && about(self.memory, before.memory, MEMORY_MORE)
    }
}

/// What the proxy has of memory.
pub(super) fn memory_of_the_proxy(site: &Site) -> usize {
    wait_for("the proxy", || Held::by(site)).memory[0]
}

/// A number in a line of `/proc/PID/status`.
fn value(pid: i32, line: &str) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|found| found.strip_prefix(line))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The site of a test that attacks it. What proxy and supervisor hold is measured when it serves; a stop
/// waits until they hold no more than that again.
pub(super) struct Attacked {
    site: Site,
    before: Option<Held>,
}

impl Attacked {
    pub(super) fn new(site: Site) -> Self {
        Self { site, before: None }
    }

    #[track_caller]
    pub(super) fn start(&mut self) {
        self.site.start();
        self.measure();
    }

    #[track_caller]
    pub(super) fn start_by(&mut self, command: Command) {
        self.site.start_by(command);
        self.measure();
    }

    #[track_caller]
    pub(super) fn stop(&mut self) -> ExitStatus {
        self.settle();
        self.site.stop()
    }

    #[track_caller]
    fn measure(&mut self) {
        self.before = Some(wait_for("proxy and supervisor", || Held::by(&self.site)));
    }

    /// Do proxy and supervisor hold hardly more than when the site began to serve?
    fn is_as_before(&self) -> bool {
        let now = Held::by(&self.site);
        now.zip(self.before)
            .is_some_and(|(now, before)| now.is_about(&before))
    }

    /// Waits until the attack has left nothing in them.
    #[track_caller]
    fn settle(&self) {
        let what = format!("proxy and supervisor hold as much as before: {:?}", self.before);
        wait_for(&what, || self.is_as_before().then_some(()));
    }
}

impl Deref for Attacked {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl DerefMut for Attacked {
    fn deref_mut(&mut self) -> &mut Site {
        &mut self.site
    }
}

#[test]
fn what_an_attack_leaves_in_the_proxy_is_seen() {
    if !app::root() {
        return;
    }
    let mut site = super::site("hostile-left");
    site.start();
    let left: Vec<Connection> = (0..2 * DESCRIPTORS_MORE).map(|_| site.connect()).collect();
    wait_for("it is seen", || (!site.is_as_before()).then_some(()));
    drop(left);
    assert!(site.stop().success());
}
