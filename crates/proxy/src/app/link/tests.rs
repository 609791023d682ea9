//! Frames of all sizes through a socket.

use wire::frame::{self, END, FileRange, PAYLOAD_MAX};

use super::{
    inbound::{LARGE, READ_BYTES},
    *,
};
use crate::app::app_file::Held;

#[tokio::test]
async fn frames_of_all_sizes_arrive_whole_and_in_order() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("pair");
    let [ours, theirs] = [ours, theirs].map(|end| UnixSocket::new(end.into()).expect("watched"));
    let sizes = [
        3,
        LARGE,
        LARGE + 1,
        0,
        READ_BYTES,
        1 << 20,
        7,
        PAYLOAD_MAX,
        LARGE - 1,
    ];
    let mut bytes = Vec::new();
    for (stream, size) in (0u32..).zip(sizes) {
        let flags = if stream % 2 == 0 { END } else { 0 };
        let payload = vec![stream as u8; size];
        frame::put(&mut bytes, stream, Kind::Data, flags, &payload);
    }
    let sending = tokio::spawn(async move {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(50_000)];
            match send(&theirs, piece, None) {
                Ok(sent) => rest = &rest[sent..],
                Err(_) => theirs.room().await.expect("room"),
            }
        }
        let file = Arc::new(tempfile::tempfile().expect("a file"));
        let mut last = Vec::new();
        let range = FileRange { offset: 1, len: 2 };
        frame::put(&mut last, 99, Kind::File, END, &range.encode());
        theirs.room().await.expect("room");
        assert_eq!(send(&theirs, &last, Some(&file)).expect("send"), last.len());
        theirs
    });
    let (mut inbound, mut arrivals) = (
        Inbound::new(
            Trays::new(Returns::new(&Arc::default())),
            Files::new(&Held::new(1)),
        ),
        Vec::new(),
    );
    while arrivals.len() < sizes.len() + 1 {
        ours.readable().await.expect("readable");
        match inbound.receive(&ours) {
            Ok(_) => inbound.split(&mut arrivals).expect("well-formed"),
            Err(LinkError::Os(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let last = arrivals.pop().expect("a file");
    assert!(matches!(last.event, Event::File { range, .. } if range.len == 2));
    for (arrival, (stream, size)) in arrivals.iter().zip((0u32..).zip(sizes)) {
        let Event::Data { bytes, end } = &arrival.event else {
            panic!("{arrival:?}");
        };
        assert_eq!(
            (arrival.stream, bytes.len(), *end),
            (stream, size, stream % 2 == 0)
        );
        assert!(bytes.iter().all(|byte| *byte == stream as u8), "{stream}");
    }
    drop(sending.await.expect("sent"));
    ours.readable().await.expect("readable");
    assert!(matches!(inbound.receive(&ours), Err(LinkError::Closed)));
}

#[test]
fn frames_with_and_without_a_descriptor_are_held_up_apart_and_each_only_until_one_passes() {
    let file = Arc::new(tempfile::tempfile().expect("a file"));
    for (held_up, other) in [(Some(&file), None), (None, Some(&file))] {
        let (start, later) = (Instant::now(), Instant::now() + 2 * UNDELIVERED_AFTER);
        let mut congestions = Congestions::default();
        assert!(congestions.of(held_up).refused(start).first);
        congestions.of(other).passed();
        assert!(congestions.of(held_up).refused(later).lasted >= UNDELIVERED_AFTER);
        congestions.of(held_up).passed();
        // The next one begins anew, whoever it is: it is told, and no request is given up for it.
        for file in [held_up, other] {
            let refused = congestions.of(file).refused(later);
            assert_eq!((refused.first, refused.lasted), (true, Duration::ZERO));
        }
    }
}
