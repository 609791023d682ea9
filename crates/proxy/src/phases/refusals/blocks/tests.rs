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
                    Step::Payload(payload) => {
                        self.blocks.payload(payload);
                    }
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
    // `:path: /a#b` is 41 bytes in the table, `:path: /c` 39, and each of the 118 behind them 34: 4,092
    // together.
    assert!(walk.head(b"\x44\x04/a#b").is_malformed());
    assert!(walk.head(b"\xbe").is_malformed());
    assert!(
        !walk.head(b"\x7e\x02/c").is_malformed(),
        "another path by its name"
    );
    assert!(walk.head(b"\x0f\x2f\x03/c#").is_malformed());
    for _ in 0..118 {
        assert!(!walk.head(b"\x40\x01x\x01#").is_malformed());
    }
    assert!(walk.head(b"\xff\x36").is_malformed(), "119 back");
    assert!(!walk.head(b"\x40\x01x\x01#").is_malformed());
    let found = walk.head(b"\xff\x36");
    assert!(!found.is_malformed() && !found.broken, "the one behind it");
    assert!(walk.head(b"\xff\x37").broken, "evicted");
    let mut walk = Walk::new();
    assert!(walk.head(b"\xbe").broken);
}

/// `x` with a value of 127 bytes or more that the table is to know.
fn inserted(value_len: usize) -> Vec<u8> {
    let more = value_len - 127;
    let head = [0x40, 1, b'x', 0x7f, more as u8 | 0x80, (more >> 7) as u8];
    [&head[..], &vec![b'a'; value_len]].concat()
}

#[test]
fn an_index_of_what_was_evicted_breaks_the_block() {
    // The newest field and the one before it, by themselves and by their names.
    let newest: [&[u8]; 3] = [b"\xbe", b"\x0f\x2f\x01y", b"\x7e\x01y"];
    let older: [&[u8]; 3] = [b"\xbf", b"\x0f\x30\x01y", b"\x7f\x00\x01y"];
    let small = b"\x40\x01x\x01y";
    // What is evicted, and what is not.
    for (block, evicted, left) in [
        // Two of more than half of the table, and of half of it; one of more than the table.
        ([inserted(2016), inserted(2016)].concat(), older, Some(newest)),
        ([inserted(4064)].concat(), newest, None),
        ([&small[..], &inserted(4064)].concat(), newest, None),
        // Tables of nothing, of a byte less than the field has, and of two less than two have.
        ([&b"\x20"[..], small].concat(), newest, None),
        ([&b"\x3f\x02"[..], small].concat(), newest, None),
        ([&b"\x3f\x23"[..], small, small].concat(), older, Some(newest)),
        // Huffman coded: 40 bytes of code are 64 of the value.
        ([&b"\x3f\x41\x40\x01x\xa8"[..], &[0; 40]].concat(), newest, None),
        (
            [&b"\x3f\x42\x40\x01x\xa8"[..], &[0; 40]].concat(),
            older,
            Some(newest),
        ),
    ] {
        let found = |last: &[u8]| Walk::new().head(&[&block, last].concat());
        assert!(!found(b"").broken, "{block:x?}");
        assert!(evicted.iter().all(|last| found(last).broken), "{block:x?}");
        assert!(
            left.iter().flatten().all(|last| !found(last).broken),
            "{block:x?}"
        );
    }
    // A table that is made smaller evicts at once, and gets nothing back when it becomes larger.
    let mut walk = Walk::new();
    walk.head(b"\x40\x01x\x01y\x40\x01x\x01z");
    assert!(!walk.head(b"\x3f\x03\x3f\xe1\x1f\xbe").broken);
    assert!(walk.head(b"\xbf").broken);
}

/// Does h2 decompress a head?
async fn is_sound(block: &[u8]) -> bool {
    let (mut client, server) = duplex(1 << 16);
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    client.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    client.write_all(&head).await.unwrap();
    let mut server = h2::server::handshake(server).await.unwrap();
    server.accept().await.unwrap().is_ok()
}

#[tokio::test]
async fn the_table_evicts_what_that_of_h2_evicts() {
    let mut random = fastrand::Rng::with_seed(7541);
    let (mut sound, mut broken) = (0, 0);
    for _ in 0..300 {
        let mut block = match random.bool() {
            true => vec![0x3f, 0xe1, random.u8(0..0x20)],
            false => Vec::new(),
        };
        block.extend(b"\x82\x87\x84");
        let fields = random.u8(5..40);
        for _ in 0..fields {
            match random.u8(0..4) {
                // Names of the static table, of our own, and Huffman coded.
                0 => block.push(0x40 | random.u8(50..57)),
                1 => block.extend(b"\x40\x03x-a"),
                2 => block.extend(b"\x40\x83\xf2\xb0\xff"),
                _ => block.extend(b"\x40\x82\x00\x07"),
            }
            let len = random.u8(0..127);
            if random.bool() {
                block.push(len);
                block.extend(vec![b'a'; len.into()]);
            } else {
                // Eight symbols are five bytes.
                let len = len / 5 * 5;
                block.push(0x80 | len);
                block.extend(vec![0; len.into()]);
            }
        }
        // One of the oldest.
        block.push(0xbe + fields - random.u8(1..5));
        let is_sound = is_sound(&block).await;
        assert_eq!(Walk::new().head(&block).broken, !is_sound, "{block:x?}");
        *if is_sound { &mut sound } else { &mut broken } += 1;
    }
    assert!(sound > 30 && broken > 30, "{sound} and {broken}");
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
