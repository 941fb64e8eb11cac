//! Certificates that come through the Admin API, and TLS of the Admin API itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Process;

const ADMIN_KEY: &str = "a-key-for-tests";

/// Somebody who vouches for others.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let (params, key) = Authority::parts(name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// An authority that this one vouches for.
    fn below(&self, name: &str) -> Authority {
        let (params, key) = Authority::parts(name);
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn parts(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().expect("a key"))
    }

    /// A certificate and its key.
    fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_of(names, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    fn issue_of(&self, names: &[&str], kind: &'static SignatureAlgorithm) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_for(kind).expect("a key");
        let params = CertificateParams::new(names).expect("parameters");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        (pem, key.serialize_pem())
    }
}

/// A gateway with an Admin API and a listener for TLS, and one route that answers everything.
struct Site {
    process: Process,
    admin: String,
    port: String,
    directory: TempDir,
}

impl Site {
    fn start(ssl: &str) -> Site {
        Site::start_with(ssl, "", tempfile::tempdir().expect("a directory"))
    }

    fn start_with(ssl: &str, admin: &str, directory: TempDir) -> Site {
        let config = directory.path().join("config.yaml");
        let text = format!(
            "apisix:
  ssl: {{listen: [{{ip: 127.0.0.1, port: 0}}]{ssl}}}
deployment:
  admin:
    admin_key: [{{name: admin, key: {ADMIN_KEY}, role: admin}}]
    admin_listen: {{ip: 127.0.0.1, port: 0}}
{admin}
tollgate: {{data_dir: {}}}
",
            directory.path().join("data").display()
        );
        fs::write(&config, text).expect("a file can be written");
        let config = config.to_str().expect("text");
        let process = Process::start(&["run", "--listen", "127.0.0.1:0", "--config", config], &[]);
        let port_of = |line: &str| {
            let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
            assert!(!digits.is_empty(), "no port in `{line}`");
            digits
        };
        let behind = |text: &str| {
            let line = process.stderr.with(text);
            port_of(line.rsplit("127.0.0.1:").next().expect("a port"))
        };
        let port = behind("listening on   https://");
        let line = process.stderr.with("Admin API ");
        let scheme = if line.contains("https://") {
            "https"
        } else {
            "http"
        };
        let admin = format!("{scheme}://localhost:{}/apisix/admin", behind("Admin API "));
        Site {
            process,
            admin,
            port,
            directory,
        }
    }

    fn with_route(self) -> Site {
        self.put(
            "routes/1",
            &json!({"uri": "/*", "plugins": {"fault-injection": {"abort": {"http_status": 200, "body": "served"}}}}),
        );
        self
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        write(&self.directory, name, text)
    }

    fn admin_call(&self, more: &[&str], method: &str, path: &str, body: &Value) -> Called {
        let url = format!("{}/{path}", self.admin);
        let key = format!("x-api-key: {ADMIN_KEY}");
        let body = body.to_string();
        let mut arguments = vec!["-X", method, "-H", &key, "-d", &body, &url];
        arguments.extend(more);
        curl(&arguments)
    }

    #[track_caller]
    fn put(&self, path: &str, body: &Value) {
        let told = self.admin_call(&[], "PUT", path, body);
        assert!(told.status.starts_with("20"), "{told:?}");
    }

    /// Calls a host, trusting one authority.
    fn call(&self, host: &str, trusted: &str, more: &[&str]) -> Called {
        let authority = self.file("trusted.pem", trusted);
        let url = format!("https://{host}:{}/x", self.port);
        let resolve = format!("{host}:{}:127.0.0.1", self.port);
        let mut arguments = vec![
            "--resolve",
            &resolve,
            "--cacert",
            authority.to_str().expect("text"),
        ];
        arguments.extend(more);
        arguments.push(&url);
        curl(&arguments)
    }

    /// Arguments for curl to show a certificate.
    fn shown(&self, name: &str, (cert, key): &(String, String)) -> [String; 4] {
        let text = |path: PathBuf| path.to_str().expect("text").to_owned();
        let cert = text(self.file(&format!("{name}.pem"), cert));
        let key = text(self.file(&format!("{name}.key"), key));
        ["--cert".to_owned(), cert, "--key".to_owned(), key]
    }
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("a file can be written");
    path
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// What curl says.
#[derive(Debug)]
struct Called {
    body: String,
    /// `000` when there was no answer.
    status: String,
    version: String,
}

impl Called {
    #[track_caller]
    fn is_served(&self) {
        assert!(self.status == "200" && self.body == "served", "{self:?}");
    }

