//! However the bytes come, they mean the same.

use proptest::prelude::*;

use super::{Reader, Said, read, read_all};
use crate::frames::{masked, pack};

/// What a client may do.
#[derive(Debug, Clone)]
enum Act {
    /// A message, compressed or not, cut into fragments here.
    Message(bool, Vec<u8>, bool, Vec<usize>),
    Ping(Vec<u8>),
    Pong,
}

fn act() -> impl Strategy<Value = Act> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let text = prop_oneof![
        "\\PC{0,300}".prop_map(String::into_bytes),
        (0..200usize).prop_map(|n| "κόσμε ".repeat(n).into_bytes())
    ];
    let binary = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        (0..90_000usize).prop_map(|n| vec![5; n])
    ];
    let body = prop_oneof![text.prop_map(|t| (true, t)), binary.prop_map(|b| (false, b))];
    prop_oneof![
        4 => (body, any::<bool>(), cuts).prop_map(|((text, bytes), packed, cuts)| {
            let cuts = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            Act::Message(text, bytes, packed, cuts)
        }),
        1 => prop::collection::vec(any::<u8>(), 0..126).prop_map(Act::Ping),
        1 => Just(Act::Pong),
    ]
}

fn write(acts: &[Act]) -> (Vec<u8>, Vec<Said>) {
    let (mut bytes, mut said) = (Vec::new(), Vec::new());
    for act in acts {
        match act {
            Act::Message(text, message, packed, cuts) => {
                let payload = if *packed { pack(message) } else { message.clone() };
                let mut cuts: Vec<_> = cuts.iter().map(|cut| (*cut).min(payload.len())).collect();
                cuts.sort_unstable();
                let mut first = if *text { 1 } else { 2 } | if *packed { 0x40 } else { 0 };
                let mut at = 0;
                for cut in cuts {
                    bytes.extend(masked(first, &payload[at..cut]));
                    (at, first) = (cut, 0);
                }
                bytes.extend(masked(first | 0x80, &payload[at..]));
                said.push(Said::Message(*text, message.clone()));
            }
            Act::Ping(payload) => {
                bytes.extend(masked(0x89, payload));
                said.push(Said::Ping(payload.clone()));
            }
            Act::Pong => {
                bytes.extend(masked(0x8a, b"any"));
                said.push(Said::Pong);
            }
        }
    }
    (bytes, said)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        acts in prop::collection::vec(act(), 1..6),
        piece in 1..5000usize,
        room in 1..40_000usize,
    ) {
        let (bytes, said) = write(&acts);
        prop_assert_eq!(&read_all(&bytes, true), &(said.clone(), None));
        let mut reader = Reader::new(1 << 20, true);
        prop_assert_eq!(read(&mut reader, bytes.chunks(piece), room), (said, None));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        super::super::fuzz::read(&bytes);
        super::super::fuzz::pass(&bytes);
    }

    #[test]
    fn a_frame_with_any_payload_unpacks_or_is_refused(payload in prop::collection::vec(any::<u8>(), 0..600), piece in 1..50usize) {
        let bytes = masked(0xc2, &payload);
        let whole = read_all(&bytes, true);
        let mut reader = Reader::new(1 << 20, true);
        prop_assert_eq!(read(&mut reader, bytes.chunks(piece), 1 << 20), whole);
    }
}
