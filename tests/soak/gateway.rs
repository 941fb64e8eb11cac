//! The real binary, with its access log.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// A running gateway.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    directory: TempDir,
}

impl Gateway {
    /// Starts it before a vendor.
    pub fn start(vendor: SocketAddr) -> Gateway {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("access.log");
        let config = format!(
            r#"
server: {{access_log: {{path: "{log}", format: json}}}}
consumers: {{soak: {{key: the-right-key, models: ["by-*"]}}}}
providers:
  chats: {{kind: openai, endpoint: "http://{vendor}/v1", key: k, dialects: [openai_chat]}}
  messages: {{kind: anthropic, endpoint: "http://{vendor}/v1", key: k}}
models:
  by-chat: {{provider: chats, model: soak-chat, fallback: [by-messages]}}
  by-messages: {{provider: messages, model: soak-messages, fallback: [by-chat]}}
prices:
  providers:
    openai: {{models: {{soak-chat: {{input: 1.25, output: 10, cache_read: 0.125, reasoning: 12}}}}}}
    anthropic: {{models: {{soak-messages: {{input: 3, output: 15, cache_read: 0.3, cache_write: 3.75}}}}}}
"#,
            log = log.display(),
        );
        let file = directory.path().join("tollgate.yaml");
        fs::write(&file, config).expect("a file can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .env_remove("TOLLGATE_CONFIG")
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .args(["run", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(
                stderr.read_line(&mut line).is_ok_and(|count| count > 0),
                "the gateway ended: {said}"
            );
            said.push_str(&line);
            if line.contains("listening on") {
                let address = line.rsplit("http://").next().unwrap_or_default();
                break address.trim().parse().expect("an address");
            }
        };
        // What else it says is of no interest, but a full pipe must not stop it.
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
        });
        Gateway {
            child,
            address,
            directory,
        }
    }

    /// Lets it end as an operator does, and gives the lines of its access log.
    pub fn end(mut self) -> Vec<Value> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        let log = fs::read_to_string(self.directory.path().join("access.log")).expect("an access log");
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended already, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