    #[track_caller]
    fn is_cut(&self) {
        assert_eq!(self.status, "000", "{self:?}");
    }
}

fn curl(arguments: &[&str]) -> Called {
    let output = Command::new("curl")
        .args(["-s", "-w", "\n%{http_code} %{http_version}", "--max-time", "20"])
        .args(arguments)
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, last) = text.rsplit_once('\n').expect("curl tells the status");
    let (status, version) = last.split_once(' ').expect("curl tells the version");
    Called {
        body: body.to_owned(),
        status: status.to_owned(),
        version: version.to_owned(),
    }
}

fn ssl(names: &[&str], (cert, key): &(String, String)) -> Value {
    json!({"snis": names, "cert": cert, "key": key})
}

fn with(mut ssl: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        ssl[name] = value.clone();
    }
    ssl
}

#[test]
fn a_certificate_is_shown_as_soon_as_the_admin_api_has_answered() {
    let site = Site::start("").with_route();
    let authority = Authority::new("one");
    site.call("api.example.com", &authority.pem, &[]).is_cut();
    let pair = authority.issue(&["api.example.com"]);
    site.put("ssls/1", &ssl(&["API.example.com"], &pair));
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let called = site.call("api.example.com", &authority.pem, &[flag]);
        called.is_served();
        assert_eq!(called.version, version);
    }
    // Nothing for other names, nor for clients that name none.
    site.call("other.example.com", &authority.pem, &["-k"]).is_cut();
    curl(&["-k", &format!("https://127.0.0.1:{}/x", site.port)]).is_cut();
    site.put(
        "ssls/1",
        &with(ssl(&["api.example.com"], &pair), &json!({"status": 0})),
    );
    site.call("api.example.com", &authority.pem, &[]).is_cut();
    site.process.stop();
}

#[test]
fn a_replaced_certificate_is_shown_in_the_next_handshake() {
    let site = Site::start("").with_route();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    site.put("ssls/1", &ssl(&["a.com"], &old.issue(&["a.com"])));
    site.call("a.com", &old.pem, &[]).is_served();
    for _ in 0..3 {
        site.put("ssls/1", &ssl(&["a.com"], &new.issue(&["a.com"])));
        site.call("a.com", &new.pem, &[]).is_served();
        site.call("a.com", &old.pem, &[]).is_cut();
        site.put("ssls/1", &ssl(&["a.com"], &old.issue(&["a.com"])));
        site.call("a.com", &old.pem, &[]).is_served();
    }
    let told = site.admin_call(&[], "DELETE", "ssls/1", &Value::Null);
    assert_eq!(told.status, "200", "{told:?}");
    site.call("a.com", &old.pem, &[]).is_cut();
    site.process.stop();
}

#[test]
fn a_wildcard_covers_one_label_and_gives_way_to_a_name() {
    let site = Site::start("").with_route();
    let (wild, exact) = (Authority::new("wild"), Authority::new("exact"));
    let names = ["*.example.com", "api.example.com", "a.b.example.com"];
    site.put("ssls/1", &ssl(&["*.example.com"], &wild.issue(&names)));
    site.call("api.example.com", &wild.pem, &[]).is_served();
    site.call("a.b.example.com", &wild.pem, &[]).is_cut();
    site.put(
        "ssls/2",
        &ssl(&["api.example.com"], &exact.issue(&["api.example.com"])),
    );
    site.call("api.example.com", &exact.pem, &[]).is_served();
    site.call("www.example.com", &wild.pem, &[]).is_served();
    site.process.stop();
}

