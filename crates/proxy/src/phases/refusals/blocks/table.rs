//! What a client's fields are known by once it has sent them (RFC 7541 §2.3).

/// What is known of a field.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pseudo: bool,
    pub(super) path: bool,
    /// It is a path with a `#`.
    pub(super) fragment: bool,
}

/// The dynamic table, without its strings: one bit for each field and question, the newest field in the
/// lowest. An index counts back from the newest, so that it does not matter when h2 lets go of a field: an
/// index that leads to such a one it refuses.
#[derive(Debug, Default)]
pub(super) struct Table {
    pseudo: u128,
    path: u128,
    fragment: u128,
    /// Fields that have come, as far as there can be as many.
    fields: usize,
}

/// What HTTP/2 begins with, and h2 lets no client change to more.
pub(super) const BYTES_MAX: usize = 4096;

/// Each field counts as 32 bytes and its strings (RFC 7541 §4.1).
const FIELDS_MAX: usize = BYTES_MAX / 32;
const _: () = assert!(FIELDS_MAX == u128::BITS as usize);

const STATIC_FIELDS: usize = 61;

impl Table {
    /// `None`: nothing is there, and the index is against the rules.
    pub(super) fn get(&self, index: usize) -> Option<Known> {
        match index {
            0 => None,
            // RFC 7541 appendix A
            1..=STATIC_FIELDS => Some(Known {
                pseudo: index <= 14,
                path: matches!(index, 4 | 5),
                fragment: false,
            }),
            _ => {
                let back = index - STATIC_FIELDS - 1;
                let is = |bits: u128| bits >> back & 1 != 0;
                (back < self.fields).then(|| Known {
                    pseudo: is(self.pseudo),
                    path: is(self.path),
                    fragment: is(self.fragment),
                })
            }
        }
    }

    pub(super) fn insert(&mut self, field: Known) {
        self.pseudo = self.pseudo << 1 | u128::from(field.pseudo);
        self.path = self.path << 1 | u128::from(field.path);
        self.fragment = self.fragment << 1 | u128::from(field.fragment);
        self.fields = (self.fields + 1).min(FIELDS_MAX);
    }
}
