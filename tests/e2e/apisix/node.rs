//! A gateway that runs one of APISIX's bootstrap files.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Connection, Finished, Names, PATIENCE, Process, Request, Response, SettableClock, post,
};

/// The key of the Admin API, unless a test has its own file.
pub const ADMIN_KEY: &str = "key-of-the-admin-api";

/// A node about to be started.
pub struct NodeSetup {
    config: String,
    tollgate: String,
    env: Vec<(&'static str, String)>,
    names: Option<Arc<Names>>,
}

/// A running node with a folder of its own.
pub struct Node {
    pub process: Process,
    /// Where calls go.
    pub calls: SocketAddr,
    admin: Option<SocketAddr>,
    directory: TempDir,
    setup: NodeSetup,
}

impl NodeSetup {
    /// A node with an Admin API and an embedded store.
    pub fn new() -> NodeSetup {
        NodeSetup::with_config(&format!(
            "deployment:\n  admin:\n    admin_key:\n      - {{name: admin, key: {ADMIN_KEY}, role: admin}}\n      \
             - {{name: viewer, key: key-of-a-viewer, role: viewer}}\n    \
             admin_listen: {{ip: 127.0.0.1, port: 0}}\n"
        ))
    }

    /// A node with this bootstrap file, to which a section `tollgate` is added.
    pub fn with_config(config: &str) -> NodeSetup {
        NodeSetup {
            config: config.to_owned(),
            tollgate: String::new(),
            env: Vec::new(),
            names: None,
        }
    }

    /// Adds to the bootstrap file.
    pub fn and(mut self, lines: &str) -> NodeSetup {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Adds to the section `tollgate`, written as in `data_dir: data`.
    pub fn tollgate(mut self, entry: &str) -> NodeSetup {
        self.tollgate.push_str(", ");
        self.tollgate.push_str(entry);
        self
    }

    /// A time of day that a test sets.
    pub fn clock(mut self, clock: &SettableClock) -> NodeSetup {
        self.env.extend(clock.env());
        self
    }

    /// Whom it asks for the addresses of names.
    pub fn names(mut self, names: &Arc<Names>) -> NodeSetup {
        self.names = Some(names.clone());
        self
    }

    /// APISIX to the letter.
    pub fn strict(self) -> NodeSetup {
        self.and("compat: {apisix: strict}")
    }

    /// Starts the node in a new folder.
    #[track_caller]
    pub fn start(self) -> Node {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("conf")).expect("a directory");
        self.start_with(directory)
    }

    /// Starts the node in a folder with a `conf` folder, in which there may be other files.
    #[track_caller]
    pub fn start_with(self, directory: TempDir) -> Node {
        let data = directory.path().join("data");
        let text = format!(
            "{}\ntollgate: {{data_dir: {}{}}}\n",
            self.config,
            data.display(),
            self.tollgate
        );
        fs::write(directory.path().join("conf/config.yaml"), text).expect("a file can be written");
        self.start_in(directory)
    }

    /// Starts the node in a folder that was one's before.
    #[track_caller]
    fn start_in(self, directory: TempDir) -> Node {
        let config = directory.path().join("conf/config.yaml");
        let config = config.to_str().expect("text");
        let env: Vec<_> = self
            .env
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let arguments = ["run", "--listen", "127.0.0.1:0", "--config", config];
        let process = match &self.names {
            None => Process::start(&arguments, &env),
            Some(names) => Process::start_with_names(names, &arguments, &env),
        };
        // The last line of what is told at start.
        process.stderr.with("  configuration  ");
        let told = process.stderr.so_far();
        let address = |line: &str| {
            let line = told.lines().find(|told| told.contains(line))?;
            let address = line.split("http://").nth(1)?.split('/').next()?;
            address.trim().parse().ok()
        };
        Node {
            calls: address("listening on").unwrap_or_else(|| panic!("no address in {told}")),
            admin: address("Admin API  "),
            process,
            directory,
            setup: self,
        }
    }
}

impl Node {
    /// A file of the node's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file of the folder, at once and as a whole.
    pub fn write(&self, name: &str, text: &str) {
        let next = self.file("next");
        fs::write(&next, text).expect("a file can be written");
        fs::rename(&next, self.file(name)).expect("a file can be renamed");
    }

    /// Where the Admin API is.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        self.admin
            .unwrap_or_else(|| panic!("no Admin API: {}", self.process.stderr.so_far()))
    }

    /// Whether there is an Admin API.
    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Asks the Admin API with its key.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let mut request =
            Request::new(method, &format!("/apisix/admin{path}")).header("x-api-key", ADMIN_KEY);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        self.ask_with(&request)
    }

    /// Asks the Admin API with a request as it is.
    #[track_caller]
    pub fn ask_with(&self, request: &Request) -> Response {
        Connection::open(self.admin()).send(request)
    }

    /// Puts an object, and asserts that it is taken.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Response {
        let response = self.ask("PUT", path, Some(body));
        assert!(
            matches!(response.status(), 200 | 201),
            "{path}: {} {}",
            response.status(),
            response.text()
        );
        response
    }

    /// Sends a call.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        Connection::open(self.calls).send(request)
    }

    /// Sends a chat call.
    #[track_caller]
    pub fn chat(&self, path: &str) -> Response {
        self.send(&post(path, CHAT))
    }

    /// Sends a request until its answer is as wanted, as long as patience lasts.
    #[track_caller]
    pub fn until(&self, request: &Request, wanted: impl Fn(&Response) -> bool) -> Response {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = self.send(request);
            if wanted(&response) {
                return response;
            }
            assert!(
                Instant::now() < deadline,
                "still {} {}\n{}",
                response.status(),
                response.text(),
                self.process.stderr.so_far()
            );
        }
    }

    /// Ends the process in order, and starts one in the same folder.
    #[track_caller]
    pub fn restart(self) -> Node {
        self.process.stop();
        self.setup.start_in(self.directory)
    }

    /// Ends the process at once (kill -9), and starts one in the same folder.
    #[track_caller]
    pub fn restart_after_kill(self) -> Node {
        self.process.signal("KILL");
        self.process.finish();
        self.setup.start_in(self.directory)
    }

    /// Ends the process in order.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.process.stop()
    }
}

/// The body of a chat call.
pub const CHAT: &str = r#"{"messages":[{"role":"user","content":"What is 1+1?"}]}"#;

/// A route that hands chat calls to a provider at an address of its own.
pub fn chat_route(uri: &str, endpoint: &str) -> Value {
    json!({
        "uri": uri,
        "plugins": {"ai-proxy": {
            "provider": "openai-compatible",
            "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
            "options": {"model": "gpt-4"},
            "override": {"endpoint": endpoint},
        }},
    })
}
