//! Servers that are played frame by frame: those that leave, break the rules, flood, or fall silent.

use super::*;

/// Frames that a server answers the stream of a request with.
type Frames = fn(u32) -> Vec<u8>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200`, by the static table.
const OK: &[u8] = &[0x88];

fn ok(stream: u32) -> Vec<u8> {
    frame(1, END_HEADERS | END_STREAM, stream, OK)
}

/// A house and a server that answers the n-th head of all with the n-th of `answers`, again and again where
/// nothing but these is sent; tells each head.
async fn raw(keys: &str, answers: &'static [Frames]) -> (House, UnboundedReceiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = house(listener.local_addr().unwrap(), keys);
    let (told, heard) = unbounded_channel();
    let next = Arc::new(Mutex::new(answers.iter()));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(speak(stream, told.clone(), Arc::clone(&next)));
        }
    });
    (house, heard)
}

async fn speak(
    stream: TcpStream,
    told: UnboundedSender<u32>,
    answers: Arc<Mutex<std::slice::Iter<'static, Frames>>>,
) {
    let (mut stream, mut writer) = stream.into_split();
    let (write, mut written) = unbounded_channel::<Vec<u8>>();
    // It reads while it writes: what floods does not stop for what is answered.
    tokio::spawn(async move {
        while let Some(bytes) = written.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    write.send(frame(SETTINGS, 0, 0, &[])).unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        if head[3] == SETTINGS && head[4] == 0 {
            let _ = write.send(frame(SETTINGS, 1, 0, &[]));
        }
        if head[3] == 1 {
            told.send(id).unwrap();
            let answer = answers.lock().unwrap().next();
            let Some(answer) = answer else { continue };
            let _ = write.send(answer(id));
        }
    }
}

fn leaves(last_stream: u32, reason: u8) -> Vec<u8> {
    let mut payload = last_stream.to_be_bytes().to_vec();
    payload.extend_from_slice(&[0, 0, 0, reason]);
    frame(GOAWAY, 0, 0, &payload)
}

#[tokio::test]
async fn what_a_server_leaves_behind_goes_to_its_next_connection() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
    // Nothing processed; and the same with an error; then all; then an answer behind the farewell.
    let answers: &[Frames] = &[
        |_| leaves(0, 0),
        ok,
        |_| leaves(1, 11),
        ok,
        |id| [leaves(id, 0), ok(id)].concat(),
        ok,
    ];
    let (house, mut heard) = raw("", answers).await;
    let mut client = house.connect().await;
    for _ in 0..4 {
        client.send(post).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(heard.recv().await.unwrap());
    }
    assert_eq!(streams, [1, 1, 3, 1, 3, 1]);
}

#[tokio::test]
async fn a_server_that_breaks_the_rules_is_not_believed_and_the_next_request_goes_well() {
    refused(&[
        // Connection-specific fields, upper case, no status, a status that is none.
        |id| frame(1, 5, id, b"\x88\x00\x0aconnection\x05close"),
        |id| frame(1, 5, id, b"\x88\x00\x01X\x01y"),
        |id| frame(1, 5, id, b"\x00\x01x\x01y"),
        |id| frame(1, 5, id, b"\x08\x03abc"),
        // Two lengths, and one that is none.
        |id| frame(1, 5, id, b"\x88\x0f\x0d\x010\x0f\x0d\x011"),
        |id| frame(1, 5, id, b"\x88\x0f\x0d\x02+0"),
        // A window that overflows; a frame larger than we take; a push; a broken compression.
        |_| frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        |id| frame(0, 0, id, &[b'x'; 100_000]),
        |id| frame(5, 4, id, &[0, 0, 0, 2, 0x82, 0x87, 0x84]),
        |id| frame(1, 5, id, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        // Data before the head.
        |id| frame(0, 1, id, b"abc"),
    ])
    .await;
}

#[tokio::test]
async fn a_server_that_floods_loses_its_connection_and_the_next_request_goes_well() {
    refused(&[
        // A head without end.
        |id| {
            let mut head = frame(1, 0, id, OK);
            for _ in 0..20_000 {
                head.extend_from_slice(&frame(9, 0, id, b"\x00\x01x\x01y"));
            }
            head
        },
        // A head larger than we take.
        |id| {
            let field = [&b"\x00\x01x\x7f\x81\x7d"[..], &[b'y'; 16_000 + 128]].concat();
            let mut head = frame(1, 0, id, OK);
            for _ in 0..40 {
                head.extend_from_slice(&frame(9, 0, id, &field[..16_134]));
            }
            head.extend_from_slice(&frame(9, 4, id, b""));
            head
        },
        // Frames of no use.
        |_| frame(PING, 0, 0, &[0; 8]).repeat(1_000_000),
        |_| frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x40, 0]).repeat(1_000_000),
        |_| frame(77, 0, 0, &[0; 10_000]).repeat(1_500),
        |id| {
            [frame(1, 4, id, b"\x48\x03103"), Vec::new()]
                .concat()
                .repeat(100_000)
        },
    ])
    .await;
}

/// Each costs the server its connection, or the stream.
async fn refused(bad: &'static [Frames]) {
    for (number, bad) in bad.iter().enumerate() {
        // Each answer is static for its server.
        let answers: &'static [Frames] = Box::leak(Box::new([*bad, ok as Frames]));
        let (house, _heard) = raw("read_timeout = \"15s\"", answers).await;
        let mut client = house.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
            .await;
        // Interim answers may come before.
        let refused = async {
            loop {
                let (head, _) = client.answer().await;
                if !head.starts_with("HTTP/1.1 1") {
                    return head;
                }
            }
        };
        let head = tokio::time::timeout(PATIENCE, refused)
            .await
            .expect("an answer in time");
        assert!(head.starts_with("HTTP/1.1 502"), "{number}: {head}");
        client.send(GET).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{number}: {head}");
    }
}

/// Posts twice, with more than a second between.
async fn after_a_silence(house: &House) {
    let mut client = house.connect().await;
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
            .await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
}

#[tokio::test]
async fn a_server_that_was_silent_is_asked_whether_it_is_there() {
    let (house, connections) = behind("", usual, echo).await;
    after_a_silence(&house).await;
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_gives_no_sign_of_life_gets_no_request_on_that_connection() {
    // It answers heads and no pings.
    let (house, mut heard) = raw("", &[ok, ok]).await;
    after_a_silence(&house).await;
    assert_eq!((heard.recv().await, heard.recv().await), (Some(1), Some(1)));
}
