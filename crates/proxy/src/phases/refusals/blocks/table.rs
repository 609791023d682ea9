//! What a client's fields are known by once it has sent them (RFC 7541 §2.3).

/// What is known of a field.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pseudo: bool,
    pub(super) path: bool,
    /// It is a path with a `#`.
    pub(super) fragment: bool,
    /// Bytes of its name.
    pub(super) name_len: usize,
}

/// The dynamic table, without its strings: one bit for each field and question, the newest field in the
/// lowest, and how long the strings are, which says when a field is evicted (RFC 7541 §4).
#[derive(Debug)]
pub(super) struct Table {
    pseudo: u128,
    path: u128,
    fragment: u128,
    /// A ring: `newest` is where the last field is.
    lengths: [Lengths; FIELDS_MAX],
    newest: usize,
    /// Fields that are there, and their bytes.
    fields: usize,
    bytes: usize,
    bytes_max: usize,
}

/// Of a field in the table, which has no strings longer than the table.
#[derive(Debug, Default, Clone, Copy)]
struct Lengths {
    name: u16,
    value: u16,
}

/// What HTTP/2 begins with, and h2 lets no client change to more.
pub(super) const BYTES_MAX: usize = 4096;
const _: () = assert!(BYTES_MAX <= u16::MAX as usize);

/// Each field counts as this and its strings (RFC 7541 §4.1).
const FIELD_BYTES: usize = 32;

const FIELDS_MAX: usize = BYTES_MAX / FIELD_BYTES;
const _: () = assert!(FIELDS_MAX == u128::BITS as usize);

impl Default for Table {
    fn default() -> Self {
        Self {
            pseudo: 0,
            path: 0,
            fragment: 0,
            lengths: [Lengths::default(); FIELDS_MAX],
            newest: 0,
            fields: 0,
            bytes: 0,
            bytes_max: BYTES_MAX,
        }
    }
}

impl Table {
    /// `None`: nothing is there, or not any more, and the index is against the rules (RFC 7541 §2.3.3).
    pub(super) fn get(&self, index: usize) -> Option<Known> {
        let back = match index.checked_sub(1)? {
            entry if entry < STATIC_NAMES.len() => {
                let name = STATIC_NAMES[entry];
                return Some(Known {
                    pseudo: name.starts_with(':'),
                    path: name == ":path",
                    fragment: false,
                    name_len: name.len(),
                });
            }
            entry => entry - STATIC_NAMES.len(),
        };
        let is = |bits: u128| bits >> back & 1 != 0;
        (back < self.fields).then(|| Known {
            pseudo: is(self.pseudo),
            path: is(self.path),
            fragment: is(self.fragment),
            name_len: self.lengths(back).name.into(),
        })
    }

    /// A field comes with a value of so many bytes. One that is larger than the table empties it and is not
    /// in it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, field: Known, value_len: usize) {
        let bytes = FIELD_BYTES + field.name_len + value_len;
        self.evict(self.bytes_max.saturating_sub(bytes));
        let (Ok(name), Ok(value)) = (field.name_len.try_into(), value_len.try_into()) else {
            return;
        };
        if bytes > self.bytes_max {
            return;
        }
        self.newest = (self.newest + 1) % FIELDS_MAX;
        self.lengths[self.newest] = Lengths { name, value };
        self.fields += 1;
        self.bytes += bytes;
        self.pseudo = self.pseudo << 1 | u128::from(field.pseudo);
        self.path = self.path << 1 | u128::from(field.path);
        self.fragment = self.fragment << 1 | u128::from(field.fragment);
    }

    /// The client has given the table another size (RFC 7541 §4.3), which is [`BYTES_MAX`] at most.
    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.evict(bytes_max);
    }

    /// Evicts the oldest fields until the others have so many bytes at most.
    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.fields > 0 {
            let Lengths { name, value } = self.lengths(self.fields - 1);
            self.bytes -= FIELD_BYTES + usize::from(name) + usize::from(value);
            self.fields -= 1;
        }
    }

    /// Of the field so many before the newest.
    fn lengths(&self, back: usize) -> Lengths {
        self.lengths[(self.newest + FIELDS_MAX - back) % FIELDS_MAX]
    }
}

/// The names in the static table (RFC 7541 appendix A).
const STATIC_NAMES: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];
