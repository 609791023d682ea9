//! Host and path in, site and route out.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use config::{Host, PathMatch, Site};
use message::answer::Answer;

/// Finds the route of a request. Pure, and made once from the configuration.
///
/// A lookup costs a few hash probes, however many sites and routes there are: one per distinct length of a prefix.
#[derive(Debug)]
pub(crate) struct Router {
    hosts: HashMap<Box<str>, usize>,
    /// Suffixes with their leading dot.
    below: HashMap<Box<str>, usize>,
    below_len_max: usize,
    /// The site without hosts.
    default: Option<usize>,
    sites: Vec<SiteRoutes>,
    /// The `Server` field of every site, where all have the same.
    server: Option<String>,
}

#[derive(Debug)]
struct SiteRoutes {
    name: Arc<str>,
    names: Vec<Arc<str>>,
    exact: HashMap<Box<[u8]>, usize>,
    prefixes: HashMap<Box<[u8]>, usize>,
    /// Lengths of the prefixes, the longest first.
    lengths: Vec<usize>,
}

impl Router {
    /// The routes of these sites.
    pub(crate) fn new(sites: &[Site]) -> Self {
        let mut router = Self {
            hosts: HashMap::new(),
            below: HashMap::new(),
            below_len_max: 0,
            default: None,
            sites: sites.iter().map(SiteRoutes::new).collect(),
            server: server_of_all(sites),
        };
        for (index, site) in sites.iter().enumerate() {
            if site.hosts.is_empty() {
                router.default.get_or_insert(index);
            }
            for host in &site.hosts {
                match host {
                    Host::Exact(name) => router.hosts.entry(name.as_str().into()).or_insert(index),
                    Host::Below(suffix) => {
                        router.below_len_max = router.below_len_max.max(suffix.len());
                        router.below.entry(suffix.as_str().into()).or_insert(index)
                    }
                };
            }
        }
        router
    }

    /// Names the server in an answer that belongs to no site, such as that to a head which cannot be read:
    /// who hides the name from scanners does it on every site.
    pub(crate) fn name_server(&self, answer: &mut Answer) {
        if let Some(server) = &self.server {
            answer.names_server = false;
            if !server.is_empty() {
                answer.fields.push("server", server);
            }
        }
    }

    /// The site of a host (lower case, without port): by its name, by its longest wildcard, else the site without hosts.
    pub(crate) fn site(&self, host: &str) -> Option<usize> {
        self.hosts
            .get(host)
            .or_else(|| self.wildcard(host))
            .copied()
            .or(self.default)
    }

    fn wildcard(&self, host: &str) -> Option<&usize> {
        // `.example.org` itself is no name below example.org.
        let start = host.len().saturating_sub(self.below_len_max).max(1);
        memchr::memchr_iter(b'.', host.as_bytes())
            .filter(|&dot| dot >= start)
            .find_map(|dot| self.below.get(&host[dot..]))
    }

    /// The route of a normalised path: the one that is exactly this path, else the longest prefix at a segment boundary.
    pub(crate) fn route(&self, site: usize, path: &[u8]) -> Option<usize> {
        let site = self.sites.get(site)?;
        if let Some(&route) = site.exact.get(path) {
            return Some(route);
        }
        site.lengths.iter().find_map(|&length| {
            let prefix = path.get(..length)?;
            let boundary = prefix.last().is_none_or(|&byte| byte == b'/')
                || path.get(length).is_none_or(|&byte| byte == b'/');
            site.prefixes.get(prefix).filter(|_| boundary).copied()
        })
    }

    /// Name of a site, for the log.
    pub(crate) fn site_name(&self, site: usize) -> Option<Arc<str>> {
        self.sites.get(site).map(|site| Arc::clone(&site.name))
    }

    /// Name of a route, for the log.
    pub(crate) fn route_name(&self, site: usize, route: usize) -> Option<Arc<str>> {
        self.sites.get(site)?.names.get(route).cloned()
    }
}

/// What `headers` of the sites make of `Server`; `None` where one of them says nothing, or something else.
fn server_of_all(sites: &[Site]) -> Option<String> {
    let mut all = sites.iter().map(|site| {
        let set = site
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("server"));
        set.map(|(_, value)| value)
    });
    let first = all.next()??;
    all.all(|other| other == Some(first)).then(|| first.clone())
}

