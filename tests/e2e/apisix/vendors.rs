//! Vendors under their own names: peers that speak TLS and look at what they are sent as the vendor would.

use std::fs;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use rcgen::generate_simple_self_signed;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::NodeSetup;
use crate::harness::{Asked, Next, Upstream, answers, proving};

/// Peers in place of vendors, and what a node needs to find and to trust them.
pub struct Vendors {
    certificate: TempDir,
    tls: Arc<ServerConfig>,
    resolve: Vec<String>,
}

impl Vendors {
    /// None yet. All of `hosts` may have one.
    pub fn new(hosts: &[&str]) -> Vendors {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let proof = generate_simple_self_signed(hosts).expect("a certificate");
        let certificate = tempfile::tempdir().expect("a directory");
        fs::write(certificate.path().join("ca.pem"), proof.cert.pem()).expect("a file can be written");
        Vendors {
            certificate,
            tls: proving(&proof),
            resolve: Vec::new(),
        }
    }

    /// A peer in place of the vendor at `host`. `refusal` says what the vendor does not like about a request.
    pub fn peer(
        &mut self,
        host: &'static str,
        refusal: impl Fn(&Asked) -> Result<(), String> + Send + Sync + 'static,
        answer: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Upstream {
        self.moody(host, move |asked| match refusal(asked) {
            Ok(()) => (200, answer(asked)),
            Err(reason) => (418, json!({"refused": reason}).to_string()),
        })
    }

    /// A peer in place of the vendor at `host`, that answers with a status and a body.
    pub fn moody(
        &mut self,
        host: &'static str,
        answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
    ) -> Upstream {
        let upstream = Upstream::start_tls(self.tls.clone(), move |asked, peer| {
            let (status, body) = match named(asked, host) {
                Ok(()) => answer(asked),
                Err(reason) => (418, json!({"refused": reason}).to_string()),
            };
            peer.send(&answers::json_answer(status, &body));
            Next::Keep
        });
        self.resolve
            .push(format!("\"{host}:443\": \"{}\"", upstream.address()));
        upstream
    }

    /// Tells a node about the peers.
    pub fn known_to(&self, setup: NodeSetup) -> NodeSetup {
        setup
            .tollgate(&format!("resolve: {{{}}}", self.resolve.join(", ")))
            .tollgate(&format!(
                "ca_file: {}",
                self.certificate.path().join("ca.pem").display()
            ))
    }
}

/// A vendor serves only its own name.
fn named(asked: &Asked, host: &str) -> Result<(), String> {
    is("host", asked.header("host"), host)
}

/// Asserts one thing of a request.
pub fn is(what: &str, found: Option<&str>, wanted: &str) -> Result<(), String> {
    if found == Some(wanted) {
        Ok(())
    } else {
        Err(format!("{what} is {found:?} and not {wanted}"))
    }
}

/// Asserts method, path with query, a header, and that the body is JSON of a known length.
pub fn takes(asked: &Asked, path: &str, header: (&str, &str)) -> Result<(), String> {
    is("method", Some(&asked.method), "POST")?;
    is("path", Some(&asked.path), path)?;
    is(header.0, asked.header(header.0), header.1)?;
    is("content-type", asked.header("content-type"), "application/json")?;
    for name in ["apikey", "x-consumer-username", "x-credential-identifier"] {
        if asked.header(name).is_some() {
            return Err(format!("{name} is none of a vendor's business"));
        }
    }
    Ok(())
}

/// Asserts the whole body.
pub fn says(asked: &Asked, body: &Value) -> Result<(), String> {
    let found: Value = serde_json::from_slice(&asked.body).map_err(|error| error.to_string())?;
    if found == *body {
        Ok(())
    } else {
        Err(format!("the body is {found}"))
    }
}

/// Asserts that a request is signed for Amazon (Signature Version 4), as its documentation says it is checked.
pub fn is_signed(asked: &Asked, key_id: &str, secret: &str, region: &str) -> Result<(), String> {
    let authorization = asked.header("authorization").ok_or("no authorization")?;
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}="))?;
        rest.split([',', ' ']).next()
    };
    let date = asked.header("x-amz-date").ok_or("no x-amz-date")?;
    let day = date.get(..8).ok_or("no date")?;
    let scope = format!("{day}/{region}/bedrock/aws4_request");
    is("credential", field("Credential"), &format!("{key_id}/{scope}"))?;
    let signed = field("SignedHeaders").ok_or("no signed headers")?;
    let mut headers = String::new();
    for name in signed.split(';') {
        let value = asked.header(name).ok_or("a signed header is missing")?;
        headers.push_str(&format!("{name}:{value}\n"));
    }
    for name in ["host", "x-amz-date"] {
        if !signed.split(';').any(|signed| signed == name) {
            return Err(format!("{name} is not signed"));
        }
    }
    // What travels encoded is encoded once more where it is signed.
    let path = asked.path.replace('%', "%25");
    let canonical = format!(
        "{}\n{path}\n\n{headers}\n{signed}\n{}",
        asked.method,
        hex(digest(&SHA256, &asked.body).as_ref())
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(digest(&SHA256, canonical.as_bytes()).as_ref())
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, region, "bedrock", "aws4_request", &to_sign] {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&signing, part.as_bytes()).as_ref().to_vec();
    }
    is("signature", field("Signature"), &hex(&key))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
