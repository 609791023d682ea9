//! What is wrong with a chain of certificates, of which each names its issuer.

use x509_parser::prelude::X509Certificate;

/// The first fault that makes clients refuse it; the next one is reported once that is mended.
pub(super) fn problem(chain: &[X509Certificate<'_>]) -> Option<String> {
    let path = path(chain);
    let last = &chain[*path.last()?];
    if !path.is_sorted() {
        let names: Vec<_> = path.iter().map(|at| chain[*at].subject().to_string()).collect();
        return Some(format!(
            "the chain is in the wrong order: write the certificates in that of {}",
            names.join("; ")
        ));
    }
    let stray = (0..chain.len())
        .find(|at| !path.contains(at))
        .map(|at| chain[at].subject());
    match stray {
        Some(stray) if is_root(last) => Some(format!(
            "the certificate of {stray} is no part of the chain: leave it out"
        )),
        Some(stray) => Some(format!(
            "the certificate of {} should follow, not that of {stray}",
            last.issuer()
        )),
        // The root is left out of a chain, so only a leaf alone shows that something is missing.
        None if chain.len() == 1 && !is_root(last) => Some(format!(
            "holds the certificate alone; clients that do not have that of its issuer, {}, refuse it: append the \
             intermediate certificate",
            last.issuer()
        )),
        None => None,
    }
}

/// The way from the first certificate to its issuer, and on from there, as far as the chain has it.
fn path(chain: &[X509Certificate<'_>]) -> Vec<usize> {
    let mut path = Vec::from_iter((!chain.is_empty()).then_some(0));
    while let Some(last) = path.last().map(|at| &chain[*at])
        && let Some(issuer) = (0..chain.len())
            .filter(|at| !path.contains(at))
            .find(|at| chain[*at].subject().as_raw() == last.issuer().as_raw())
        && !is_root(last)
    {
        path.push(issuer);
    }
    path
}

fn is_root(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}
