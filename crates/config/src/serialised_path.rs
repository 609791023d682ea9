//! Paths in a serialised configuration. A path of Linux is bytes, which need not be UTF-8: those that are
//! travel as text, the others as a list of their bytes. What serde does by itself refuses the latter.

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

/// Longer ones are nothing that the kernel takes (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;

pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => serializer.collect_seq(path.as_os_str().as_bytes()),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    deserializer.deserialize_any(PathVisitor)
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = PathBuf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path as text or as a list of bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PathBuf, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<PathBuf, A::Error> {
        let mut path = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            if path.len() == PATH_BYTES_MAX {
                return Err(de::Error::invalid_length(path.len() + 1, &self));
            }
            path.push(byte);
        }
        Ok(OsString::from_vec(path).into())
    }
}

/// The same for a path that may be absent.
pub(crate) mod optional {
    use super::*;

    /// One path, so that serde's own `Option` can be used around it.
    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super")] PathBuf);

    pub(crate) fn serialize<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.clone().map(One).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<One>::deserialize(deserializer)?.map(|One(path)| path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two {
        #[serde(with = "super")]
        one: PathBuf,
        #[serde(with = "super::optional")]
        other: Option<PathBuf>,
    }

    #[test]
    fn a_path_comes_back_as_it_was_whatever_its_bytes() {
        for (bytes, json) in [
            (
                &b"/srv/s\xc3\xbc\xc3\x9f"[..],
                r#"{"one":"/srv/süß","other":null}"#,
            ),
            (b"/a\xff", r#"{"one":[47,97,255],"other":null}"#),
            (b"", r#"{"one":"","other":null}"#),
        ] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let mut two = Two {
                one: path.clone(),
                other: None,
            };
            assert_eq!(serde_json::to_string(&two).unwrap(), json);
            assert_eq!(serde_json::from_str::<Two>(json).unwrap(), two);
            two.other = Some(path);
            let json = serde_json::to_string(&two).unwrap();
            assert_eq!(serde_json::from_str::<Two>(&json).unwrap(), two);
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_a_sentence() {
        for json in [
            r#"{"one":7,"other":null}"#,
            r#"{"one":[256],"other":null}"#,
            r#"{"one":"/srv"}"#,
        ] {
            assert!(serde_json::from_str::<Two>(json).is_err(), "{json}");
        }
        let long = format!(r#"{{"one":{:?},"other":null}}"#, vec![47; PATH_BYTES_MAX + 1]);
        let refused = serde_json::from_str::<Two>(&long).unwrap_err().to_string();
        assert!(
            refused.contains("a path as text or as a list of bytes"),
            "{refused}"
        );
    }
}
