//! Workers and clients that are nothing but numbers, and the time they live in.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicU64},
};

use fastrand::Rng;
use wire::page::{ENTRY_WORDS, Page};

use crate::app::dispatcher::{Action, CallId, Dispatcher, Failure, LinkPage, Refusal, Rules};

pub(super) const STEP_NS: u64 = 20_000;
pub(super) const MS: u64 = 1_000_000;

/// What became of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    pub(super) arrived_ns: u64,
    pub(super) service_ns: u64,
    /// How long the answer goes on once it has begun; only evented workers.
    pub(super) stream_ns: u64,
    /// The application does not end when its client is gone.
    pub(super) deaf: bool,
    /// It does not end whatever it is told.
    pub(super) immune: bool,
    pub(super) idempotent: bool,
    pub(super) id: Option<CallId>,
    pub(super) runs: u32,
    pub(super) started_ns: Option<u64>,
    pub(super) answered_ns: Option<u64>,
    pub(super) ended_ns: Option<u64>,
    pub(super) failed: Option<Failure>,
    pub(super) left: bool,
}

impl Fate {
    pub(super) fn over(&self) -> bool {
        self.ended_ns.is_some() || self.failed.is_some() || self.left
    }
}

pub(super) struct Worker {
    pub(super) page: Arc<[AtomicU64]>,
    pub(super) inbox: VecDeque<(u32, u16, usize)>,
    pub(super) running: Vec<Run>,
    /// Sleeps until then.
    pub(super) stopped_until_ns: u64,
    pub(super) gone: bool,
    /// Somebody else's code runs in it.
    pub(super) hostile: bool,
}

/// A request in a worker.
pub(super) struct Run {
    stream: u32,
    number: usize,
    /// Not once it has begun.
    answer_ns: Option<u64>,
    end_ns: u64,
}

pub(super) struct World {
    /// Of each link page.
    entries: usize,
    pub(super) dispatcher: Dispatcher<usize>,
    pub(super) rules: Rules,
    pub(super) random: Rng,
    pub(super) now_ns: u64,
    pub(super) workers: Vec<Option<Worker>>,
    pub(super) fates: Vec<Fate>,
    pub(super) started: Vec<usize>,
    pub(super) overdue: Vec<usize>,
    pub(super) overruns: Vec<usize>,
    pub(super) idle: Vec<usize>,
    pub(super) waiting_max: usize,
}

impl World {
    pub(super) fn new(seed: u64, rules: Rules, workers: usize) -> Self {
        Self::with_entries(seed, rules, workers, 128)
    }

    pub(super) fn with_entries(seed: u64, rules: Rules, workers: usize, entries: usize) -> Self {
        let mut world = Self {
            entries,
            dispatcher: Dispatcher::new(rules),
            rules,
            random: Rng::with_seed(seed),
            now_ns: 1_000_000_000,
            workers: Vec::new(),
            fates: Vec::new(),
            started: Vec::new(),
            overdue: Vec::new(),
            overruns: Vec::new(),
            idle: Vec::new(),
            waiting_max: 0,
        };
        for _ in 0..workers {
            world.boot();
        }
        world
    }

    pub(super) fn boot(&mut self) {
        let words: Arc<[AtomicU64]> = (0..self.entries * ENTRY_WORDS)
            .map(|_| AtomicU64::new(0))
            .collect();
        let index = self
            .dispatcher
            .link_up(LinkPage::Private(Arc::clone(&words)), self.now_ns);
        if self.workers.len() <= index {
            self.workers.resize_with(index + 1, || None);
        }
        assert!(self.workers[index].is_none(), "a link index is used twice");
        self.workers[index] = Some(Worker {
            page: words,
            inbox: VecDeque::new(),
            running: Vec::new(),
            stopped_until_ns: 0,
            gone: false,
            hostile: false,
        });
        self.act();
    }

    pub(super) fn arrive(&mut self, service_ns: u64, idempotent: bool) -> Result<usize, Refusal> {
        let number = self.fates.len();
        let id = self.dispatcher.submit(number, idempotent, self.now_ns)?;
        let fate = Fate {
            arrived_ns: self.now_ns,
            service_ns,
            idempotent,
            id: Some(id),
            ..Fate::default()
        };
        self.fates.push(fate);
        self.act();
        Ok(number)
    }

    /// One whose answer goes on for a while.
    pub(super) fn arrive_streaming(&mut self, service_ns: u64, stream_ns: u64) -> Result<usize, Refusal> {
        let number = self.arrive(service_ns, true)?;
        self.fates[number].stream_ns = stream_ns;
        Ok(number)
    }

    pub(super) fn leave(&mut self, number: usize) {
        let fate = &mut self.fates[number];
        if !fate.over() {
            fate.left = true;
            self.dispatcher.leave(fate.id.expect("submitted"), self.now_ns);
            self.act();
        }
    }

    pub(super) fn kill(&mut self, index: usize) {
        if self.workers.get_mut(index).and_then(Option::take).is_some() {
            self.dispatcher.link_dead(index, self.now_ns);
            self.act();
        }
    }

