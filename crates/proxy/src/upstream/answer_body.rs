//! The body of a server's answer, taken out of its framing (RFC 9112 §6.3).

use bytes::{Bytes, BytesMut};
use message::chunked::Chunked;

use super::answer_head::BadAnswer;

/// How the end of a body is told, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerBody {
    /// So many bytes are still to come.
    Sized {
        /// Bytes still to come.
        left: u64,
    },
    /// By the last chunk. Extensions and trailer fields are dropped.
    Chunked(Chunked),
    /// By the end of the connection.
    UntilClose,
    /// The connection has ended, and the body with it.
    Closed,
}

impl AnswerBody {
    /// There is none.
    pub(super) const NONE: Self = Self::Sized { left: 0 };

    /// Takes what there is of it out of `input`; `None`: more has to be read, or it is [done](Self::is_done). What follows
    /// it stays in `input`.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, BadAnswer> {
        let len = match self {
            Self::Sized { left } => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= len as u64;
                len
            }
            Self::Chunked(chunked) => return join(chunked, input),
            Self::UntilClose => input.len(),
            Self::Closed => 0,
        };
        Ok((len > 0).then(|| input.split_to(len).freeze()))
    }

    /// Nothing more belongs to it.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Sized { left } => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::UntilClose => false,
            Self::Closed => true,
        }
    }

    /// The server has closed the connection in good order; `false`: too early.
    pub(super) fn close(&mut self) -> bool {
        if *self == Self::UntilClose {
            *self = Self::Closed;
        }
        self.is_done()
    }
}

/// What several chunks bring leaves together. What is behind them and broken is told at the next look.
fn join(chunked: &mut Chunked, input: &mut BytesMut) -> Result<Option<Bytes>, BadAnswer> {
    let mut decode = || chunked.decode(input).map_err(|_| BadAnswer::Chunk);
    let Some(first) = decode()? else { return Ok(None) };
    let Ok(Some(second)) = decode() else {
        return Ok(Some(first));
    };
    let mut joined = BytesMut::with_capacity(first.len() + second.len() + JOINED_BYTES);
    joined.extend_from_slice(&first);
    joined.extend_from_slice(&second);
    while let Ok(Some(next)) = decode() {
        joined.extend_from_slice(&next);
    }
    Ok(Some(joined.freeze()))
}

/// Room for the chunks behind the second one.
const JOINED_BYTES: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(body: &mut AnswerBody, input: &str) -> (Option<String>, String) {
        let mut input = BytesMut::from(input);
        let taken = body.take(&mut input).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (taken.map(|bytes| text(&bytes)), text(&input))
    }

    #[test]
    fn what_follows_a_body_is_left() {
        let mut sized = AnswerBody::Sized { left: 5 };
        assert_eq!(take(&mut sized, "abc"), (Some("abc".into()), String::new()));
        assert!(!sized.is_done());
        assert_eq!(take(&mut sized, "deHTTP"), (Some("de".into()), "HTTP".into()));
        assert!(sized.is_done() && sized.close());
        assert_eq!(take(&mut sized, "HTTP"), (None, "HTTP".into()));
        let mut chunked = AnswerBody::Chunked(Chunked::of_answer());
        assert_eq!(
            take(
                &mut chunked,
                "1\r\na\r\n2;x=y\r\nbc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\nHTTP"
            ),
            (Some("abcd".into()), "HTTP".into())
        );
        assert!(chunked.is_done());
        assert!(AnswerBody::NONE.is_done());
    }

    #[test]
    fn only_a_body_without_a_length_may_end_with_the_connection() {
        let mut open = AnswerBody::UntilClose;
        assert_eq!(take(&mut open, "any"), (Some("any".into()), String::new()));
        assert!(!open.is_done());
        assert!(open.close() && open.is_done());
        assert!(!AnswerBody::Sized { left: 1 }.close());
        let mut chunked = AnswerBody::Chunked(Chunked::of_answer());
        take(&mut chunked, "1\r\na\r\n0\r\n");
        assert!(!chunked.close(), "the trailer section has not ended");
    }

    #[test]
    fn broken_chunks_are_refused() {
        for (bad, before) in [
            ("x\r\n", ""),
            ("-1\r\n", ""),
            ("1\r\nab\r\n", "a"),
            ("1\r\na\r\n2\r\nbc\r\n\r\n", "abc"),
        ] {
            let (mut chunked, mut input) = (AnswerBody::Chunked(Chunked::of_answer()), BytesMut::from(bad));
            let mut taken = Vec::new();
            let end = loop {
                match chunked.take(&mut input) {
                    Ok(Some(piece)) => taken.extend_from_slice(&piece),
                    end => break end,
                }
            };
            assert_eq!(
                (end, &taken[..]),
                (Err(BadAnswer::Chunk), before.as_bytes()),
                "{bad:?}"
            );
        }
    }
}
