use std::path::Path;

use config::Config;
use message::{
    connection::TlsFacts,
    forwarding_fields::request_fields,
    head::{BodyLength, Version},
};
use proptest::prelude::*;

use super::*;

fn head(host: &str, lines: &[(&str, &str)]) -> Head {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.push(name, value);
    }
    Head {
        method: "GET".into(),
        target: b"/".to_vec(),
        version: Version::Http11,
        host: host.as_bytes().to_vec(),
        fields,
        body: BodyLength::Known(0),
    }
}

fn from(peer: &str) -> Connection {
    Connection {
        listener: 0,
        peer: (peer != "unix").then(|| peer.parse().expect("an address")),
        local: (peer != "unix").then(|| "10.0.0.9:8000".parse().expect("an address")),
        tls: None,
    }
}

fn server() -> Server {
    let text = "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\n[[site]]\nrespond = \"no\"\n";
    Config::parse(text, Path::new("/site.toml"))
        .expect("valid")
        .server
}

fn asked(peer: &str, host: &str, lines: &[(&str, &str)]) -> Request {
    understand(&head(host, lines), &from(peer), &server()).expect("a good request")
}

fn client(peer: &str, lines: &[(&str, &str)]) -> String {
    asked(peer, "h", lines)
        .client
        .map_or("none".into(), |client| client.to_string())
}

#[test]
fn the_peer_is_the_client_unless_it_is_trusted() {
    assert_eq!(
        client("192.0.2.7:5", &[("X-Forwarded-For", "198.51.100.1")]),
        "192.0.2.7"
    );
    assert_eq!(
        client("10.1.1.1:5", &[("X-Forwarded-For", "198.51.100.1")]),
        "198.51.100.1"
    );
    assert_eq!(
        client("[::ffff:10.1.1.1]:5", &[("X-Forwarded-For", "198.51.100.1")]),
        "198.51.100.1"
    );
    assert_eq!(client("10.1.1.1:5", &[]), "10.1.1.1");
    assert_eq!(client("unix", &[]), "none");
    assert_eq!(
        client("unix", &[("X-Forwarded-For", "198.51.100.1")]),
        "198.51.100.1"
    );
}

#[test]
fn the_chain_is_walked_from_the_right_until_somebody_is_not_trusted() {
    let chain = [
        ("X-Forwarded-For", "1.1.1.1, 198.51.100.1"),
        ("X-Forwarded-For", "10.9.9.9, 10.8.8.8"),
    ];
    let request = asked("10.1.1.1:5", "h", &chain);
    assert_eq!(request.client, "198.51.100.1".parse().ok());
    let hops: Vec<String> = request.hops.iter().map(IpAddr::to_string).collect();
    assert_eq!(hops, ["10.9.9.9", "10.8.8.8", "10.1.1.1"]);
    assert_eq!(
        client("10.1.1.1:5", &[("X-Forwarded-For", "10.2.2.2, 10.3.3.3")]),
        "10.2.2.2"
    );
}

#[test]
fn garbage_ends_the_walk_at_the_last_good_hop() {
    assert_eq!(
        client(
            "10.1.1.1:5",
            &[("X-Forwarded-For", "198.51.100.1, evil, 10.3.3.3")]
        ),
        "10.3.3.3"
    );
    assert_eq!(client("10.1.1.1:5", &[("X-Forwarded-For", "")]), "10.1.1.1");
}

#[test]
fn forwarded_counts_where_x_forwarded_for_is_absent() {
    let both = [
        ("Forwarded", "for=198.51.100.9"),
        ("X-Forwarded-For", "198.51.100.1"),
    ];
    assert_eq!(client("10.1.1.1:5", &both), "198.51.100.1");
    let field = [(
        "Forwarded",
        "for=1.1.1.1;proto=http, for=\"[2001:db8::1]:99\";proto=https;host=\"Shop.example:444\"",
    )];
    let request = asked("10.1.1.1:5", "inner", &field);
    assert_eq!(request.client, "2001:db8::1".parse().ok());
    assert_eq!(request.client_port, 99);
    assert!(request.https);
    assert_eq!((request.host.as_str(), request.port), ("shop.example", 444));
    assert_eq!(client("192.0.2.7:5", &field), "192.0.2.7");
}

#[test]
fn scheme_host_and_port_come_from_trusted_peers_only() {
    let lines = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "Shop.example"),
        ("X-Forwarded-Port", "8443"),
    ];
    let request = asked("10.1.1.1:5", "inner:8000", &lines);
    assert!(request.https);
    assert_eq!((request.host.as_str(), request.port), ("shop.example", 8443));
    assert_eq!(request.authority, "Shop.example");
    let request = asked("192.0.2.7:5", "inner:8000", &lines);
    assert!(!request.https);
    assert_eq!((request.host.as_str(), request.port), ("inner", 8000));
}

