//! What everything that runs shares in one turn of the loop.

use std::{collections::HashSet, os::fd::OwnedFd, sync::Arc, time::Instant};

use crate::{
    cause::OomKills,
    engine::EngineFile,
    names::Names,
    os::wait,
    output::{Output, Source},
    ready::Ready,
};

/// Pipes of processes that are gone, kept open for what these had started; the oldest is closed beyond that.
const ORPHANS_MAX: usize = 256;

/// What everything that runs shares in one turn of the loop.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) ready: &'a Ready,
    pub(crate) engine: &'a EngineFile,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) pids: &'a mut Pids,
    pub(crate) oom_kills: &'a mut OomKills,
    pub(crate) names: &'a mut Names,
}

/// Numbers that are unique for the supervisor's life.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    last: u64,
}

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The processes that have a place here. The kernel says who sent a hello, and it is checked:
/// our child, and nobody else's.
#[derive(Debug, Default)]
pub(crate) struct Pids {
    known: HashSet<u32>,
}

impl Pids {
    /// A process we started.
    pub(crate) fn add(&mut self, pid: u32) {
        self.known.insert(pid);
    }

    /// A worker has said hello from this process. `false`: it cannot be.
    pub(crate) fn claim(&mut self, pid: u32) -> bool {
        wait::is_child(pid) && self.known.insert(pid)
    }

    /// Has it a place here?
    pub(crate) fn has(&self, pid: u32) -> bool {
        self.known.contains(&pid)
    }

    /// It was reaped.
    pub(crate) fn remove(&mut self, pid: u32) {
        self.known.remove(&pid);
    }
}

/// The output pipes of all zygotes and workers.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) all: Vec<Output>,
}

impl Outputs {
    /// Adds both streams of a process.
    pub(crate) fn add(&mut self, stdout: OwnedFd, stderr: OwnedFd, source: &Source, pid: u32) {
        self.all.push(Output::new(stdout, "stdout", source.clone(), pid));
        self.all.push(Output::new(stderr, "stderr", source.clone(), pid));
    }

    /// The process has said who it is.
    pub(crate) fn name(&mut self, source: &Source, pid: u32) {
        for output in self.all.iter_mut().filter(|output| output.source == *source) {
            output.pid = pid;
        }
    }

    /// Reads what came; `heard` gets every line with its source.
    pub(crate) fn read(&mut self, ready: &Ready, mut heard: impl FnMut(&Source, &[u8])) {
        self.all.retain_mut(|output| {
            if !ready.has(&*output) {
                return true;
            }
            let source = output.source.clone();
            output.read(|line| heard(&source, line))
        });
    }

    /// The process is gone: its last words are read now, before its death is told.
    pub(crate) fn orphan(&mut self, source: &Source, mut heard: impl FnMut(&[u8])) {
        self.all.retain_mut(|output| {
            if output.orphaned || output.source != *source {
                return true;
            }
            output.orphaned = true;
            output.read(&mut heard)
        });
        self.bound();
    }

    /// A generation is given up with its processes killed but not reaped: nobody will tell their ends here.
    pub(crate) fn give_up(&mut self, generation: u64) {
        for output in &mut self.all {
            output.orphaned |= output.source.generation == generation;
        }
        self.bound();
    }

    fn bound(&mut self) {
        let orphans = self.all.iter().filter(|output| output.orphaned).count();
        let mut surplus = orphans.saturating_sub(ORPHANS_MAX);
        self.all.retain(|output| {
            let close = output.orphaned && surplus > 0;
            surplus -= usize::from(close);
            !close
        });
    }
}

impl Source {
    /// The zygote of an app.
    pub(crate) fn zygote(generation: u64, app: &Arc<str>) -> Self {
        Self {
            generation,
            app: Arc::clone(app),
            worker: None,
        }
    }

    /// A worker of an app.
    pub(crate) fn worker(generation: u64, app: &Arc<str>, number: u64, slot: u32) -> Self {
        Self {
            generation,
            app: Arc::clone(app),
            worker: Some((number, slot)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::descriptors;

    #[test]
    fn pipes_of_generations_that_were_given_up_are_bounded() {
        let app: Arc<str> = Arc::from("web");
        let mut outputs = Outputs::default();
        let mut held = Vec::new();
        for generation in 0..ORPHANS_MAX as u64 / 2 + 8 {
            let (stdout, stdout_held) = descriptors::output_pipe().expect("a pipe");
            let (stderr, stderr_held) = descriptors::output_pipe().expect("a pipe");
            // What an app had started keeps them open.
            held.push((stdout_held, stderr_held));
            outputs.add(stdout, stderr, &Source::zygote(generation, &app), 1);
            outputs.give_up(generation);
        }
        assert_eq!(outputs.all.len(), ORPHANS_MAX);
    }
}
