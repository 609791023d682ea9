//! Certificates made on the spot, from the file to the handshake.

mod certificates;
mod trusting;

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use config::{CertificateFiles, Config};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, ServerConnection, SignatureScheme, Stream,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;

use super::*;

/// Writes a certificate for these names; returns its DER.
fn make(directory: &Path, name: &str, names: &[&str], days: i64) -> CertificateDer<'static> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(100 * 24 * 60 * 60)).into();
    params.not_after = match days < 0 {
        true => now - Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60),
        false => now + Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60 + 60),
    }
    .into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

fn files(directory: &Path, certificate: &str, key: &str) -> CertificateFiles {
    CertificateFiles {
        certificate: directory.join(certificate),
        key: directory.join(key),
    }
}

fn load(files: &CertificateFiles) -> Result<Certificate, CertificateError> {
    Certificate::new(files, &Pem::read(files)?)
}

/// TLS of each listener, with the files read here.
fn spoken(config: &Config, ticket_secret: &[u8]) -> Result<Vec<Option<ListenerTls>>, TlsError> {
    let pems = config.tls.certificates.iter().map(Pem::read);
    let pems: Vec<Pem> = pems.collect::<Result<_, _>>()?;
    listeners(&ProxyConfig::from(config), &pems, ticket_secret)
}

fn config(directory: &Path, names: &[&str], minimum: &str) -> Config {
    let pairs: Vec<_> = names
        .iter()
        .map(|name| format!("{{ certificate = \"{name}.pem\", key = \"{name}.key\" }}"))
        .collect();
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n[tls]\ncertificates = [{}]\nminimum = \"{minimum}\"\n\
         [[site]]\nrespond = \"x\"\n",
        pairs.join(", ")
    );
    Config::parse(&text, &directory.join("site.toml")).unwrap_or_else(|bad| panic!("{bad}"))
}

/// What a client sees of a handshake.
struct Met {
    certificate: CertificateDer<'static>,
    version: ProtocolVersion,
    alpn: Option<Vec<u8>>,
    resumed: bool,
}

/// Shakes hands over a real socket.
fn meet(server: &ListenerTls, client: &Arc<ClientConfig>, name: &str) -> Result<Met, std::io::Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = Arc::clone(server);
    let serving = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let mut connection = ServerConnection::new(server).unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
        stream.flush()
    });
    let mut socket = TcpStream::connect(address)?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let met = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0]));
    // Its error is the client's, seen from the other side.
    let _ = serving.join().unwrap();
    met?;
    Ok(Met {
        certificate: connection.peer_certificates().unwrap()[0].clone().into_owned(),
        version: connection.protocol_version().unwrap(),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    })
}

/// A client that trusts anybody, for looking at what it is given.
fn client(versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
    client_that_verifies(versions, alpn, |_| true)
}

/// One that can verify some signatures only.
fn client_that_verifies(
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
    verifies: fn(SignatureScheme) -> bool,
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trusting::Anybody(provider, verifies)))
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(client)
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_client_gets_the_certificate_it_asks_for() {
    let directory = TempDir::new().unwrap();
    let first = make(directory.path(), "first", &["example.org", "www.example.org"], 90);
    let wild = make(directory.path(), "wild", &["*.example.net"], 90);
    let config = config(directory.path(), &["first", "wild"], "1.2");
    let tls = spoken(&config, b"secret").unwrap()[0].clone().unwrap();
    let client = client(BOTH, &[]);
    for (name, expected) in [
        ("example.org", &first),
        ("WWW.example.org", &first),
        ("a.example.net", &wild),
        // A wildcard is for one label, and not for the name itself.
        ("a.b.example.net", &first),
        ("example.net", &first),
        ("unknown.test", &first),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(
            &meet(&tls, &client, name).unwrap().certificate,
            expected,
            "{name}"
        );
    }
}

/// Some devices verify RSA only: they get the first certificate that they can use, whatever they ask for.
#[test]
fn a_client_gets_a_certificate_that_it_can_verify() {
    let directory = TempDir::new().unwrap();
    let curve = make(directory.path(), "curve", &["example.org"], 90);
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("rsa.pem", include_str!("tests/rsa.pem"));
    write("rsa.key", include_str!("tests/rsa.key"));
    let config = config(directory.path(), &["curve", "rsa"], "1.2");
    let tls = spoken(&config, b"secret").unwrap()[0].clone().unwrap();
    let of_rsa = |scheme| format!("{scheme:?}").starts_with("RSA");
    for version in BOTH {
        let usual = client(&[version], &[]);
        let old = client_that_verifies(&[version], &[], of_rsa);
        for (client, name, is_curve) in [
            (&usual, "unknown.test", true),
            (&usual, "rsa.test", false),
            (&old, "unknown.test", false),
            (&old, "127.0.0.1", false),
            (&old, "rsa.test", false),
        ] {
            let met = meet(&tls, client, name).unwrap();
            assert_eq!(met.certificate == curve, is_curve, "{name}");
        }
    }
}

#[test]
fn versions_protocols_and_tickets_are_as_configured() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "a", &["example.org"], 90);
    let strict = spoken(&config(directory.path(), &["a"], "1.3"), b"secret").unwrap()[0]
        .clone()
        .unwrap();
    let old = client(&[&rustls::version::TLS12], &[]);
    assert!(meet(&strict, &old, "example.org").is_err());
    let tls = spoken(&config(directory.path(), &["a"], "1.2"), b"secret").unwrap()[0]
        .clone()
        .unwrap();
    assert_eq!(
        meet(&tls, &old, "example.org").unwrap().version,
        ProtocolVersion::TLSv1_2
    );
    assert!(meet(&tls, &old, "example.org").unwrap().resumed);
    let new = client(BOTH, &[b"h2", b"http/1.1"]);
    let met = meet(&tls, &new, "example.org").unwrap();
    assert_eq!(
        (met.version, met.alpn.as_deref()),
        (ProtocolVersion::TLSv1_3, Some(&b"h2"[..]))
    );
    assert!(meet(&tls, &new, "example.org").unwrap().resumed);
}

#[test]
fn sessions_go_on_with_the_next_proxy_of_the_same_supervisor() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "a", &["example.org"], 90);
    let config = config(directory.path(), &["a"], "1.2");
    let proxy = |secret: &[u8]| spoken(&config, secret).unwrap()[0].clone().unwrap();
    for versions in [BOTH, &[&rustls::version::TLS12]] {
        let client = client(versions, &[]);
        assert!(!meet(&proxy(b"one"), &client, "example.org").unwrap().resumed);
        assert!(meet(&proxy(b"one"), &client, "example.org").unwrap().resumed);
        assert!(!meet(&proxy(b"two"), &client, "example.org").unwrap().resumed);
    }
}
