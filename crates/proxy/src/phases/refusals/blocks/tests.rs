//! Blocks in every form that a client may give them.

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{
    super::frames::{END_STREAM, Frames, SETTINGS, Step},
    *,
};

const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A connection that is given bytes in pieces of so many.
struct Walk {
    frames: Frames,
    blocks: Blocks,
    last: u32,
}

impl Walk {
    fn new() -> Self {
        Self {
            frames: Frames::of_server(),
            blocks: Blocks::default(),
            last: 0,
        }
    }

    /// What has come of the blocks at the end of each of their frames.
    fn read(&mut self, bytes: &[u8], piece: usize) -> Vec<Block> {
        let mut found = Vec::new();
        for mut bytes in bytes.chunks(piece) {
            while let Some(step) = self.frames.step(&mut bytes) {
                match step {
                    Step::Begun(frame) => {
                        self.blocks.begun(frame, self.last);
                        self.last = self.last.max(frame.stream);
                    }
                    Step::Payload(payload) => self.blocks.payload(payload),
                    Step::Ended(frame) => found.extend(self.blocks.ended(frame)),
                }
            }
        }
        found
    }

    /// A head; of which stream matters to nobody.
    fn head(&mut self, block: &[u8]) -> Block {
        self.last = 0;
        self.trailers(block)
    }

    fn trailers(&mut self, block: &[u8]) -> Block {
        self.read(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block), 1000)[0]
    }
}

/// `:path: /a#b`: its name in the static table or literal, Huffman coded or not.
const FRAGMENTS: [&[u8]; 6] = [
    b"\x04\x04/a#b",
    b"\x45\x84\x60\x7f\xf5\x1f",
    b"\x14\x84\x60\x7f\xf5\x1f",
    b"\x00\x05:path\x04/a#b",
    b"\x40\x84\xb9\x58\xd3\x3f\x04/a#b",
    b"\x10\x84\xb9\x58\xd3\x3f\x84\x60\x7f\xf5\x1f",
];

/// A `#` elsewhere, and none.
const OTHERS: [&[u8]; 7] = [
    b"\x84",
    b"\x04\x04/a-b",
    b"\x02\x03G#T",
    b"\x00\x06:paths\x04/a#b",
    b"\x00\x04:pat\x04/a#b",
    b"\x00\x05x-url\x04/a#b",
    b"\x0f\x18\x84\x60\x7f\xf5\x1f",
];

#[test]
fn a_fragment_is_found_in_every_form_of_a_path() {
    for fragment in FRAGMENTS {
        for piece in [1, 2, 3, 1000] {
            let block = [b"\x82\x87", fragment, b"\x00\x01x\x01y"].concat();
            let padded = [b"\x03", &block[..], &[0; 3]].concat();
            let both = [b"\x03\0\0\0\0\0", &block[..], b"\x04\x01#"].concat();
            let (start, rest) = block.split_at(5);
            for frames in [
                frame(HEADERS, END_HEADERS, 1, &block),
                frame(HEADERS, END_HEADERS | PADDED, 1, &padded),
                frame(HEADERS, END_HEADERS | PADDED | PRIORITIZED, 1, &both),
                [
                    frame(HEADERS, END_STREAM, 1, start),
                    frame(CONTINUATION, 0, 1, b""),
                    frame(CONTINUATION, END_HEADERS, 1, rest),
                ]
                .concat(),
            ] {
                let found = Walk::new().read(&frames, piece);
                let (last, pieces) = found.split_last().unwrap();
                assert!(last.is_malformed() && !last.broken, "{fragment:x?}");
                assert!(pieces.iter().all(|piece| !piece.is_malformed()), "{fragment:x?}");
            }
        }
    }
    for other in OTHERS {
        let found = Walk::new().head(other);
        assert!(!found.is_malformed() && !found.broken, "{other:x?}");
    }
}

#[test]
fn what_the_table_knows_is_found_again() {
    let mut walk = Walk::new();
    // `:path: /a#b`, then 127 fields more: it is the last that the table may still have.
    assert!(walk.head(b"\x44\x04/a#b").is_malformed());
    assert!(walk.head(b"\xbe").is_malformed());
    assert!(
        !walk.head(b"\x7e\x02/c").is_malformed(),
        "another path by its name"
    );
    assert!(walk.head(b"\x0f\x2f\x03/c#").is_malformed());
    for _ in 0..126 {
        assert!(!walk.head(b"\x40\x01x\x01#").is_malformed());
    }
    assert!(walk.head(b"\xff\x3e").is_malformed(), "127 back");
    assert!(!walk.head(b"\x40\x01x\x01#").is_malformed());
    let found = walk.head(b"\xff\x3e");
    assert!(!found.is_malformed() && !found.broken, "the one behind it");
    assert!(walk.head(b"\xff\x3f").broken, "more than a table can have");
    let mut walk = Walk::new();
    assert!(walk.head(b"\xbe").broken);
}

