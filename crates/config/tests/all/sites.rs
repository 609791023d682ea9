//! Sites and routes: mounts, inheritance, short forms.

use std::{path::Path, time::Duration};

use config::{Action, Balance, Config, Health, HealthCheck, PeerAddress};

use crate::surroundings::read;

fn actions(config: &Config) -> Vec<(&str, &Action)> {
    let routes = config.sites[0].routes.iter();
    routes.map(|route| (route.name.as_str(), &route.action)).collect()
}

fn mounts(config: &Config) -> Vec<(&str, &str)> {
    let mut mounts = Vec::new();
    for (name, action) in actions(config) {
        let Action::App { mount, .. } = action else {
            panic!("{name} is no route to an app");
        };
        mounts.push((name, mount.as_str()));
    }
    mounts
}

#[test]
fn an_app_is_mounted_at_its_outermost_route() {
    let config = read(
        r#"
[app.web]
wsgi = "web:app"
[[site]]
app = "web"
[[site.route]]
path = "/upload/"
app = "web"
body_max = "1GiB"
"#,
    );
    assert_eq!(mounts(&config), [("/upload/", ""), ("/", "")]);
    assert_eq!(config.sites[0].routes[0].body_bytes_max, 1 << 30);
}

#[test]
fn an_app_below_a_prefix_gets_the_prefix_as_its_mount() {
    let config = read(
        r#"
[app.shop]
wsgi = "shop:create_app()"
[app.web]
wsgi = "web"
[[site]]
app = "web"
[[site.route]]
path = "/shop/"
app = "shop"
[[site.route]]
path = "= /shop/health"
app = "shop"
[[site.route]]
path = "/shopping"
app = "web"
mount = ""
"#,
    );
    let expected = [
        ("= /shop/health", "/shop"),
        ("/shopping", ""),
        ("/shop/", "/shop"),
        ("/", ""),
    ];
    assert_eq!(mounts(&config), expected);
}

#[test]
fn a_mount_that_is_written_does_not_reach_routes_beside_it() {
    let config = read(
        r#"
[app.web]
wsgi = "web"
[[site]]
[[site.route]]
path = "/whole/"
app = "web"
mount = ""
[[site.route]]
path = "/whole/below/"
app = "web"
[[site.route]]
path = "/cut/"
app = "web"
"#,
    );
    let expected = [("/whole/below/", ""), ("/whole/", ""), ("/cut/", "/cut")];
    assert_eq!(mounts(&config), expected);
}

#[test]
fn a_route_inherits_from_its_site_and_overrides_it() {
    let config = read(
        r#"
[[site]]
headers = { "X-Frame-Options" = "DENY", "X-Site" = "1" }
body_max = "1MiB"
respond = "ok"
[[site.route]]
path = "/x"
headers = { "x-frame-options" = "", "X-Route" = "2" }
methods = ["GET"]
redirect = "https://{host}{target}"
"#,
    );
    let route = &config.sites[0].routes[0];
    let headers: Vec<_> = route
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        headers,
        [("X-Site", "1"), ("x-frame-options", ""), ("X-Route", "2")]
    );
    assert_eq!(route.methods, ["GET", "HEAD"]);
    assert_eq!(route.body_bytes_max, 1 << 20);
    let Action::Redirect(redirect) = &route.action else {
        panic!("a redirect expected")
    };
    assert_eq!(redirect.status, 308);
}

#[test]
fn files_at_the_root_need_no_path() {
    let config = read("[[site]]\nfiles = \"public\"");
    assert!(
        matches!(actions(&config)[..], [("/", Action::Files(files))] if files.root == Path::new("/srv/site/public") && files.strip.is_empty())
    );
    let config =
        read("[[site]]\nfiles = { root = \"public\", index = \"home.html\", precompressed = false }");
    assert!(
        matches!(actions(&config)[..], [("/", Action::Files(files))] if files.index == ["home.html"] && !files.precompressed)
    );
}

#[test]
fn an_upstream_knows_its_peers() {
    let config = read(
        r#"
[upstream.api]
servers = ["http://backend:9000", "http://[::1]", "unix:/run/api.sock"]
balance = "least-connections"
[[site]]
[[site.route]]
path = "/api/"
upstream = "api"
strip = true
"#,
    );
    let upstream = &config.upstreams[0];
    let addresses: Vec<_> = upstream.peers.iter().map(|peer| peer.address.clone()).collect();
    let expected = [
        PeerAddress::Name {
            host: "backend".to_owned(),
            port: 9000,
        },
        PeerAddress::Tcp("[::1]:80".parse().expect("an address")),
        PeerAddress::Unix("/run/api.sock".into()),
    ];
    assert_eq!(addresses, expected);
    assert_eq!(
        (upstream.balance, upstream.retries),
        (Balance::LeastConnections, usize::MAX)
    );
    let Action::Upstream(route) = &config.sites[0].routes[0].action else {
        panic!("an upstream expected")
    };
    assert_eq!(route.strip, "/api");
}

