//! TLS of our own: certificates chosen by server name, versions, ALPN, tickets; and TLS towards servers
//! behind us.

mod certificate;
mod chain;
mod check;
mod pem;
mod resolver;
mod servers;
mod tickets;
mod trust;

use std::sync::Arc;

use config::{MinimumVersion, ProxyConfig};
use rustls::{ServerConfig, server::ServerSessionMemoryCache};

pub use check::{CertificatesChecked, check_certificates};
pub(crate) use pem::Pem;
pub(crate) use servers::{ServerTls, UpstreamServersTls, servers};

use certificate::{Certificate, CertificateError};
use resolver::Resolver;
use tickets::Tickets;

/// What a TLS listener hands to the handshake.
pub(crate) type ListenerTls = Arc<ServerConfig>;

/// TLS 1.2 sessions remembered for clients without tickets; each is a few hundred bytes.
const SESSIONS_MAX: usize = 4096;

/// ALPN names (RFC 7301).
pub(crate) const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A certificate or its key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A TLS listener without any certificate.
    #[error(
        "listener {0} speaks TLS, but [tls] names no certificate; add `certificates` or set `tls = false`"
    )]
    NoCertificate(String),
    /// No certificate can be for a server.
    #[error("upstream {upstream}: no certificate can be for `{name}`; set `server_name` in its `tls`")]
    ServerName {
        /// Of which upstream.
        upstream: String,
        /// Its host, or `server_name`.
        name: String,
    },
    /// The library refuses.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// Makes the TLS of each listener, by its position in the configuration. `pems` are the certificates and
/// keys, in the order of the configuration.
///
/// Certificates, ticket keys and the session memory are shared by all listeners and threads, so a client may resume
/// wherever its next connection lands; `ticket_secret` is the same for all proxies of a supervisor, so after a reload too.
pub(crate) fn listeners(
    config: &ProxyConfig,
    pems: &[Pem],
    ticket_secret: &[u8],
) -> Result<Vec<Option<ListenerTls>>, TlsError> {
    if !config.listeners.iter().any(|listener| listener.tls) {
        return Ok(vec![None; config.listeners.len()]);
    }
    let certificates = config
        .tls
        .certificates
        .iter()
        .zip(pems)
        .map(|(files, pem)| Certificate::new(files, pem))
        .collect::<Result<Vec<_>, _>>()?;
    for certificate in &certificates {
        certificate.warn_of_expiry();
    }
    let resolver = Arc::new(Resolver::new(&certificates));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match config.tls.minimum {
        MinimumVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinimumVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let mut base = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    base.ticketer = Arc::new(Tickets::new(ticket_secret));
    base.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    config
        .listeners
        .iter()
        .map(|listener| {
            if !listener.tls {
                return Ok(None);
            }
            if certificates.is_empty() {
                return Err(TlsError::NoCertificate(listener.address.to_string()));
            }
            let mut tls = base.clone();
            tls.alpn_protocols = match listener.http2 {
                true => vec![H2.to_vec(), HTTP11.to_vec()],
                false => vec![HTTP11.to_vec()],
            };
            Ok(Some(Arc::new(tls)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
