//! The part of `GET /status` about an app.

use std::time::Instant;

use super::App;
use crate::control::status::{AppStatus, LastExit, WorkerStatus, seconds};

impl App {
    pub(crate) fn status(&self, now: Instant) -> AppStatus {
        let mut workers: Vec<_> = self.workers.iter().map(|worker| worker.status(now)).collect();
        if !self.retired {
            let slots = (0..).take(self.pool.len());
            let empty = slots.filter(|slot| {
                !self
                    .workers
                    .iter()
                    .any(|worker| worker.slot == *slot && worker.counts)
            });
            workers.extend(empty.map(|slot| WorkerStatus {
                slot,
                pid: None,
                state: "waiting".to_owned(),
                age_s: None,
            }));
        }
        workers.sort_by_key(|worker| worker.slot);
        let wanted = if self.retired { 0 } else { self.pool.len() };
        let first = u64::try_from(self.pool.len()).unwrap_or(u64::MAX);
        AppStatus {
            app: self.name.to_string(),
            workers_wanted: wanted,
            workers_ready: self.workers.iter().filter(|worker| worker.is_at_work()).count(),
            restarts: self.history.forks.saturating_sub(first),
            zygote: self.zygote.as_ref().map(|zygote| zygote.status(now)),
            workers,
            last_exit: self.history.last_exit.as_ref().map(|exit| LastExit {
                slot: exit.slot,
                pid: exit.pid,
                cause: exit.cause.clone(),
                age_s: seconds(exit.at, now),
            }),
        }
    }
}