impl SiteRoutes {
    fn new(site: &Site) -> Self {
        let mut routes = Self {
            name: site.name.as_str().into(),
            names: site
                .routes
                .iter()
                .map(|route| route.name.as_str().into())
                .collect(),
            exact: HashMap::new(),
            prefixes: HashMap::new(),
            lengths: Vec::new(),
        };
        for (index, route) in site.routes.iter().enumerate() {
            let (map, path) = match &route.path {
                PathMatch::Exact(path) => (&mut routes.exact, path),
                PathMatch::Prefix(path) => (&mut routes.prefixes, path),
            };
            map.entry(path.as_bytes().into()).or_insert(index);
        }
        let lengths: BTreeSet<usize> = routes.prefixes.keys().map(|prefix| prefix.len()).collect();
        routes.lengths = lengths.into_iter().rev().collect();
        routes
    }
}

#[cfg(test)]
mod tests {
    use config::{Action, Respond, Route};
    use proptest::prelude::*;

    use super::*;

    fn site(hosts: Vec<Host>, mut paths: Vec<PathMatch>) -> Site {
        // As the configuration promises: exact paths first, then prefixes from the longest to the shortest.
        paths.sort_by_key(|path| match path {
            PathMatch::Exact(_) => (0, 0),
            PathMatch::Prefix(prefix) => (1, usize::MAX - prefix.len()),
        });
        let route = |path| Route {
            name: format!("{path:?}"),
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            body_bytes_max: 0,
            action: Action::Respond(Respond {
                status: 200,
                content_type: String::new(),
                body: String::new(),
            }),
        };
        Site {
            headers: Vec::new(),
            name: "site".into(),
            hosts,
            redirect_https: false,
            routes: paths.into_iter().map(route).collect(),
        }
    }

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix(path.into())
    }

    /// The definition: the first match wins.
    fn naive(site: &Site, path: &[u8]) -> Option<usize> {
        site.routes.iter().position(|route| match &route.path {
            PathMatch::Exact(exact) => exact.as_bytes() == path,
            PathMatch::Prefix(prefix) => {
                path.starts_with(prefix.as_bytes())
                    && (prefix.is_empty()
                        || prefix.ends_with('/')
                        || path.len() == prefix.len()
                        || path[prefix.len()] == b'/')
            }
        })
    }

    #[test]
    fn the_longest_prefix_at_a_segment_boundary_wins() {
        let site = site(
            vec![],
            vec![
                prefix("/"),
                prefix("/api"),
                prefix("/api/v2/"),
                PathMatch::Exact("/api/v2/ping".into()),
            ],
        );
        let router = Router::new(std::slice::from_ref(&site));
        let name = |path: &str| {
            router
                .route(0, path.as_bytes())
                .map(|route| site.routes[route].path.clone())
        };
        assert_eq!(
            name("/api/v2/ping"),
            Some(PathMatch::Exact("/api/v2/ping".into()))
        );
        assert_eq!(name("/api/v2/ping/"), Some(prefix("/api/v2/")));
        assert_eq!(name("/api/v2"), Some(prefix("/api")));
        assert_eq!(name("/api"), Some(prefix("/api")));
        assert_eq!(name("/apix"), Some(prefix("/")));
        assert_eq!(router.route(1, b"/"), None);
    }

    #[test]
    fn a_host_finds_its_site_by_name_then_wildcard_then_default() {
        let exact = |name: &str| Host::Exact(name.into());
        let below = |suffix: &str| Host::Below(suffix.into());
        let sites = [
            site(vec![exact("example.org"), below(".example.org")], vec![]),
            site(vec![below(".deep.example.org"), exact("www.example.org")], vec![]),
            site(vec![], vec![]),
        ];
        let router = Router::new(&sites);
        for (host, expected) in [
            ("example.org", 0),
            ("a.example.org", 0),
            ("a.b.example.org", 0),
            ("www.example.org", 1),
            ("x.deep.example.org", 1),
            ("deep.example.org", 0),
            (".example.org", 2),
            ("notexample.org", 2),
            ("", 2),
            ("[::1]", 2),
        ] {
            assert_eq!(router.site(host), Some(expected), "{host}");
        }
        assert_eq!(Router::new(&sites[..2]).site("other.net"), None);
    }

    proptest! {
        #[test]
        fn a_route_is_what_the_definition_says(
            prefixes in proptest::collection::vec("(/[ab]{0,2}){0,3}", 0..12),
            exacts in proptest::collection::vec("(/[ab]{0,2}){1,3}", 0..6),
            paths in proptest::collection::vec("(/[ab]{0,2}){1,4}", 1..20),
        ) {
            let all = prefixes.into_iter().map(PathMatch::Prefix).chain(exacts.into_iter().map(PathMatch::Exact));
            let site = site(vec![], all.collect());
            let router = Router::new(std::slice::from_ref(&site));
            for path in paths {
                let matched = |route: Option<usize>| route.map(|route| site.routes[route].path.clone());
                prop_assert_eq!(
                    matched(router.route(0, path.as_bytes())),
                    matched(naive(&site, path.as_bytes())),
                    "{}", path
                );
            }
        }
    }
}
