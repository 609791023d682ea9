//! What is wrong, or odd, with certificate files, and what is said of it.

use super::*;

#[test]
fn what_is_wrong_with_a_certificate_is_told_by_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let a_der = make(path, "a", &["a.test"], 90);
    let b_der = make(path, "b", &["b.test"], 90);
    std::fs::write(path.join("empty.pem"), "").unwrap();
    std::fs::write(
        path.join("broken.pem"),
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    std::fs::write(
        path.join("locked.key"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let (a, b) = (read("a.pem"), read("b.pem"));
    let block = |der: &[u8]| {
        let base64 = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    let half = &a[..a.len() / 2];
    for (name, text) in [
        ("half.pem", half.to_owned()),
        ("dashes.pem", a.replace("CERTIFICATE-----", "CERTIFICATE---")),
        ("order.pem", format!("{b}{b}{a}")),
        ("request.pem", a.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
        (
            "login.key",
            read("a.key").replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"),
        ),
        (
            "damaged.pem",
            "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n".to_owned(),
        ),
        // Behind a good one: no ASN.1, nothing, half of a certificate, a byte too much.
        ("tail.pem", format!("{a}{}", block(b"ABC"))),
        ("nothing.pem", format!("{a}{}", block(b""))),
        ("half-tail.pem", format!("{a}{}", block(&b_der[..200]))),
        ("more.pem", format!("{a}{}", block(&[&b_der[..], b"\0"].concat()))),
        ("more-leaf.pem", block(&[&a_der[..], b"\0"].concat())),
        (
            "damaged.key",
            "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n".to_owned(),
        ),
    ] {
        std::fs::write(path.join(name), text).unwrap();
    }
    std::fs::write(path.join("binary.pem"), b"\x30\x82\x01\xff\xfe").unwrap();
    nix::unistd::mkfifo(&path.join("pipe.pem"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (certificate, key, says, names) in [
        ("none.pem", "a.key", "does not exist", "none.pem"),
        ("pipe.pem", "a.key", "not a regular file; name one", "pipe.pem"),
        (
            "half.pem",
            "a.key",
            "breaks off before its line `-----END CERTIFICATE",
            "half.pem",
        ),
        (
            "dashes.pem",
            "a.key",
            "has the broken line `-----BEGIN CERTIFICATE---`",
            "dashes.pem",
        ),
        ("broken.pem", "a.key", "something else than base64", "broken.pem"),
        (
            "order.pem",
            "a.key",
            "belongs to is number 3 in it; put it first",
            "order.pem",
        ),
        ("request.pem", "a.key", "but a request for one", "request.pem"),
        ("binary.pem", "a.key", "`openssl x509 -inform der", "binary.pem"),
        (
            "damaged.pem",
            "a.key",
            "is damaged; copy the file anew",
            "damaged.pem",
        ),
        ("tail.pem", "a.key", "number 2 in it is damaged", "tail.pem"),
        ("nothing.pem", "a.key", "number 2 in it is damaged", "nothing.pem"),
        (
            "half-tail.pem",
            "a.key",
            "number 2 in it is damaged",
            "half-tail.pem",
        ),
        ("more.pem", "a.key", "number 2 in it is damaged", "more.pem"),
        (
            "more-leaf.pem",
            "a.key",
            "number 1 in it is damaged",
            "more-leaf.pem",
        ),
        (
            "a.key",
            "a.pem",
            "holds no certificate, but a private key",
            "a.key",
        ),
        (
            "a.pem",
            "a.pem",
            "holds no private key, but a certificate",
            "a.pem",
        ),
        ("a.pem", "login.key", "but a key of OpenSSH", "login.key"),
        ("a.pem", "damaged.key", "RSA of 2048 bits and more", "damaged.key"),
        ("empty.pem", "a.key", "holds no certificate", "empty.pem"),
        ("a.key", "a.key", "holds no certificate", "a.key"),
        ("broken.pem", "a.key", "PEM", "broken.pem"),
        ("a.pem", "none.key", "does not exist", "none.key"),
        ("a.pem", "a.pem", "holds no private key", "a.pem"),
        ("a.pem", "locked.key", "encrypted", "locked.key"),
        ("a.pem", "b.key", "does not belong to the certificate", "b.key"),
    ] {
        let error = load(&files(path, certificate, key)).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains(names) && error.contains(';'),
            "{certificate} {key}: {error}"
        );
        assert!(!error.contains("Error") && !error.contains("rror:"), "{error}");
    }
}

/// Certificates that openssl makes and rcgen does not.
#[test]
fn certificates_that_no_client_accepts_are_told_with_what_to_make_instead() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "a", &["a.test"], 90);
    for (certificate, says, way) in [
        (
            include_str!("version-1.pem"),
            "X.509 certificate of version 1",
            "-addext subjectAltName=DNS:",
        ),
        (
            include_str!("p521.pem"),
            "has a key on the curve P-521",
            "-name prime256v1",
        ),
        (
            include_str!("secp256k1.pem"),
            "has a key on the curve 1.3.132.0.10",
            "P-256, P-384 and Ed25519",
        ),
        (
            include_str!("rsa-1024.pem"),
            "has an RSA key of 1024 bits",
            "RSA of 2048 bits and more",
        ),
    ] {
        std::fs::write(directory.path().join("odd.pem"), certificate).unwrap();
        let error = load(&files(directory.path(), "odd.pem", "a.key")).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("odd.pem: ") && error.contains(says) && error.contains(way),
            "{error}"
        );
    }
}

#[test]
fn a_certificate_of_tomorrow_is_told() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "a", &["a.test"], 90);
    let certificate = load(&files(directory.path(), "a.pem", "a.key")).unwrap();
    assert_eq!(certificate.warnings(SystemTime::now()), [""; 0]);
    let warnings = certificate.warnings(SystemTime::UNIX_EPOCH);
    assert!(
        warnings.len() == 1 && warnings[0].contains("a.pem: ") && warnings[0].ends_with("not valid yet"),
        "{warnings:?}"
    );
}