#[test]
fn pseudo_fields_of_trailers_are_found_in_every_form() {
    for pseudo in FRAGMENTS.into_iter().chain([
        &b"\x81"[..],
        b"\x8e",
        b"\x08\x03200",
        b"\x00\x02:x\x00",
        b"\x00\x82\xb9\xe7\x00",
    ]) {
        let mut walk = Walk::new();
        assert!(!walk.head(b"\x82\x87\x84").is_malformed());
        let found = walk.trailers(&[pseudo, b"\x00\x01x\x00"].concat());
        assert!(found.is_malformed() && !found.broken, "{pseudo:x?}");
    }
    // `:authority: a`, that the head had the table learn.
    let mut walk = Walk::new();
    assert!(!walk.head(b"\x41\x01a\x40\x01x\x01y").is_malformed());
    assert!(!walk.trailers(b"\xbe").is_malformed());
    assert!(walk.trailers(b"\xbf").is_malformed());
    for good in [&b""[..], b"\x8f", b"\x00\x02x:\x01:", b"\x0f\x2c\x01#"] {
        let mut walk = Walk::new();
        walk.head(b"\x82\x87\x84");
        assert!(!walk.trailers(good).is_malformed(), "{good:x?}");
    }
}

#[test]
fn what_cannot_be_decompressed_is_told_from_what_is_forbidden() {
    for broken in [
        &b"\x80"[..],
        b"\xbe",
        b"\x7f\x00",
        b"\xff\x80\x80\x80\x80\x00",
        b"\xff",
        b"\x40",
        b"\x00\x05x",
        b"\x00\x01x",
        b"\x00\x01x\x02y",
        b"\x00\x01x\xff\xff\xff\xff\x7f",
        // Huffman: no end, an end within, zeros at the end.
        b"\x00\x01x\x82\x07\xff",
        b"\x00\x01x\x84\xff\xff\xff\xff",
        b"\x00\x81\x00\x00",
        // The size of the table: behind a field, and more than was agreed on.
        b"\x84\x20",
        b"\x3f\xe2\x1f",
    ] {
        assert!(Walk::new().head(broken).broken, "{broken:x?}");
        // Behind it nothing can be known.
        let mut walk = Walk::new();
        walk.head(broken);
        assert_eq!(
            walk.head(b"\x04\x02/#"),
            Block {
                is_whole: true,
                ..Block::default()
            }
        );
    }
    for sound in [
        &b""[..],
        b"\x20\x3f\xe1\x1f\x84",
        b"\x00\x00\x00",
        b"\x00\x01X\x01y",
        b"\x00\x01x\x03\r\n\0",
        b"\x00\x02:x\x01y",
    ] {
        assert!(!Walk::new().head(sound).broken, "{sound:x?}");
    }
    // One within another.
    let mut walk = Walk::new();
    walk.read(&frame(HEADERS, 0, 1, b"\x00\x05x"), 1000);
    assert!(!walk.head(b"\x84").broken);
}

#[tokio::test]
async fn what_a_real_client_sends_is_sound() {
    const REQUESTS: usize = 90;
    let (client, mut server) = duplex(1 << 20);
    let (mut send, connection) = h2::client::handshake(client).await.unwrap();
    let mut random = fastrand::Rng::with_seed(7541);
    let mut text = |len: usize| -> String {
        (0..random.usize(1..len))
            .map(|_| random.char('!'..='~'))
            .collect()
    };
    for number in 0..REQUESTS {
        let path: String = text(40)
            .chars()
            .filter(|char| char.is_ascii_alphanumeric())
            .collect();
        let request = Request::post(format!("https://localhost/{path}"))
            .header(format!("x-{}", number % 7), text(200))
            .header("cookie", text(20));
        let (_, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
        let sum = HeaderValue::from_bytes(text(9).as_bytes()).unwrap();
        body.send_trailers(HeaderMap::from_iter([(HeaderName::from_static("x-sum"), sum)]))
            .unwrap();
    }
    server.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
    let connection = tokio::spawn(connection);
    let (mut walk, mut found) = (Walk::new(), Vec::new());
    walk.frames = Frames::of_client();
    while found.len() < 2 * REQUESTS {
        let mut piece = [0; 777];
        let len = server.read(&mut piece).await.unwrap();
        assert!(len > 0);
        found.extend(walk.read(&piece[..len], 10));
    }
    connection.abort();
    for block in found {
        assert!(block.is_whole && !block.broken && !block.is_malformed());
        assert_eq!(block.pseudo, !block.is_trailers);
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_taken_in_pieces_of_any_size(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6),
        piece in 1..9usize,
    ) {
        let bytes: Vec<u8> = blocks
            .iter()
            .zip((1..).step_by(2))
            .flat_map(|(block, stream)| frame(HEADERS, END_HEADERS, stream, block))
            .collect();
        prop_assert_eq!(Walk::new().read(&bytes, piece), Walk::new().read(&bytes, 10_000));
    }
}
