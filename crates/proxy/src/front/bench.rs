//! A door for the benches.

use std::{fmt::Write as _, path::Path, time::Duration};

use super::{parse::parse, scan::Scan};
use crate::router::Router;

/// Finds the end of a head and reads it, as the connection loop does with what one read brought. Says how many fields it
/// has; `None` when it is not a whole valid head.
#[must_use]
pub fn read_head(bytes: &[u8]) -> Option<usize> {
    let mut scan = Scan::default();
    let len = scan.find_end(bytes, &LIMITS).ok()??;
    let parsed = parse(&bytes[..len], scan.fields()).ok()?;
    Some(parsed.head.fields.len())
}

/// Sites and routes to find something in.
#[derive(Debug)]
pub struct Routes(Router);

impl Routes {
    /// `site0.example.org` and so on, each with prefixes `/part0/` and so on.
    ///
    /// # Panics
    /// When the configuration of such sites is refused.
    #[must_use]
    pub fn new(sites: usize, prefixes: usize) -> Self {
        let mut text = String::from("[[listener]]\naddress = \"127.0.0.1:8000\"\n");
        for site in 0..sites {
            // Writing to a String does not fail.
            let _ = writeln!(text, "[[site]]\nhosts = [\"site{site}.example.org\"]");
            for prefix in 0..prefixes {
                let _ = writeln!(text, "[[site.route]]\npath = \"/part{prefix}/\"\nrespond = \"x\"");
            }
        }
        let config = config::Config::parse(&text, Path::new("bench.toml"));
        Self(Router::new(&config.expect("sites that are in order").sites))
    }

    /// Site and route.
    #[must_use]
    pub fn find(&self, host: &str, path: &[u8]) -> Option<(usize, usize)> {
        let site = self.0.site(host)?;
        Some((site, self.0.route(site, path)?))
    }
}

const LIMITS: config::Limits = config::Limits {
    connections_max: 1,
    target_bytes_max: 8 << 10,
    head_bytes_max: 32 << 10,
    headers_max: 100,
    head_timeout: Duration::ZERO,
    idle_timeout: Duration::ZERO,
    body_timeout: Duration::ZERO,
    body_rate_min: 0,
    requests_max: 1,
};
