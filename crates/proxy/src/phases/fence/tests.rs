//! What pingora sees of a client.

use tokio::net::UnixStream;

use super::*;

fn limits() -> Limits {
    Limits {
        connections_max: 1,
        target_bytes_max: 1024,
        head_bytes_max: 1024,
        headers_max: 10,
        head_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(1),
        body_timeout: Duration::from_secs(5),
        body_rate_min: 0,
        requests_max: 1,
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_a_fault_in_every_write() {
    let (_client, server) = UnixStream::pair().unwrap();
    let fault = Fault::default();
    let stream = Box::new(ClientStream::of_pair(server));
    let mut fence = Fence::new(stream, &limits(), Arc::clone(&fault));
    let begun = Instant::now();
    // The client's socket fills up with the body; what follows it waits for a flush that never ends.
    let filling = async {
        loop {
            fence.write_all(&[0; 8 << 10]).await?;
            fence.flush().await?;
        }
    };
    let filled: Result<io::Result<()>, _> = tokio::time::timeout(Duration::from_secs(60), filling).await;
    let error = filled.expect("a deadline").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(fault.get(), Some(&ClientError::TooSlow));
    // Nor does the farewell wait for it once more.
    let farewell = Shutdown::shutdown(&mut fence);
    tokio::time::timeout(Duration::from_secs(60), farewell)
        .await
        .expect("a deadline");
    assert_eq!(begun.elapsed().as_secs(), 5);
}
