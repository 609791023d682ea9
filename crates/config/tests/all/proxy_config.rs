//! What a proxy gets.

use std::{fs, path::Path};

use config::{Config, ProxyConfig};

use crate::surroundings::MadeUp;

fn handed_over(config: &Config) -> ProxyConfig {
    let bytes = ProxyConfig::from(config)
        .to_bytes()
        .expect("it can be serialised");
    ProxyConfig::from_bytes(&bytes).expect("it can be read")
}

#[test]
fn every_configuration_arrives_as_it_was() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for directory in ["tests/golden", "../../conf", "../../conf/examples"] {
        for entry in fs::read_dir(here.join(directory)).expect("a directory") {
            let path = entry.expect("the directory can be read").path();
            let Some(config) = fs::read_to_string(&path)
                .ok()
                .and_then(|text| MadeUp::default().config(&text).ok())
            else {
                continue;
            };
            assert_eq!(
                handed_over(&config),
                ProxyConfig::from(&config),
                "{}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}

/// Extremes that a text format could lose, and a directory whose name is not UTF-8.
#[test]
fn numbers_paths_and_secrets_are_each_treated_as_they_must_be() {
    use std::os::unix::ffi::OsStrExt;
    let text = r#"
        [app.web]
        wsgi = "web"
        env = { PASSWORD = "hunter2" }
        [upstream.back]
        servers = ["http://[::1]:8001", "http://back.internal:8002", "unix:/run/back.sock"]
        [[site]]
        app = "web"
        [[site.route]]
        path = "/static/"
        files = "static"
        "#;
    let mut config = MadeUp::default().config(text).expect("a good configuration");
    config.upstreams[0].retries = usize::MAX;
    config.upstreams[0].read_timeout = std::time::Duration::MAX;
    config.sites[0].routes[0].body_bytes_max = u64::MAX;
    let odd = Path::new(std::ffi::OsStr::from_bytes(b"/srv/caf\xe9"));
    config.server.buffers.directory = odd.to_owned();
    config.server.pid_file = Some(odd.join("pid"));
    assert_eq!(handed_over(&config), ProxyConfig::from(&config));
    let bytes = ProxyConfig::from(&config)
        .to_bytes()
        .expect("it can be serialised");
    let told = String::from_utf8(bytes).expect("text");
    for secret in ["hunter2", "PASSWORD", "/python"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn what_another_build_has_written_is_refused_and_names_what_is_missing() {
    for (bytes, told) in [
        ("", "EOF"),
        ("[site]", "expected"),
        ("{}", "missing field `server`"),
        ("{\"server\": 1}", "invalid type"),
    ] {
        let refused = ProxyConfig::from_bytes(bytes.as_bytes())
            .expect_err(bytes)
            .to_string();
        assert!(refused.contains(told), "{refused}");
    }
}
