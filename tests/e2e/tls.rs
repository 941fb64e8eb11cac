//! TLS on both sides: clients to the gateway, the gateway to providers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::harness::{Dialect, Process, Setup, post, run};

/// A certificate for `localhost` in files, with nobody above it.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    _directory: TempDir,
}

impl Certificate {
    fn new(name: &str) -> Certificate {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        let (certificate, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        fs::write(&certificate, cert.pem()).expect("a file can be written");
        fs::write(&key, signing_key.serialize_pem()).expect("a file can be written");
        Certificate {
            certificate,
            key,
            _directory: directory,
        }
    }
}

/// A gateway that serves simulated models over TLS; with its base address.
struct Secure {
    process: Process,
    base: String,
    _config: TempDir,
}

impl Secure {
    fn start(certificate: &Certificate) -> Secure {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("tollgate.yaml");
        let text = format!(
            "models:\n  m: {{provider: simulated}}\nauth: none\nserver:\n  tls: {{cert_file: {}, key_file: {}}}\n",
            certificate.certificate.display(),
            certificate.key.display(),
        );
        fs::write(&config, text).expect("a file can be written");
        let config_path = config.to_str().expect("text");
        let process = Process::start(&["run", "--listen", "127.0.0.1:0", "--config", config_path], &[]);
        let line = process.stderr.with("listening on");
        let port = line.rsplit(':').next().expect("a port").trim().to_owned();
        assert!(line.contains("https://"), "{line}");
        Secure {
            process,
            base: format!("https://localhost:{port}"),
            _config: directory,
        }
    }
}

fn behind(secure: &Secure, tls: &str) -> Setup {
    Setup::new(format!(
        "models:\n  m: {{provider: far}}\nproviders:\n  far: {{kind: openai-compatible, endpoint: \"{}/v1\"{tls}}}\nauth: none\n",
        secure.base,
    ))
}

#[test]
fn a_provider_is_reached_over_tls_that_the_given_authority_vouches_for() {
    let certificate = Certificate::new("localhost");
    let secure = Secure::start(&certificate);
    let gateway = behind(
        &secure,
        &format!(", tls: {{ca_file: {}}}", certificate.certificate.display()),
    )
    .start();
    for stream in [false, true] {
        let response = gateway.send(&post(
            Dialect::OpenAi.path(),
            Dialect::OpenAi.request("m", stream),
        ));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert!(
            response.text().contains("simulated provider") || response.text().contains("Hello"),
            "{}",
            response.text()
        );
    }
    gateway.stop();
    secure.process.stop();
}

#[test]
fn a_provider_that_nobody_vouches_for_is_not_spoken_to_and_the_caller_learns_no_address() {
    let (shown, trusted, other_name) = (
        Certificate::new("localhost"),
        Certificate::new("localhost"),
        Certificate::new("elsewhere.example"),
    );
    for (shown, trusted) in [(&shown, &trusted), (&other_name, &other_name)] {
        let secure = Secure::start(shown);
        let gateway = behind(
            &secure,
            &format!(", tls: {{ca_file: {}}}", trusted.certificate.display()),
        )
        .start();
        let response = gateway.send(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)));
        assert_eq!(response.status(), 502, "{}", response.text());
        assert_eq!(response.header("x-tollgate-attempts"), Some("far=tls_error"));
        assert!(
            !response.text().contains("localhost") && !response.text().contains("127.0.0.1"),
            "{}",
            response.text()
        );
        assert!(
            gateway.stop().stderr.contains("certificate"),
            "the log tells the operator why"
        );
        secure.process.stop();
    }
}

#[test]
fn verification_can_be_switched_off_for_one_provider() {
    let secure = Secure::start(&Certificate::new("elsewhere.example"));
    let gateway = behind(&secure, ", tls: {verify: false}").start();
    let response = gateway.send(&post(Dialect::OpenAi.path(), Dialect::OpenAi.request("m", false)));
    assert_eq!(response.status(), 200, "{}", response.text());
    gateway.stop();
    secure.process.stop();
}

#[test]
fn clients_may_speak_http_1_and_http_2() {
    let certificate = Certificate::new("localhost");
    let secure = Secure::start(&certificate);
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let output = Command::new("curl")
            .args([
                "-s",
                flag,
                "--cacert",
                certificate.certificate.to_str().expect("text"),
            ])
            .args([
                "-w",
                "\n%{http_code} %{http_version}",
                "-H",
                "content-type: application/json",
            ])
            .args([
                "-d",
                &Dialect::OpenAi.request("m", true),
                &format!("{}/v1/chat/completions", secure.base),
            ])
            .output()
            .expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("data: [DONE]"), "{text}");
        assert!(text.ends_with(&format!("200 {version}")), "{text}");
    }
    secure.process.stop();
}

#[test]
fn a_certificate_file_that_cannot_be_used_is_told_at_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("tollgate.yaml");
    let text = "models: {m: {provider: simulated}}\nauth: none\nserver: {tls: {cert_file: /nowhere.pem, key_file: /nowhere.key}}\n";
    fs::write(&config, text).expect("a file can be written");
    let finished = run(
        &[
            "run",
            "--listen",
            "127.0.0.1:0",
            "--config",
            config.to_str().expect("text"),
        ],
        &[],
    );
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains("server.tls") && finished.stderr.contains("/nowhere.pem"),
        "{}",
        finished.stderr
    );
}

#[test]
fn try_trusts_the_authority_it_is_given() {
    let certificate = Certificate::new("localhost");
    let secure = Secure::start(&certificate);
    let ca = certificate.certificate.to_str().expect("text");
    let good = run(
        &[
            "try",
            "--url",
            &secure.base,
            "--ca-file",
            ca,
            "--model",
            "m",
            "Hello",
        ],
        &[],
    );
    assert!(
        good.status.success() && good.stdout.contains("Hello!"),
        "{good:?}"
    );
    let bad = run(&["try", "--url", &secure.base, "--model", "m", "Hello"], &[]);
    assert!(
        !bad.status.success() && bad.stderr.contains("certificate"),
        "{bad:?}"
    );
    secure.process.stop();
}

#[test]
fn a_client_that_does_not_finish_its_handshake_is_left_and_counted() {
    let certificate = Certificate::new("localhost");
    let config = format!(
        "models: {{m: {{provider: simulated}}}}\nauth: none\nmetrics: {{listen: \"127.0.0.1:0\"}}\nserver:\n  \
         handshake_timeout: 300ms\n  tls: {{cert_file: {}, key_file: {}}}\n",
        certificate.certificate.display(),
        certificate.key.display(),
    );
    let gateway = Setup::as_it_is(config).start();
    let timeout = "tollgate_limits_reached_total{limit=\"handshake_timeout\"}";
    // Nothing, and the beginning of a first message.
    for said in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut connection = gateway.connect();
        connection.write(said);
        assert!(connection.is_closed());
    }
    gateway.counts(timeout, 2);
    let mut connection = gateway.connect();
    connection.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    connection.until_closed();
    gateway.counts("tollgate_connections_broken_total{reason=\"tls_handshake\"}", 1);
    gateway.counts(timeout, 2);
}
