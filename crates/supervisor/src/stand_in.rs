//! Workers that stand in for those of an older generation.
//!
//! An old proxy has as long as its transfers take, the workers of its generation have not: they end with
//! `timeout.drain`. A request whose body arrives after that is answered by new code, as behind nginx and
//! gunicorn: the old proxy says that it wants a worker, and those that serve now get a link to it as well. So
//! that what has just begun is not ended with the old workers, these get nothing new in the second half of
//! their time. Where the app is no more, they go on to their end, and what comes then is answered 503.

use std::{sync::Arc, time::Instant};

use tracing::{error, info, warn};
use wire::control::FromProxy;

use crate::{
    generation::{Generation, Phase},
    supervisor::Supervisor,
    worker::Worker,
};

impl Supervisor {
    /// Takes what old proxies have said of links to workers of others.
    pub(crate) fn hear_of_stand_ins(&mut self) {
        let now = Instant::now();
        let said: Vec<_> = self
            .generations
            .iter_mut()
            .flat_map(|generation| std::mem::take(&mut generation.elsewhere))
            .collect();
        for message in said {
            match message {
                FromProxy::LinkIdle { link } => {
                    let mut workers = self.generations.iter_mut().flat_map(Generation::workers_mut);
                    if let Some(worker) = workers.find(|worker| worker.links.has(link)) {
                        worker.link_over(link);
                    }
                }
                FromProxy::LinkBroken { link, breach } => {
                    let mut workers = self.generations.iter_mut().flat_map(Generation::workers_mut);
                    if let Some(worker) = workers.find(|worker| worker.links.has(link)) {
                        worker.broke_link(link, &breach);
                    }
                }
                FromProxy::Overrun {
                    link,
                    thread,
                    request_id,
                    method,
                    target,
                    client,
                    elapsed_ms,
                } => {
                    let request = [&*request_id, &method, &target, &client];
                    let mut generations = self.generations.iter_mut();
                    let found = generations.find(|generation| generation.has_link(link));
                    match found {
                        Some(_) if request_id.is_empty() => {
                            // It may be busy with what others gave it, of which that proxy knows nothing.
                            warn!(link, elapsed_ms, "worker takes nothing from an old proxy");
                        }
                        Some(generation) => generation.overrun(link, thread, &request, elapsed_ms, now),
                        // The worker died meanwhile, which was told.
                        None => error!(
                            request_id,
                            method, target, client, elapsed_ms, "request ran past timeout.request"
                        ),
                    }
                }
                _ => {}
            }
        }
    }

    /// Finds out which workers older proxies still wait for in a stop. Before the generations tick: nothing
    /// else would wake the loop for one that has waited for an old proxy, and may go.
    pub(crate) fn await_old_proxies(&mut self) {
        let at = self.stands_in().filter(|_| self.stop_by.is_some());
        for index in 0..self.generations.len() {
            self.generations[index].is_awaited = at == Some(index) && self.is_awaited(index);
        }
    }

    /// The generation whose workers stand in.
    fn stands_in(&self) -> Option<usize> {
        let newest = self
            .generations
            .iter()
            .rposition(|generation| generation.phase != Phase::Booting);
        // While all of it stops, the last one serves the old proxies as long as its own apps have time.
        self.serving().or(newest.filter(|_| self.stop_by.is_some()))
    }

    /// Makes and leaves the links of stand-ins.
    pub(crate) fn stand_in(&mut self) {
        let now = Instant::now();
        let at = self.stands_in();
        self.leave(at);
        for old in 0..self.generations.len() {
            if at == Some(old) {
                continue;
            }
            let due = self.generations[old].apps_to_hand_over(now);
            if due.is_empty() && !self.generations[old].wants_stand_ins() {
                continue;
            }
            match at.map(|at| self.generations.get_disjoint_mut([old, at])) {
                Some(Ok([old, new])) => {
                    old.hand_over(&due, new);
                    old.link_to(new, &mut self.numbers);
                }
                _ => self.generations[old].link_to_none(),
            }
        }
    }