    pub(super) fn act(&mut self) {
        let actions = std::mem::take(self.dispatcher.actions());
        for action in actions {
            match action {
                Action::Send {
                    link,
                    stream,
                    entry,
                    item,
                    ..
                } => {
                    let worker = self.workers[link].as_mut().expect("sent to a dead worker");
                    worker.inbox.push_back((stream, entry, item));
                }
                Action::Cancel {
                    link,
                    stream,
                    overdue,
                } => {
                    if let Some(worker) = self.workers[link].as_mut()
                        && let Some(run) = worker.running.iter_mut().find(|run| run.stream == stream)
                        && !self.fates[run.number].immune
                        && (overdue || !self.fates[run.number].deaf)
                    {
                        run.end_ns = run.end_ns.min(self.now_ns + 5 * STEP_NS);
                    }
                }
                Action::Fail { item, failure } => {
                    let fate = &mut self.fates[item];
                    assert!(!fate.over(), "request {item} has two ends: {fate:?}");
                    fate.failed = Some(failure);
                }
                Action::Overdue { item, .. } => self.overdue.push(item),
                Action::Overrun { link, .. } => self.overruns.push(link),
                Action::Idle { link } => self.idle.push(link),
                Action::Wanted => {}
            }
        }
        self.waiting_max = self.waiting_max.max(self.dispatcher.held().0);
    }

    /// One step of time: workers run, answers come in one batch per worker, the clock is looked at each millisecond.
    pub(super) fn step(&mut self) {
        self.now_ns += STEP_NS;
        let now_ns = self.now_ns;
        for index in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[index] else {
                continue;
            };
            if worker.stopped_until_ns > now_ns {
                continue;
            }
            if worker.hostile {
                self.misbehave(index);
                continue;
            }
            // Stream, request, whether it begins here, whether it ends here.
            let mut told = Vec::new();
            worker.running.retain_mut(|run| {
                let begins = run
                    .answer_ns
                    .take_if(|&mut at| at <= now_ns || run.end_ns <= now_ns)
                    .is_some();
                let ends = run.end_ns <= now_ns;
                if begins || ends {
                    told.push((run.stream, run.number, begins, ends));
                }
                !ends
            });
            while worker.running.len() < self.rules.window {
                let Some((stream, entry, number)) = worker.inbox.pop_front() else {
                    break;
                };
                if Page::new(&worker.page).claim(entry, stream, now_ns, 7) {
                    let fate = &mut self.fates[number];
                    fate.runs += 1;
                    fate.started_ns.get_or_insert(now_ns);
                    self.started.push(number);
                    worker.running.push(Run {
                        stream,
                        number,
                        answer_ns: Some(now_ns + fate.service_ns),
                        end_ns: now_ns + fate.service_ns + fate.stream_ns,
                    });
                }
            }
            if told.is_empty() {
                continue;
            }
            self.dispatcher.heard(index, now_ns);
            for (stream, number, begins, ends) in told {
                let waited_for = self.dispatcher.stream(index, stream).copied();
                if waited_for == Some(number) {
                    let fate = &mut self.fates[number];
                    assert!(
                        !fate.over(),
                        "request {number} is answered after its end: {fate:?}"
                    );
                    if begins {
                        self.dispatcher.answered(index, stream);
                        fate.answered_ns = Some(now_ns);
                    }
                    if ends {
                        fate.ended_ns = Some(now_ns);
                    }
                }
                if ends {
                    self.dispatcher.ended(index, stream);
                }
            }
            self.dispatcher.pump(now_ns);
            self.act();
        }
        if now_ns % MS < STEP_NS {
            self.dispatcher.tick(now_ns);
            self.act();
        }
        for link in std::mem::take(&mut self.overruns)
            .into_iter()
            .chain(std::mem::take(&mut self.idle))
        {
            self.kill(link);
        }
    }

    pub(super) fn run(&mut self, duration_ns: u64) {
        let until_ns = self.now_ns + duration_ns;
        while self.now_ns < until_ns {
            self.step();
        }
    }

    /// Percentile of the time from arrival to answer, of the requests that `which` picks.
    pub(super) fn latency_ns(&self, percent: usize, which: impl Fn(&Fate) -> bool) -> u64 {
        let mut times: Vec<_> = self
            .fates
            .iter()
            .filter(|fate| which(fate))
            .filter_map(|fate| Some(fate.answered_ns? - fate.arrived_ns))
            .collect();
        times.sort_unstable();
        times[(times.len() - 1) * percent / 100]
    }

    pub(super) fn check_all_over(&self, seed: u64) {
        assert_eq!(
            self.dispatcher.held(),
            (0, 0, 0),
            "seed {seed}: something is left behind"
        );
        for (number, fate) in self.fates.iter().enumerate() {
            assert!(fate.over(), "seed {seed}: request {number} is lost: {fate:?}");
            let runs_max = if fate.idempotent { 2 } else { 1 };
            assert!(
                fate.runs <= runs_max,
                "seed {seed}: request {number} ran too often: {fate:?}"
            );
        }
    }
}