#[test]
fn lists_are_read_at_the_clients_place() {
    let one_hop = [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Proto", "https, http"),
    ];
    assert!(!asked("10.1.1.1:5", "h", &one_hop).https);
    let two_hops = [
        ("X-Forwarded-For", "198.51.100.1, 10.2.2.2"),
        ("X-Forwarded-Proto", "https, http"),
    ];
    assert!(asked("10.1.1.1:5", "h", &two_hops).https);
    let replaced = [
        ("X-Forwarded-For", "198.51.100.1, 10.2.2.2"),
        ("X-Forwarded-Proto", "https"),
    ];
    assert!(asked("10.1.1.1:5", "h", &replaced).https);
}

#[test]
fn odd_values_of_a_trusted_proxy_are_passed_over() {
    let lines = [
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Host", "a b\"c"),
        ("X-Forwarded-Port", "0"),
        ("X-Request-ID", "a b"),
    ];
    let request = asked("10.1.1.1:5", "inner", &lines);
    assert!(!request.https);
    assert_eq!((request.host.as_str(), request.port), ("inner", 80));
    assert_eq!(request.request_id.len(), 32);
}

#[test]
fn the_port_is_what_the_client_meant() {
    assert_eq!(asked("192.0.2.7:5", "h:81", &[]).port, 81);
    assert_eq!(asked("192.0.2.7:5", "h", &[]).port, 80);
    assert_eq!(asked("192.0.2.7:5", "", &[]).port, 8000);
    assert_eq!(
        asked("10.1.1.1:5", "h", &[("X-Forwarded-Proto", "https")]).port,
        443
    );
    let mut connection = from("192.0.2.7:5");
    connection.tls = Some(TlsFacts {
        version: "TLSv1.3",
        cipher: "x",
        version_number: 0x0304,
        cipher_number: 0x1301,
        server_name: None,
    });
    assert_eq!(
        understand(&head("h", &[]), &connection, &server()).map(|request| (request.https, request.port)),
        Ok((true, 443))
    );
}

#[test]
fn a_request_id_is_taken_from_trusted_peers_only() {
    assert_eq!(
        asked("10.1.1.1:5", "h", &[("X-Request-ID", "abc-1")]).request_id,
        "abc-1"
    );
    assert_ne!(
        asked("192.0.2.7:5", "h", &[("X-Request-ID", "abc-1")]).request_id,
        "abc-1"
    );
}

#[test]
fn a_host_that_is_none_is_refused() {
    for bad in ["a b", "a/b", "x:y"] {
        assert_eq!(
            understand(&head(bad, &[]), &from("192.0.2.7:5"), &server()),
            Err(HostError)
        );
    }
}

