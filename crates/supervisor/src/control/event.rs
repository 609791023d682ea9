//! What is told of a reload, a reopening and a stop: one JSON object in each line.

use serde::{Deserialize, Serialize};

/// The message of a reload that is refused, or fails, because the server stops.
pub const STOPS: &str = "the server stops";

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The reload was asked for.
    Asked {
        /// It does not begin at once: the first boot or another reload runs, or too many old generations
        /// still drain.
        waits: bool,
    },
    /// The new generation boots.
    Booting {
        /// Its number.
        generation: u64,
    },
    /// The new generation serves. The last line.
    Serving {
        /// Its number.
        generation: u64,
        /// How long that took.
        boot_ms: u64,
    },
    /// The new configuration cannot be used, nothing has changed. The last line.
    Refused {
        /// Why, as the error log tells it.
        message: String,
    },
    /// The new generation does not boot, the old one serves on. The last line.
    Failed {
        /// Why, as the error log tells it.
        message: String,
    },
    /// The log files were opened again. The only line.
    Reopened {},
    /// Some log files could not be opened again, and are written on. The only line.
    NotReopened {
        /// Why.
        message: String,
    },
    /// The server ends; with it, the connection does.
    Stopping {
        /// What running requests get at most.
        grace_ms: u64,
    },
}