#[test]
fn each_client_is_shown_the_kind_of_certificate_it_understands() {
    let site = Site::start("").with_route();
    let (ecdsa, rsa) = (Authority::new("ecdsa"), Authority::new("rsa"));
    let (cert, key) = rsa.issue_of(&["a.com"], &PKCS_RSA_SHA256);
    let both = with(
        ssl(&["a.com"], &ecdsa.issue(&["a.com"])),
        &json!({"certs": [cert], "keys": [key]}),
    );
    site.put("ssls/1", &both);
    let only = |cipher: &'static str| ["--tls-max", "1.2", "--ciphers", cipher];
    site.call("a.com", &rsa.pem, &only("ECDHE-RSA-AES128-GCM-SHA256"))
        .is_served();
    site.call("a.com", &ecdsa.pem, &only("ECDHE-ECDSA-AES128-GCM-SHA256"))
        .is_served();
    site.process.stop();
}

#[test]
fn versions_of_tls_are_limited_by_certificate_and_by_listener() {
    let authority = Authority::new("one");
    let site = Site::start(", ssl_protocols: TLSv1.3").with_route();
    site.put("ssls/1", &ssl(&["a.com"], &authority.issue(&["a.com"])));
    let both = json!({"ssl_protocols": ["TLSv1.1", "TLSv1.2"]});
    site.put(
        "ssls/2",
        &with(ssl(&["b.com"], &authority.issue(&["b.com"])), &both),
    );
    site.call("a.com", &authority.pem, &["--tls-max", "1.2"]).is_cut();
    site.call("a.com", &authority.pem, &["--tlsv1.3"]).is_served();
    site.call("b.com", &authority.pem, &["--tls-max", "1.2"])
        .is_served();
    site.call("b.com", &authority.pem, &["--tlsv1.3"]).is_cut();
    site.process.stop();
}

#[test]
fn clients_that_name_nobody_get_the_fallback() {
    let site = Site::start(", fallback_sni: fallback.com").with_route();
    let authority = Authority::new("one");
    site.put(
        "ssls/1",
        &ssl(&["fallback.com"], &authority.issue(&["fallback.com"])),
    );
    curl(&["-k", &format!("https://127.0.0.1:{}/x", site.port)]).is_served();
    site.call("other.com", &authority.pem, &["-k"]).is_cut();
    site.process.stop();
}

#[test]
fn a_client_certificate_is_demanded_where_an_authority_for_clients_is_set() {
    let site = Site::start("").with_route();
    let (servers, clients, strangers) = (
        Authority::new("servers"),
        Authority::new("clients"),
        Authority::new("strangers"),
    );
    let demand = json!({"client": {"ca": clients.pem}});
    site.put(
        "ssls/1",
        &with(ssl(&["closed.com"], &servers.issue(&["closed.com"])), &demand),
    );
    site.put("ssls/2", &ssl(&["open.com"], &servers.issue(&["open.com"])));
    let friend = site.shown("friend", &clients.issue(&["friend"]));
    let stranger = site.shown("stranger", &strangers.issue(&["stranger"]));
    site.call("closed.com", &servers.pem, &[]).is_cut();
    site.call("closed.com", &servers.pem, &texts(&stranger)).is_cut();
    site.call("closed.com", &servers.pem, &texts(&friend)).is_served();
    // A connection made for another name does not lead around the demand.
    site.call("open.com", &servers.pem, &[]).is_served();
    let around = site.call("open.com", &servers.pem, &["-H", "host: closed.com"]);
    assert_eq!(around.status, "400", "{around:?}");
    let around = site.call(
        "open.com",
        &servers.pem,
        &["--http1.1", "-H", "host: CLOSED.com.:443"],
    );
    assert_eq!(around.status, "400", "{around:?}");
    site.process.stop();
}

#[test]
fn some_paths_may_be_called_without_the_client_certificate() {
    let site = Site::start("").with_route();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let demand = json!({"client": {"ca": clients.pem, "skip_mtls_uri_regex": ["^/x$"]}});
    site.put(
        "ssls/1",
        &with(ssl(&["a.com"], &servers.issue(&["a.com"])), &demand),
    );
    site.call("a.com", &servers.pem, &[]).is_served();
    let elsewhere = format!("https://a.com:{}/y", site.port);
    let both = site.call("a.com", &servers.pem, &["-o", "/dev/null", &elsewhere]);
    assert!(both.body.contains("400"), "{both:?}");
    let friend = site.shown("friend", &clients.issue(&["friend"]));
    site.call("a.com", &servers.pem, &texts(&friend)).is_served();
    site.process.stop();
}

