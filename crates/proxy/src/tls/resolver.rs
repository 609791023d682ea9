//! Which certificate a client gets.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Certificate;

/// Certificates by the names they are for.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// By whole name.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the first label of the client's name: a wildcard stands for one label.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// All of them, for everybody else: a client that names no host, or one that no certificate is for.
    default: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    /// Certificates in the order of the configuration; the first one that the client can verify is the
    /// default.
    pub(crate) fn new(certificates: &[Certificate]) -> Self {
        let mut exact: HashMap<String, Vec<_>> = HashMap::new();
        let mut wildcard: HashMap<String, Vec<_>> = HashMap::new();
        for certificate in certificates {
            for name in &certificate.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut wildcard, rest),
                    None => (&mut exact, name.as_str()),
                };
                let list = map.entry(name.to_owned()).or_default();
                list.push(Arc::clone(&certificate.key));
            }
        }
        Self {
            exact,
            wildcard,
            default: certificates
                .iter()
                .map(|certificate| Arc::clone(&certificate.key))
                .collect(),
        }
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let candidates = name
            .and_then(|name| {
                self.exact.get(&name).or_else(|| {
                    let (_, rest) = name.split_once('.')?;
                    self.wildcard.get(rest)
                })
            })
            .unwrap_or(&self.default);
        // Several are an elliptic-curve and an RSA certificate: the first that the client can verify.
        candidates
            .iter()
            .find(|key| key.key.choose_scheme(schemes).is_some())
            .or(candidates.first())
            .cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}