#[test]
fn the_check_tells_names_and_expiry_or_every_problem() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "good", &["example.org", "*.example.org"], 90);
    make(directory.path(), "soon", &["soon.test"], 3);
    make(directory.path(), "late", &["late.test"], -1);
    let checked = check_certificates(&config(directory.path(), &["good", "soon", "late"], "1.2")).unwrap();
    assert_eq!(checked.warnings.len(), 2, "{:?}", checked.warnings);
    let told = checked.told;
    assert!(
        told[0].contains("example.org, *.example.org, expires 2"),
        "{}",
        told[0]
    );
    assert!(
        !told[0].contains("which is") && told[1].ends_with("which is in 3 days"),
        "{told:?}"
    );
    assert!(told[2].ends_with("expired"), "{}", told[2]);
    let mut bad = config(directory.path(), &["good"], "1.2");
    bad.tls.certificates = vec![
        files(directory.path(), "none.pem", "good.key"),
        files(directory.path(), "good.pem", "soon.key"),
    ];
    assert_eq!(check_certificates(&bad).unwrap_err().len(), 2);
    bad.tls.certificates.clear();
    assert!(check_certificates(&bad).unwrap_err()[0].contains("127.0.0.1:0"));
}

#[test]
fn glued_files_and_byte_order_marks_are_read() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "a", &["a.example"], 90);
    make(directory.path(), "b", &["b.example"], 90);
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let (a, b) = (read("a.pem"), read("b.pem"));
    let mark = "\u{feff}";
    for text in [
        format!("{}{b}", a.trim_end()),
        format!("{mark}{a}{b}"),
        format!("{mark}{}{mark}{b}", a.trim_end()),
        format!("{}\r\n{b}", a.trim_end()),
    ] {
        std::fs::write(directory.path().join("chain.pem"), &text).unwrap();
        let certificate = load(&files(directory.path(), "chain.pem", "a.key")).unwrap();
        assert_eq!(certificate.key.cert.len(), 2, "{text}");
    }
    std::fs::write(
        directory.path().join("marked.key"),
        format!("{mark}{}", read("a.key")),
    )
    .unwrap();
    load(&files(directory.path(), "a.pem", "marked.key")).unwrap();
}

#[test]
fn hosts_that_no_certificate_covers_are_told() {
    let directory = TempDir::new().unwrap();
    make(directory.path(), "a", &["example.org", "*.example.net"], 90);
    let mut config = config(directory.path(), &["a"], "1.2");
    let exact = |name: &str| config::Host::Exact(name.into());
    config.sites[0].hosts = vec![
        exact("example.org"),
        exact("www.example.org"),
        exact("www.example.net"),
        exact("example.net"),
        exact("a.b.example.net"),
        config::Host::Below(".example.net".into()),
        config::Host::Below(".example.org".into()),
    ];
    let warnings = check_certificates(&config).unwrap().warnings;
    let names: Vec<_> = warnings
        .iter()
        .filter_map(|line| line.strip_prefix("no certificate is for "))
        .collect();
    let names: Vec<_> = names
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "www.example.org",
            "example.net",
            "a.b.example.net",
            "*.example.org"
        ]
    );
}

