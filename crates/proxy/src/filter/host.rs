//! The host that a request is for.

use std::sync::atomic::{AtomicU16, Ordering};

use logs::Outcome;
use message::{refused::Refused, request::Request};

use crate::router::Router;

/// Position of the site that has this host in the configuration; else 404.
pub(crate) fn site(router: &Router, request: &Request) -> Result<usize, Refused> {
    router.site(&request.host).ok_or_else(|| {
        unknown(&request.host);
        Refused::new(404, Outcome::UnknownHost)
    })
}

/// A 404 for every page is a riddle where a name was forgotten in `hosts`. Told for the first few only: who
/// looks for hosts that are not there must not fill the log.
fn unknown(host: &str) {
    static TOLD: AtomicU16 = AtomicU16::new(0);
    if TOLD.load(Ordering::Relaxed) < UNKNOWN_HOSTS_TOLD
        && TOLD.fetch_add(1, Ordering::Relaxed) < UNKNOWN_HOSTS_TOLD
    {
        tracing::info!(
            host,
            "no site has this host: 404; each [[site]] names its `hosts`"
        );
    } else {
        tracing::debug!(host, "no site has this host");
    }
}

const UNKNOWN_HOSTS_TOLD: u16 = 20;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_host_leads_to_its_site_or_nowhere() {
        let text = "[[site]]\nhosts = [\"a.test\"]\nrespond = \"x\"\n";
        let config = config::Config::parse(text, Path::new("/site.toml")).expect("a site");
        let router = Router::new(&config.sites);
        let site = |host: &str| {
            let host = host.to_owned();
            let request = Request {
                host,
                ..Request::default()
            };
            site(&router, &request).map_err(|refused| (refused.status, refused.outcome))
        };
        assert_eq!(site("a.test"), Ok(0));
        assert_eq!(site("b.test"), Err((404, Outcome::UnknownHost)));
    }
}
