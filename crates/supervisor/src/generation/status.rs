//! The part of `GET /status` about a generation.

use std::time::Instant;

use super::{Generation, Phase};
use crate::control::status::{GenerationStatus, ListenerStatus, seconds};

impl Generation {
    pub(crate) fn status(&self, now: Instant) -> GenerationStatus {
        let state = match self.phase {
            Phase::Booting => "booting",
            Phase::Serving => "serving",
            Phase::Draining { .. } => "draining",
            Phase::Retiring => "retiring",
        };
        let drains = matches!(self.phase, Phase::Draining { .. } | Phase::Retiring);
        GenerationStatus {
            generation: self.number,
            state: state.to_owned(),
            age_s: seconds(self.began, now),
            state_age_s: seconds(self.phase_since, now),
            proxy: self.proxy.as_ref().map(|proxy| proxy.status(drains, now)),
            apps: self.apps.iter().map(|app| app.status(now)).collect(),
        }
    }

    /// Where it accepts connections, with the ports that the kernel chose.
    pub(crate) fn listeners(&self) -> Vec<ListenerStatus> {
        let pairs = self.sockets.iter().zip(&self.config.listeners);
        pairs
            .map(|(socket, listener)| ListenerStatus {
                address: socket.told(),
                tls: listener.tls,
            })
            .collect()
    }
}
