//! What is asked of a server that runs: `reload`, `reopen`, `stop` and `status`, by way of its control
//! socket.
//!
//! Exit codes: 0 done, 1 refused or failed, 3 not running (2 is a command line that cannot be understood).

mod status;

use std::{path::Path, time::Duration};

use supervisor::control::{
    client::{Failure, Server},
    event::{Event, STOPS},
};

use crate::told::{complain, tell};

pub(crate) use status::status;

/// What the supervisor may still do once its socket is closed.
const EXIT_WITHIN: Duration = Duration::from_secs(30);

/// New configuration and code; `wait` until they serve, or cannot.
pub(crate) fn reload(conf: &Path, wait: bool) -> u8 {
    let target = if wait { "/reload" } else { "/reload?wait=false" };
    done(conf, || {
        let mut answer = find(conf)?.request("POST", target)?;
        answer.be_patient();
        while let Some(event) = answer.line()? {
            match event {
                Event::Asked { .. } if !wait => {
                    tell(&"reload asked for; the error log tells how it ends");
                    return Ok(0);
                }
                Event::Asked { waits: true } => tell(
                    &"waits for the first boot, for another reload, or for old generations that still drain",
                ),
                Event::Serving { generation, boot_ms } => {
                    tell(&format!(
                        "reloaded: generation {generation} serves after {boot_ms} ms"
                    ));
                    return Ok(0);
                }
                Event::Refused { message } | Event::Failed { message } if message == STOPS => {
                    complain(&message);
                    return Ok(1);
                }
                Event::Refused { message } => {
                    complain(&message);
                    complain(&"reload refused, the old configuration keeps running");
                    return Ok(1);
                }
                Event::Failed { message } => {
                    complain(&message);
                    complain(&"reload failed, the old configuration and the old code keep running");
                    return Ok(1);
                }
                _ => {}
            }
        }
        complain(&"the server ended before the reload did; its error log tells why");
        Ok(1)
    })
}

/// New log files.
pub(crate) fn reopen(conf: &Path) -> u8 {
    done(conf, || match find(conf)?.ask("POST", "/reopen")? {
        Event::NotReopened { message } => {
            complain(&message);
            complain(&"these logs were not reopened, their old files are written on");
            Ok(1)
        }
        _ => {
            tell(&"logs reopened");
            Ok(0)
        }
    })
}

/// The end, within `server.grace`, or `now`.
pub(crate) fn stop(conf: &Path, now: bool) -> u8 {
    let target = if now { "/stop?now=true" } else { "/stop" };
    done(conf, || {
        let mut answer = find(conf)?.request("POST", target)?;
        answer.be_patient();
        // The last line is the end of the connection, and of the process.
        while answer.line::<Event>()?.is_some() {}
        if answer.wait_for_end(EXIT_WITHIN) {
            tell(&"stopped");
            Ok(0)
        } else {
            complain(&"the server does not end; its error log tells why");
            Ok(1)
        }
    })
}

fn find(conf: &Path) -> Result<Server, Failure> {
    Server::find(&config::control_search(conf))
}

fn done(conf: &Path, act: impl FnOnce() -> Result<u8, Failure>) -> u8 {
    act().unwrap_or_else(|failure| {
        complain(&format!("appliance: {}: {failure}", conf.display()));
        match failure {
            Failure::NotRunning { .. } => 3,
            _ => 1,
        }
    })
}
