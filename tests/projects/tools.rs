//! The Python SDK of the Model Context Protocol with its own client: events as the answer to a POST, and the
//! older pair of paths, where a stream stays open beside the POSTs.

use serde_json::{Value, json};

use super::{client, site};

const CONFIG: &str = r#"
    [app.web]
    asgi = "main:app"
    directory = "{apps}/tools_site"
    venv = "{venv}"
    workers = 1

    [app.old]
    asgi = "main:old"
    directory = "{apps}/tools_site"
    venv = "{venv}"
    workers = 1

    [[site]]
    https = "off"
    app = "web"

    [[site.route]]
    path = "/old"
    app = "old"
    mount = "/old"
"#;

#[test]
fn tools_are_listed_and_called_and_tell_how_far_they_are() {
    let mut site = site("tools", CONFIG);
    let plain = format!("http://localhost:{}", site.port);
    let secure = format!("https://localhost:{}", site.tls_port);
    for arguments in [
        &[&format!("{plain}/mcp")[..]][..],
        &[&format!("{secure}/mcp")],
        &[&format!("{plain}/old/sse"), "old"],
        &[&format!("{secure}/old/sse"), "old"],
    ] {
        let told: Value = serde_json::from_str(&client(&site, "tools_site", "client.py", arguments)).unwrap();
        assert_eq!(
            told,
            json!({
                "tools": ["add", "count", "size"],
                "answers": ["42", "counted", "200000"],
                "progress": [1.0, 2.0, 3.0, 4.0, 5.0],
            }),
            "{arguments:?}"
        );
    }
    assert!(site.stop().success());
}
