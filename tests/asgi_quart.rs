//! Quart: Flask's asynchronous sibling.

use crate::harness::Site;

#[test]
fn hello_a_form_and_a_websocket() {
    let mut site = Site::of_asgi("quart", "quart_site", "site_app:app", "workers = 2", "");
    site.start();
    let mut client = site.connect();
    assert_eq!(client.get("/", &[]).text(), "hello\n");
    let fields = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = client.request("POST", "/form", &fields, b"name=ada&word=caf%C3%A9");
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (told["name"].as_str(), told["word"].as_str()),
        (Some("ada"), Some("café"))
    );
    let mut socket = site.websocket("/ws");
    for word in ["one", "two"] {
        socket.text(word);
        assert_eq!(socket.read_text(), format!("echo {word}"));
    }
    drop((client, socket));
    assert!(site.stop().success());
}
