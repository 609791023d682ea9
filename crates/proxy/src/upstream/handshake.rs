//! Why a TLS handshake with a server has failed, for the operator: what is wrong, and the way out.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Why, as the end of a sentence about the server.
pub(super) fn reason(error: io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(error)) => of_certificate(error),
        Some(Error::InvalidMessage(_)) => {
            "it does not speak TLS; if it is a server of plain HTTP, write http:// in `servers`".to_owned()
        }
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it asks for a client certificate, which is not supported yet".to_owned()
        }
        Some(Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
            "it has no site of this name; set `server_name` in `tls` to the name that it knows".to_owned()
        }
        Some(Error::AlertReceived(alert)) => format!("it refuses the handshake ({alert:?})"),
        Some(Error::PeerIncompatible(error)) => {
            format!("it has nothing in common with us, who speak TLS 1.2 and 1.3 ({error:?})")
        }
        Some(error) => error.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closes the connection during the handshake; if it is a server of plain HTTP, write http:// in `servers`"
                .to_owned()
        }
        None => error.to_string(),
    }
}

const UNTRUSTED: &str = "nobody trusted here has signed its certificate; set `ca` in `tls` to the certificate of the \
                         authority that has, or to its own one if it is self-signed";

fn of_certificate(error: &CertificateError) -> String {
    match error {
        // The latter is by an authority that is called like one of ours.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => UNTRUSTED.to_owned(),
        // The crate behind rustls, whose word this is, has no type of it to compare with.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            UNTRUSTED.to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; renew it there".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; look at the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForName => wrong_name("others"),
        CertificateError::NotValidForNameContext { presented, .. } => match presented.is_empty() {
            true => wrong_name("no name at all"),
            false => wrong_name(&names(presented)),
        },
        error => format!("its certificate is not accepted: {error}"),
    }
}

/// They come as `DnsName("back.example")`.
fn names(presented: &[String]) -> String {
    let names = presented.iter().map(|name| {
        let name = name.split_once('(').map_or(name.as_str(), |(_, name)| name);
        name.trim_matches([')', '"'])
    });
    names.collect::<Vec<_>>().join(", ")
}

fn wrong_name(presented: &str) -> String {
    format!("its certificate is for {presented}; set `server_name` in `tls` to a name that it is for")
}
