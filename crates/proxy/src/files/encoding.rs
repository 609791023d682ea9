//! Which compressed sibling of a file a client would take.

use message::accept;

/// A compressed sibling.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    /// Content coding.
    pub(super) token: &'static str,
    /// What its file name has more.
    pub(super) suffix: &'static str,
}

/// All that are looked for, the best first.
pub(super) const ENCODINGS: [Encoding; 3] = [
    Encoding {
        token: "br",
        suffix: ".br",
    },
    Encoding {
        token: "zstd",
        suffix: ".zst",
    },
    Encoding {
        token: "gzip",
        suffix: ".gz",
    },
];

/// The siblings this client takes, in the order to try them: those it weighs most first, ours among equals. Not those it
/// likes less than the plain file.
pub(super) fn accepted<'a>(accept_encoding: impl Iterator<Item = &'a [u8]>) -> Vec<&'static Encoding> {
    let mut identity = None;
    let mut star = None;
    let mut weights = [None; ENCODINGS.len()];
    for (name, weight) in accept::weights(accept_encoding) {
        match name {
            b"*" => star = Some(weight),
            name if name.eq_ignore_ascii_case(b"identity") => identity = Some(weight),
            name => {
                let name = if name.eq_ignore_ascii_case(b"x-gzip") {
                    b"gzip"
                } else {
                    name
                };
                let known = ENCODINGS
                    .iter()
                    .position(|encoding| name.eq_ignore_ascii_case(encoding.token.as_bytes()));
                if let Some(position) = known {
                    weights[position] = Some(weight);
                }
            }
        }
    }
    let mut accepted: Vec<(u16, &Encoding)> = weights
        .iter()
        .zip(&ENCODINGS)
        .filter_map(|(weight, encoding)| Some((weight.or(star)?, encoding)))
        .filter(|(weight, _)| *weight > 0 && *weight >= identity.unwrap_or(0))
        .collect();
    accepted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    accepted.into_iter().map(|(_, encoding)| encoding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_weights_decide_and_ours_break_ties() {
        for (accept, tokens) in [
            ("gzip, deflate, br, zstd", &["br", "zstd", "gzip"][..]),
            ("gzip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("GZip;q=1.0, br;q=0.5", &["gzip", "br"]),
            ("br;q=0, gzip", &["gzip"]),
            ("*", &["br", "zstd", "gzip"]),
            ("*;q=0.5, gzip;q=0", &["br", "zstd"]),
            ("gzip;q=0.5, identity", &[]),
            ("identity;q=0.5, gzip", &["gzip"]),
            ("identity", &[]),
            ("", &[]),
            ("deflate", &[]),
        ] {
            let accepted: Vec<_> = accepted([accept.as_bytes()].into_iter())
                .iter()
                .map(|e| e.token)
                .collect();
            assert_eq!(accepted, tokens, "{accept}");
        }
        assert!(accepted(std::iter::empty()).is_empty());
        let two = [&b"deflate"[..], b"gzip;q=0.5, br"];
        let tokens: Vec<_> = accepted(two.into_iter())
            .iter()
            .map(|encoding| encoding.token)
            .collect();
        assert_eq!(tokens, ["br", "gzip"], "two fields are one list");
    }
}