    /// Forgets links to proxies that are gone, and leaves those to workers that leave.
    fn leave(&mut self, at: Option<usize>) {
        let with_proxy = self
            .generations
            .iter()
            .filter(|generation| generation.proxy.is_some());
        let proxies: Vec<u64> = with_proxy.map(|generation| generation.number).collect();
        let mut left = Vec::new();
        for (index, generation) in self.generations.iter_mut().enumerate() {
            let own = generation.number;
            for worker in generation.workers_mut() {
                worker.keep_links(|generation| proxies.contains(&generation));
                if at != Some(index) || !worker.is_at_work() {
                    left.extend(worker.links.leave_foreign(own));
                }
            }
        }
        for (number, link) in left {
            let mut generations = self.generations.iter_mut();
            let found = generations.find(|generation| generation.number == number);
            if let Some(proxy) = found.and_then(|generation| generation.proxy.as_mut()) {
                proxy.unlink(link);
            }
        }
    }

    /// May an older proxy still want the workers of this generation?
    fn is_awaited(&self, at: usize) -> bool {
        let apps = &self.generations[at].apps;
        self.generations[..at]
            .iter()
            .filter(|old| old.proxy.is_some())
            .flat_map(|old| &old.apps)
            .any(|old| apps.iter().any(|app| app.name == old.name))
    }
}

impl Generation {
    /// Does its proxy have requests for workers that are gone?
    fn wants_stand_ins(&self) -> bool {
        self.proxy.is_some() && self.apps.iter().any(|app| app.wants_stand_ins())
    }

    /// Positions of the apps whose workers have had half of their time.
    fn apps_to_hand_over(&mut self, now: Instant) -> Vec<usize> {
        let apps = self.apps.iter_mut().enumerate();
        apps.filter_map(|(at, app)| app.shall_hand_over(now).then_some(at))
            .collect()
    }

    /// Nothing new goes to the workers of these apps, where `new` has others.
    fn hand_over(&mut self, due: &[usize], new: &Self) {
        let Some(proxy) = &mut self.proxy else { return };
        for &at in due {
            let Some(app) = self.apps.get_mut(at) else {
                continue;
            };
            let mut others = new.apps.iter().filter(|other| other.name == app.name);
            if others.any(|other| other.workers.iter().any(Worker::is_at_work)) {
                app.hand_over().for_each(|link| proxy.unlink(link));
            }
        }
    }

    /// Gives its proxy the workers of `new`, as far as it wants them.
    fn link_to(&mut self, new: &mut Self, numbers: &mut crate::context::Numbers) {
        let number = self.number;
        let Some(proxy) = &mut self.proxy else { return };
        for app in self.apps.iter_mut().filter(|app| app.wants_stand_ins()) {
            let name = Arc::clone(&app.name);
            let found = new.apps.iter_mut().find(|other| other.name == name);
            let Some(other) = found.filter(|other| !other.is_retired()) else {
                app.tell_down(true, proxy);
                continue;
            };
            app.tell_down(other.is_down(), proxy);
            let at_work = other.workers.iter_mut().filter(|worker| worker.is_at_work());
            for worker in at_work.filter(|worker| !worker.links.reaches(number)) {
                let (slot, pid, link) = (worker.slot, worker.child.pid.unwrap_or(0), numbers.next());
                match worker.link(link, number) {
                    Ok(end) => {
                        info!(app = %name, slot, pid, generation = number, "worker takes what an old proxy has received");
                        proxy.link(end, &name);
                    }
                    Err(error) => {
                        error!(app = %name, slot, pid, generation = number, %error, "link to an old proxy not made");
                        worker.links.add(link, number);
                        worker.links.over(link);
                    }
                }
            }
        }
    }

    /// Nothing serves any more.
    fn link_to_none(&mut self) {
        let Some(proxy) = &mut self.proxy else { return };
        for app in self.apps.iter_mut().filter(|app| app.wants_stand_ins()) {
            app.tell_down(true, proxy);
        }
    }
}
