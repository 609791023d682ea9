//! TLS towards servers behind us.
//!
//! One configuration for all servers of an upstream, so that their sessions are resumed whichever thread
//! connects. The system's authorities are read once per process, and only where something is verified
//! by them.

use std::sync::Arc;

use config::{CaFile, PeerProtocol, Upstream, UpstreamTls};
use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::ServerName,
};

use super::{
    H2, HTTP11, TlsError,
    certificate::CertificateError,
    pem,
    trust::{Any, Named, is_of_authority},
};

/// How one server is spoken with.
#[derive(Debug)]
pub(crate) struct ServerTls {
    /// For the handshake, with HTTP/1.1 alone.
    pub(crate) config: Arc<ClientConfig>,
    /// The same, with HTTP/2 and HTTP/1.1 to choose from.
    pub(crate) http2: Arc<ClientConfig>,
    /// What its certificate must be for.
    pub(crate) name: ServerName<'static>,
}

/// By position in `servers`; `None` where plain HTTP is spoken.
pub(crate) type UpstreamServersTls = Vec<Option<Arc<ServerTls>>>;

/// The TLS of all upstreams, by their position in the configuration; and what is odd about it.
pub(crate) fn servers(upstreams: &[Upstream]) -> Result<(Vec<UpstreamServersTls>, Option<String>), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut system = None;
    let tls = upstreams
        .iter()
        .map(|upstream| {
            if upstream.peers.iter().all(|peer| peer.tls_name.is_none()) {
                return Ok(Vec::new());
            }
            let client = Arc::new(client(&upstream.tls, &provider, &mut system)?);
            let negotiates = |peer: &config::Peer| peer.protocol == PeerProtocol::Negotiated;
            let http2 = match upstream.peers.iter().any(negotiates) {
                true => {
                    let mut http2 = ClientConfig::clone(&client);
                    http2.alpn_protocols.insert(0, H2.to_vec());
                    Arc::new(http2)
                }
                false => Arc::clone(&client),
            };
            let of_peer = |name: &String| {
                let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName {
                    upstream: upstream.name.clone(),
                    name: name.clone(),
                })?;
                Ok(Arc::new(ServerTls {
                    config: Arc::clone(&client),
                    http2: Arc::clone(&http2),
                    name,
                }))
            };
            let peers = upstream.peers.iter();
            peers
                .map(|peer| peer.tls_name.as_ref().map(of_peer).transpose())
                .collect()
        })
        .collect::<Result<_, TlsError>>()?;
    Ok((tls, system.and_then(|system| system.warning())))
}

/// `system`: the system's authorities, once they have been read.
fn client(
    tls: &UpstreamTls,
    provider: &Arc<CryptoProvider>,
    system: &mut Option<SystemAuthorities>,
) -> Result<ClientConfig, TlsError> {
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()?;
    let verified_by = |verifier: Arc<dyn ServerCertVerifier>| {
        builder
            .clone()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth()
    };
    let mut client = match &tls.ca {
        _ if !tls.verify => verified_by(Arc::new(Any(Arc::clone(provider)))),
        Some(ca) => verified_by(Arc::new(named(ca, provider)?)),
        None => {
            let system = system.get_or_insert_with(SystemAuthorities::read);
            builder
                .with_root_certificates(Arc::clone(&system.authorities))
                .with_no_client_auth()
        }
    };
    client.alpn_protocols = vec![HTTP11.to_vec()];
    Ok(client)
}

/// The certificates of a file.
fn named(ca: &CaFile, provider: &Arc<CryptoProvider>) -> Result<Named, TlsError> {
    let malformed = |error: &dyn std::fmt::Display| CertificateError::Malformed {
        path: ca.path.clone(),
        reason: format!("holds a certificate that nothing can be verified by: {error}"),
    };
    let certificates = pem::chain(&ca.path, ca.text.as_bytes())?;
    let mut authorities = RootCertStore::empty();
    for certificate in &certificates {
        // The key of a server is nobody's to sign for others with.
        if is_of_authority(certificate).map_err(|error| malformed(&error))? {
            authorities
                .add(certificate.clone())
                .map_err(|error| malformed(&error))?;
        }
    }
    let by_authority = match authorities.is_empty() {
        true => None,
        false => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider))
                .build()
                .map_err(|error| malformed(&error))?,
        ),
    };
    Ok(Named::new(by_authority, certificates, Arc::clone(provider)))
}

/// What the system trusts.
struct SystemAuthorities {
    authorities: Arc<RootCertStore>,
    /// Certificates among them that cannot be used.
    unusable: usize,
}

impl SystemAuthorities {
    /// Certificates that cannot be used are left out, as everybody else does: one of them must not keep the
    /// others from being used.
    fn read() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut authorities = RootCertStore::empty();
        let (_, unusable) = authorities.add_parsable_certificates(found.certs);
        for error in &found.errors {
            tracing::debug!(%error, "authorities of the system cannot all be read");
        }
        Self {
            authorities: Arc::new(authorities),
            unusable,
        }
    }

    /// Where nothing can be verified by them.
    fn warning(&self) -> Option<String> {
        let unusable = match self.unusable {
            0 => String::new(),
            count => format!(" ({count} certificates are there that cannot be used)"),
        };
        self.authorities.is_empty().then(|| {
            format!(
                "the system has no trusted authorities{unusable}: `https://` servers of upstreams cannot be \
                 verified; install ca-certificates, or name `ca` in [upstream.NAME.tls]"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn the_key_of_a_server_signs_for_nobody_else() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let name = ServerName::try_from("back.test").unwrap();
        let params = || CertificateParams::new(["back.test".to_owned()]).unwrap();
        let signed = |is_ca: IsCa| {
            let key = KeyPair::generate().unwrap();
            let mut of_issuer = params();
            of_issuer.is_ca = is_ca;
            of_issuer.distinguished_name.push(DnType::CommonName, "issuer");
            let own = of_issuer.self_signed(&key).unwrap();
            let issuer = Issuer::new(of_issuer, key);
            let other = params().signed_by(&KeyPair::generate().unwrap(), &issuer);
            (own, other.unwrap())
        };
        let (authority, of_authority) = signed(IsCa::Ca(BasicConstraints::Unconstrained));
        let (server, of_server) = signed(IsCa::NoCa);
        let both = authority.pem() + &server.pem();
        let (authority, of_authority) = (authority.der(), of_authority.der());
        let (server, of_server) = (server.der(), of_server.der());
        for (text, accepted, refused) in [
            (&both, vec![authority, of_authority, server], vec![of_server]),
            (
                &both[both.rfind("-----BEGIN").unwrap()..].to_owned(),
                vec![server],
                vec![of_server, authority, of_authority],
            ),
        ] {
            let ca = CaFile {
                path: "ca.pem".into(),
                text: text.clone(),
            };
            let named = named(&ca, &provider).unwrap();
            let verify =
                |certificate| named.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
            for certificate in accepted {
                verify(certificate).unwrap();
            }
            for certificate in refused {
                verify(certificate).unwrap_err();
            }
        }
    }
}
