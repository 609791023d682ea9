//! Connections over TLS, and what else arrives at a TLS listener.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    socket::Socket,
    stream::ClientStream,
    tls::{Greeting, facts, greet},
};

/// Both ends of a configuration for `example.org`.
fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A client's TLS connection and our side of it.
async fn connected() -> (TlsStream<UnixStream>, ClientStream) {
    let (server, client) = configs();
    let (near, far) = UnixStream::pair().unwrap();
    let name = ServerName::try_from("example.org").unwrap();
    let (client, greeting) = tokio::join!(
        TlsConnector::from(client).connect(name, near),
        greet(Socket::of_pair(far), server)
    );
    let Greeting::Tls(tls) = greeting.unwrap() else {
        panic!("no TLS");
    };
    (client.unwrap(), ClientStream::tls(tls))
}

#[tokio::test]
async fn the_facts_of_the_handshake_are_known() {
    let (_client, stream) = connected().await;
    let facts = facts(stream.tls_session().unwrap()).unwrap();
    assert_eq!(facts.version, "TLSv1.3");
    assert_eq!(facts.server_name.as_deref(), Some("example.org"));
    assert!(stream.plain_socket().is_none());
}

#[tokio::test]
async fn many_bytes_come_through_tls_whole_and_in_order() {
    let (mut client, mut stream) = connected().await;
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let sender: JoinHandle<io::Result<()>> = tokio::spawn({
        let body = body.clone();
        async move {
            stream.output.extend_from_slice(b"head");
            let mut at = 0;
            while at < body.len() {
                at += stream.write_once(&body[at..], b"").await?;
            }
            stream.output.extend_from_slice(b"tail");
            stream.flush_output().await?;
            stream.shut_down_writing().await
        }
    });
    let mut got = Vec::new();
    // Without the farewell of TLS this would be an error.
    client.read_to_end(&mut got).await.unwrap();
    sender.await.unwrap().unwrap();
    assert_eq!(got, [&b"head"[..], &body, b"tail"].concat());
}

#[tokio::test]
async fn what_was_read_ahead_is_read_first_and_small_writes_wait_for_the_flush() {
    let (mut client, mut stream) = connected().await;
    client.write_all(b"one two").await.unwrap();
    assert_eq!(stream.fill(3).await.unwrap(), 7);
    let mut four = [0; 4];
    stream.read_exact(&mut four).await.unwrap();
    assert_eq!((&four, &stream.input[..]), (b"one ", &b"two"[..]));
    stream.write_all(b"head").await.unwrap();
    stream.write_all(b"body").await.unwrap();
    assert_eq!(&stream.output[..], b"headbody");
    stream.flush().await.unwrap();
    let large = vec![b'x'; 100_000];
    let sender = tokio::spawn(async move {
        stream.write_all(b"again").await.unwrap();
        stream.write_all(&large).await.unwrap();
        stream.flush().await.unwrap();
    });
    let mut got = vec![0; 100_013];
    client.read_exact(&mut got).await.unwrap();
    assert!(got.starts_with(b"headbodyagainxx") && got.ends_with(b"xx"));
    sender.await.unwrap();
}

#[tokio::test]
async fn plain_http_on_a_tls_listener_is_told_apart_and_nothing_of_it_is_lost() {
    let (server, _) = configs();
    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let Greeting::Plain(socket) = greet(Socket::of_pair(far), Arc::clone(&server)).await.unwrap() else {
        panic!("not taken for plain HTTP");
    };
    let mut stream = ClientStream::plain(socket);
    stream.fill(100).await.unwrap();
    assert_eq!(&stream.input[..], b"GET / HTTP/1.1\r\n");

    let (near, far) = UnixStream::pair().unwrap();
    drop(near);
    assert!(matches!(
        greet(Socket::of_pair(far), Arc::clone(&server)).await.unwrap(),
        Greeting::Nothing
    ));

    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(&[0xff; 64]).await.unwrap();
    assert!(greet(Socket::of_pair(far), server).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_given_up_goes_on_where_it_stopped() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut stream = ClientStream::of_pair(far);
    let body: Vec<u8> = (0..2_000_000u32).map(|at| (at % 251) as u8).collect();
    stream.output.extend_from_slice(&body);
    let waited = tokio::time::timeout(Duration::from_secs(1), stream.flush_output()).await;
    assert!(waited.is_err() && stream.output.len() < body.len());
    let reader = tokio::spawn(async move {
        let mut near = near;
        let mut got = Vec::new();
        near.read_to_end(&mut got).await.map(|_| got)
    });
    stream.flush_output().await.unwrap();
    drop(stream);
    assert_eq!(reader.await.unwrap().unwrap(), body);
}