#[test]
fn the_depth_limits_how_far_a_client_is_from_the_authority() {
    let site = Site::start("").with_route();
    let (servers, root) = (Authority::new("servers"), Authority::new("root"));
    let middle = root.below("middle");
    let low = middle.below("low");
    let put = |depth: Option<u64>| {
        let mut client = json!({"ca": root.pem});
        if let Some(depth) = depth {
            client["depth"] = json!(depth);
        }
        site.put(
            "ssls/1",
            &with(
                ssl(&["a.com"], &servers.issue(&["a.com"])),
                &json!({"client": client}),
            ),
        );
    };
    let (cert, key) = middle.issue(&["near"]);
    let near = site.shown("near", &(format!("{cert}{}", middle.pem), key));
    let (cert, key) = low.issue(&["far"]);
    let far = site.shown("far", &(format!("{cert}{}{}", low.pem, middle.pem), key));
    put(None);
    site.call("a.com", &servers.pem, &texts(&near)).is_served();
    site.call("a.com", &servers.pem, &texts(&far)).is_cut();
    put(Some(2));
    site.call("a.com", &servers.pem, &texts(&far)).is_served();
    put(Some(0));
    site.call("a.com", &servers.pem, &texts(&near)).is_cut();
    site.process.stop();
}

#[test]
fn certificates_survive_a_restart() {
    let site = Site::start("").with_route();
    let authority = Authority::new("one");
    site.put("ssls/1", &ssl(&["a.com"], &authority.issue(&["a.com"])));
    site.process.stop();
    let again = Site::start_with("", "", site.directory);
    again.call("a.com", &authority.pem, &[]).is_served();
    again.process.stop();
}

#[test]
fn the_admin_api_speaks_tls_and_may_ask_for_certificates() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (cert, key) = servers.issue(&["localhost"]);
    for mutual in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let cert = write(&directory, "admin.pem", &cert);
        let key = write(&directory, "admin.key", &key);
        let authority = if mutual {
            write(&directory, "clients.pem", &clients.pem)
        } else {
            PathBuf::new()
        };
        let admin = format!(
            "    https_admin: true
    admin_api_mtls: {{admin_ssl_cert: {}, admin_ssl_cert_key: {}, admin_ssl_ca_cert: \"{}\"}}",
            cert.display(),
            key.display(),
            authority.display(),
        );
        let site = Site::start_with("", &admin, directory);
        assert!(site.admin.starts_with("https://"), "{}", site.admin);
        let trusted = site.file("trusted.pem", &servers.pem);
        let trusted = ["--cacert", trusted.to_str().expect("text")];
        let friend = site.shown("friend", &clients.issue(&["friend"]));
        let proved: Vec<&str> = trusted.into_iter().chain(texts(&friend)).collect();
        let list = |more: &[&str]| site.admin_call(more, "GET", "routes", &Value::Null).status;
        assert_eq!(list(&proved), "200");
        assert_eq!(list(&trusted), if mutual { "000" } else { "200" });
        // Plain HTTP gets nothing on that port.
        let plain = site.admin.replace("https://", "http://");
        assert_eq!(curl(&[&format!("{plain}/routes")]).status, "000");
        site.process.stop();
    }
}

#[test]
fn authorities_of_the_operator_vouch_for_upstreams() {
    let vendors = Authority::new("vendors");
    let vendor = Site::start("").with_route();
    vendor.put("ssls/1", &ssl(&["localhost"], &vendors.issue(&["localhost"])));
    for trusted in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = write(&directory, "vendors.pem", &vendors.pem);
        let more = if trusted {
            format!(", ssl_trusted_certificate: {}", file.display())
        } else {
            String::new()
        };
        let site = Site::start_with(&more, "", directory);
        let own = Authority::new("own");
        site.put("ssls/1", &ssl(&["a.com"], &own.issue(&["a.com"])));
        site.put(
            "routes/1",
            &json!({"uri": "/*", "upstream": {
                "scheme": "https", "pass_host": "node", "tls": {"verify": true},
                "nodes": {format!("localhost:{}", vendor.port): 1},
            }}),
        );
        let called = site.call("a.com", &own.pem, &[]);
        if trusted {
            called.is_served();
        } else {
            assert_eq!(called.status, "502", "{called:?}");
        }
        site.process.stop();
    }
    vendor.process.stop();
}