#[test]
fn a_leaf_alone_and_an_expired_intermediate_are_told() {
    let directory = TempDir::new().unwrap();
    let authority_key = KeyPair::generate().unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
    write("leaf.key", leaf_key.serialize_pem());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "the issuer");
    authority.not_before = rcgen::date_time_ymd(2019, 1, 1);
    authority.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let issuer_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let leaf = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let leaf_pem = leaf.signed_by(&leaf_key, &issuer).unwrap().pem();
    let warnings = |chain: &str| {
        write("chain.pem", chain.to_owned());
        let certificate = load(&files(directory.path(), "chain.pem", "leaf.key")).unwrap();
        certificate.warnings(SystemTime::now())
    };
    let alone = warnings(&leaf_pem);
    assert!(
        alone.len() == 1 && alone[0].contains("append the intermediate"),
        "{alone:?}"
    );
    let expired = warnings(&format!("{leaf_pem}{issuer_pem}"));
    assert!(
        expired.len() == 1 && expired[0].ends_with("CN=the issuer expired"),
        "{expired:?}"
    );
    make(directory.path(), "other", &["b.example"], 90);
    let other = std::fs::read_to_string(directory.path().join("other.pem")).unwrap();
    assert!(warnings(&format!("{leaf_pem}{other}"))[0].contains("should follow"));
}

#[test]
fn a_chain_that_is_not_one_is_told_once_and_with_the_way_out() {
    let directory = TempDir::new().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let keys: [KeyPair; 3] = std::array::from_fn(|_| KeyPair::generate().unwrap());
    let [root_key, between_key, leaf_key] = &keys;
    let root = authority("root").self_signed(root_key).unwrap().pem();
    let root_issuer = rcgen::Issuer::new(authority("root"), root_key);
    let between = authority("between")
        .signed_by(between_key, &root_issuer)
        .unwrap()
        .pem();
    let between_issuer = rcgen::Issuer::new(authority("between"), between_key);
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "leaf");
    let leaf = params.signed_by(leaf_key, &between_issuer).unwrap().pem();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("leaf.key", &leaf_key.serialize_pem());
    write("between.key", &between_key.serialize_pem());
    write("root.key", &root_key.serialize_pem());
    make(directory.path(), "other", &["b.example"], 90);
    let other = std::fs::read_to_string(directory.path().join("other.pem")).unwrap();
    let warnings = |chain: &[&str]| {
        write("chain.pem", &chain.concat());
        let certificate = load(&files(directory.path(), "chain.pem", "leaf.key")).unwrap();
        certificate.warnings(SystemTime::now())
    };
    for right in [&[&leaf[..], &between][..], &[&leaf, &between, &root]] {
        assert_eq!(warnings(right), [""; 0]);
    }
    for (chain, problem) in [
        (
            &[&leaf[..], &root, &between][..],
            "order: write the certificates in that of CN=leaf; CN=between; CN=root",
        ),
        (
            &[&leaf, &other, &root, &between],
            "order: write the certificates in that of CN=leaf; CN=between; CN=root",
        ),
        (
            &[&leaf, &root],
            "the certificate of CN=between should follow, not that of CN=root",
        ),
        (
            &[&leaf, &leaf],
            "the certificate of CN=between should follow, not that of CN=leaf",
        ),
        (
            &[&leaf, &between, &root, &leaf],
            "the certificate of CN=leaf is no part of the chain: leave it out",
        ),
        (
            &[&leaf, &between, &between],
            "the certificate of CN=root should follow, not that of CN=between",
        ),
    ] {
        let told = warnings(chain);
        assert!(
            told.len() == 1 && told[0].ends_with(problem),
            "{problem}: {told:?}"
        );
    }
    // The key of an authority, with a chain that is right.
    for (key, place) in [("between.key", 2), ("root.key", 3)] {
        write("chain.pem", &[&leaf[..], &between, &root].concat());
        let error = load(&files(directory.path(), "chain.pem", key))
            .unwrap_err()
            .to_string();
        let told = format!("belongs to certificate number {place} in ");
        assert!(error.contains(key) && error.contains(&told), "{error}");
        assert!(
            error.ends_with("name the key that the first one was made for"),
            "{error}"
        );
    }
}

/// Browsers have ignored the common name for years.
#[test]
fn a_certificate_that_names_its_host_in_the_common_name_alone_is_told() {
    let directory = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let warnings = |alternative: bool, common: &str| {
        let names = if alternative {
            vec![common.to_owned()]
        } else {
            Vec::new()
        };
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("old.pem"), certificate.pem()).unwrap();
        std::fs::write(directory.path().join("old.key"), key.serialize_pem()).unwrap();
        let certificate = load(&files(directory.path(), "old.pem", "old.key")).unwrap();
        certificate.warnings(SystemTime::now())
    };
    for name in ["example.org", "www.example.net"] {
        let told = warnings(false, name);
        let way_out = format!("-addext subjectAltName=DNS:{name}");
        assert!(
            told.len() == 1 && told[0].contains("has no subjectAltName") && told[0].ends_with(&way_out),
            "{told:?}"
        );
    }
    assert_eq!(warnings(true, "example.org"), [""; 0]);
}
