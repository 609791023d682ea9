//! `env_file`, beside python-dotenv.

use std::process::Command;

use crate::harness::{
    Site,
    python::{python, virtualenv},
};

const FILE: &str = r#"HOST=db
export PORT = 5432
URL="postgres://${USER_NAME:-web}@${HOST}:${PORT}/${MISSING}"
SINGLE='${HOST} $HOST'
OPEN=$HOST ${HOST ${HOST:x}
OUT=${OUTSIDE}/data # where it is
HOST=other
AGAIN=${HOST}${HOST}
"#;

#[test]
fn references_become_what_python_dotenv_makes_of_them() {
    let mut site = Site::new("env-file");
    site.environment("OUTSIDE", "/srv");
    site.write("app.env", FILE);
    site.write(
        "shown.py",
        "import json, os\n\ndef app(environ, start_response):\n    start_response('200 OK', [])\n    \
         return [json.dumps(dict(os.environ)).encode()]\n",
    );
    site.config(
        "[app.web]\nwsgi = \"shown:app\"\ndirectory = \"{dir}\"\npython = \"{python}\"\nworkers = 1\nenv_file = \"app.env\"\n\
         [[site]]\napp = \"web\"\n",
    );
    site.start();
    let ours: serde_json::Value = serde_json::from_slice(&site.get("/").body).unwrap();
    let told = Command::new(virtualenv(python(), &["python-dotenv"]).join("bin/python"))
        .args([
            "-c",
            "import json, os, dotenv; dotenv.load_dotenv('app.env', override=True); print(json.dumps(dict(os.environ)))",
        ])
        .current_dir(&site.directory)
        .env("OUTSIDE", "/srv")
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");
    let theirs: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    for name in ["HOST", "PORT", "URL", "SINGLE", "OPEN", "OUT", "AGAIN"] {
        assert!(
            ours[name].is_string() && ours[name] == theirs[name],
            "{name}: {} {}",
            ours[name],
            theirs[name]
        );
    }
    assert_eq!(ours["URL"], "postgres://web@db:5432/");
    assert!(site.stop().success());
}
