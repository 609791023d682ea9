//! Supervises the proxy, the zygotes and the workers: one thread, one loop, no HTTP, no Python, no private key.
//!
//! * Pure decisions: [`pool`] (slots), [`restarts`] (back-off), [`departure`] (how a worker leaves), [`reload`].
//! * What runs: [`generation`] has one [`proxy`] and its [`app`]s; an app has a [`zygote`] and [`worker`]s.
//! * The loop around them: [`supervisor`], its start in [`run`]; [`os`] is the edge to the kernel.
//! * [`check`]: what `appliance check` finds out about the apps.

mod app;
mod cause;
mod channel;
mod check;
mod child;
mod context;
pub mod control;
mod daemon;
mod departure;
mod engine;
mod environment;
mod error;
mod generation;
mod heartbeat;
mod journey;
mod left;
mod limits;
mod lines;
mod links;
mod listening;
mod log_files;
mod names;
mod notify;
mod os;
mod output;
mod pid_file;
mod pool;
mod proxy;
mod proxy_files;
mod ready;
mod reload;
mod restarts;
mod run;
mod stand_in;
mod supervisor;
mod worker;
mod zygote;

pub use check::{AppCheck, Imported, check_apps};
pub use daemon::check as check_daemon;
pub use engine::Engine;
pub use error::Error;
#[doc(hidden)]
pub use lines::fuzz as fuzz_lines;
pub use os::{
    inherited::inherited_control,
    privileges::{empty_bounding_set, hide},
};
pub use proxy::ProxyProgram;
pub use run::{Options, run};