#[test]
fn health_is_a_path_or_a_table() {
    let health = |written: &str| {
        let config = read(&format!(
            "[upstream.api]\nservers = \"http://10.0.0.1\"\n{written}\n[[site]]\nupstream = \"api\"\n"
        ));
        config.upstreams[0].health.clone()
    };
    assert_eq!(health(""), None, "off by default");
    let seconds = Duration::from_secs;
    let get = |host: Option<&str>, status| HealthCheck::Get {
        path: "/healthz".to_owned(),
        host: host.map(str::to_owned),
        status,
    };
    let plain = Health {
        check: get(None, 200..=399),
        interval: seconds(5),
        timeout: seconds(2),
        healthy: 1,
        unhealthy: 3,
    };
    assert_eq!(health("health = \"/healthz\""), Some(plain.clone()));
    assert_eq!(health("health = { path = \"/healthz\" }"), Some(plain.clone()));
    assert_eq!(
        health("health = {}"),
        Some(Health {
            check: HealthCheck::Connect,
            ..plain
        })
    );
    assert_eq!(
        health(
            "[upstream.api.health]\npath = \"/healthz\"\nhost = \"example.org:8080\"\nstatus = 204\n\
             interval = \"1s\"\nhealthy = 2\nunhealthy = 5"
        ),
        Some(Health {
            check: get(Some("example.org:8080"), 204..=204),
            interval: seconds(1),
            timeout: seconds(1),
            healthy: 2,
            unhealthy: 5,
        }),
        "a check is over when the next one begins"
    );
}

#[test]
fn a_server_may_be_written_with_its_weight() {
    let config = read(
        r#"
[upstream.api]
servers = ["http://10.0.0.1", { url = "unix:/run/api.sock", weight = 3 }, { url = "http://c", backup = true }]
balance = "ip-hash"
[upstream.tables]
[[upstream.tables.servers]]
url = "http://10.0.0.1"
weight = 256
[[site]]
upstream = "api"
"#,
    );
    let [api, tables] = &config.upstreams[..] else {
        panic!("two upstreams expected")
    };
    let said: Vec<_> = api
        .peers
        .iter()
        .map(|peer| (peer.url.as_str(), peer.weight, peer.backup))
        .collect();
    assert_eq!(
        said,
        [
            ("http://10.0.0.1", 1, false),
            ("unix:/run/api.sock", 3, false),
            ("http://c", 1, true)
        ]
    );
    assert_eq!(
        (api.balance, tables.balance),
        (Balance::IpHash, Balance::RoundRobin)
    );
    assert_eq!(tables.peers[0].weight, 256);
}

/// The routes to an app: name, mount, and whether it is cut off.
fn cut_mounts(config: &Config) -> Vec<(&str, &str, bool)> {
    let routes = actions(config).into_iter();
    let mounted = routes.filter_map(|(name, action)| match action {
        Action::App { mount, strip, .. } => Some((name, mount.as_str(), *strip)),
        _ => None,
    });
    mounted.collect()
}

#[test]
fn an_app_can_have_its_mount_cut_off() {
    let config = read(
        r#"
[app.web]
asgi = "web:app"
[[site]]
respond = "ok"
[[site.route]]
path = "/sanic/"
app = "web"
strip = true
[[site.route]]
path = "/told/"
app = "web"
"#,
    );
    assert_eq!(
        cut_mounts(&config),
        [("/sanic/", "/sanic", true), ("/told/", "/told", false)]
    );
}

#[test]
fn what_is_cut_off_is_the_outermost_route_that_says_so() {
    let config = read(
        r#"
[app.web]
asgi = "web:app"
[[site]]
app = "web"
[[site.route]]
path = "/sanic/"
app = "web"
strip = true
[[site.route]]
path = "/sanic/upload/"
app = "web"
strip = true
body_max = "1GiB"
"#,
    );
    assert_eq!(
        cut_mounts(&config),
        [
            ("/sanic/upload/", "/sanic", true),
            ("/sanic/", "/sanic", true),
            ("/", "", false)
        ]
    );
}