#[test]
fn servers_are_told_what_is_true() {
    let told = |request: &Request, name: &str| {
        let fields = request_fields(request);
        fields
            .get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let direct = asked("192.0.2.7:5", "h:81", &[("X-Forwarded-For", "6.6.6.6")]);
    assert_eq!(told(&direct, "x-forwarded-for").as_deref(), Some("192.0.2.7"));
    assert_eq!(told(&direct, "x-real-ip").as_deref(), Some("192.0.2.7"));
    assert_eq!(told(&direct, "x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(told(&direct, "x-forwarded-host").as_deref(), Some("h:81"));
    assert_eq!(told(&direct, "x-forwarded-port").as_deref(), Some("81"));
    assert_eq!(
        told(&direct, "forwarded").as_deref(),
        Some("for=192.0.2.7;proto=http;host=\"h:81\"")
    );
    assert_eq!(told(&direct, "x-request-id"), Some(direct.request_id.clone()));

    let chain = [("X-Forwarded-For", "6.6.6.6, 2001:db8::1, 10.2.2.2")];
    let through = asked("10.1.1.1:5", "h", &chain);
    assert_eq!(
        told(&through, "x-forwarded-for").as_deref(),
        Some("2001:db8::1, 10.2.2.2, 10.1.1.1")
    );
    assert_eq!(
        told(&through, "forwarded").as_deref(),
        Some("for=\"[2001:db8::1]\";proto=http;host=\"h\", for=10.2.2.2, for=10.1.1.1")
    );

    let local = asked("unix", "h", &[]);
    assert_eq!(told(&local, "x-forwarded-for"), None);
    assert_eq!(told(&local, "x-real-ip"), None);
    assert_eq!(
        told(&local, "forwarded").as_deref(),
        Some("for=unknown;proto=http;host=\"h\"")
    );
}

#[test]
fn empty_elements_of_a_list_do_not_count() {
    for list in [
        "198.51.100.1,",
        ",198.51.100.1",
        "198.51.100.1, ,",
        "6.6.6.6,198.51.100.1, , ,10.3.3.3,",
    ] {
        assert_eq!(
            client("10.1.1.1:5", &[("X-Forwarded-For", list)]),
            "198.51.100.1",
            "{list}"
        );
    }
    let apart = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "")];
    assert_eq!(client("10.1.1.1:5", &apart), "198.51.100.1");
    assert_eq!(
        client("10.1.1.1:5", &[("Forwarded", "for=198.51.100.1, ,")]),
        "198.51.100.1"
    );
    let chain = [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Proto", "https,,"),
        ("X-Forwarded-Host", " , a.example,"),
    ];
    let request = asked("10.1.1.1:5", "h", &chain);
    assert_eq!((request.https, request.host.as_str()), (true, "a.example"));
}

const STRANGER: Passing = Passing {
    trusted: false,
    underscores: false,
};

#[test]
fn fields_of_one_connection_and_spoofed_ones_do_not_pass() {
    for name in [
        "Connection",
        "keep-alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy",
        "Proxy-Connection",
        "proxy-authorization",
        "Expect",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Real-IP",
        "Forwarded",
        "X-Request-ID",
        "X_Forwarded_For",
        "X-Mine",
    ] {
        for trusted in [false, true] {
            let passing = Passing { trusted, ..STRANGER };
            assert!(!passing.lets(name.as_bytes(), b"close, x-mine"), "{name}");
        }
    }
    for name in [
        "Host",
        "Content-Length",
        "Cookie",
        "Forwarded-By",
        "Accept",
        "Proxied",
        "X-Other",
        "CF-Connecting-IP",
        "True-Client-IP",
        "X-Scheme-Other",
        "X-Hosts",
        "X-Original-Method",
        "Script",
        "Remote-User",
    ] {
        assert!(
            STRANGER.lets(name.as_bytes(), b"host, content-length, x-mine"),
            "{name}"
        );
    }
}

#[test]
fn what_proxies_say_passes_from_proxies_alone() {
    for name in [
        "X-Forwarded-Prefix",
        "X-Forwarded-Ssl",
        "x-forwarded-server",
        "X-FORWARDED-ANYTHING",
        "X-Forwarded-",
        "X-Scheme",
        "X-Url-Scheme",
        "X-Script-Name",
        "X-Original-URL",
        "x-rewrite-url",
        "Front-End-Https",
        "X-Forwarded",
        "X-Host",
        "x-original-host",
        "X-Original-URI",
        "Script-Name",
    ] {
        let said = asked("192.0.2.7:5", "h", &[]).passing;
        assert!(!said.lets(name.as_bytes(), b""), "{name}");
        let said = asked("10.1.1.1:5", "h", &[]).passing;
        assert!(said.lets(name.as_bytes(), b""), "{name}");
    }
}

#[test]
fn underscores_pass_where_they_are_wanted_and_never_in_the_guise_of_a_hyphen() {
    let wanted = Passing {
        underscores: true,
        ..STRANGER
    };
    for name in ["x_token", "X_A-B", "_", "a_"] {
        assert!(wanted.lets(name.as_bytes(), b""), "{name}");
        assert!(!STRANGER.lets(name.as_bytes(), b""), "{name}");
    }
    for name in [
        "X_Forwarded_For",
        "x_forwarded-prefix",
        "X_Real_IP",
        "x_script_name",
        "Transfer_Encoding",
        "PROXY_AUTHORIZATION",
        "Content_Length",
        "CONTENT_TYPE",
        "x_mine",
    ] {
        assert!(!wanted.lets(name.as_bytes(), b"x-mine"), "{name}");
    }
}

proptest! {
    #[test]
    fn whatever_is_claimed_nothing_untrusted_is_passed_on(
        list in "[0-9a-f:., \"\\[\\]=;x]{0,40}",
        standard in "(for=|proto=|host=|[0-9.:\"\\\\;, \\[\\]a]){0,20}",
        proto in "[a-z, ]{0,12}",
        trusted in any::<bool>(),
    ) {
        let peer = if trusted { "10.1.1.1:5" } else { "192.0.2.7:5" };
        let mut lines = vec![("Forwarded", standard.as_str()), ("X-Forwarded-Host", standard.as_str()), ("X-Forwarded-Proto", &proto)];
        if !list.is_empty() {
            lines.push(("X-Forwarded-For", &list));
        }
        let request = asked(peer, "h", &lines);
        if !trusted {
            prop_assert_eq!(request.client, "192.0.2.7".parse().ok());
            prop_assert_eq!((request.https, request.host.as_str()), (false, "h"));
        }
        for (name, value) in request_fields(&request).iter() {
            let clean = value.iter().all(|byte| (b' '..=b'~').contains(byte));
            prop_assert!(clean, "{}: {}", name.escape_ascii(), value.escape_ascii());
        }
        let ours = request_fields(&request);
        let client = ours.get("x-forwarded-for").and_then(|value| value.split(|&byte| byte == b',').next());
        prop_assert_eq!(client, ours.get("x-real-ip"));
    }
}
