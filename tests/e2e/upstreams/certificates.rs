//! Providers over TLS that cannot prove who they are, or speak no TLS that is still safe: they get neither key nor request,
//! the client is told that the provider could not be reached, and the log alone says why.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::json;

use super::Reply;
use crate::apisix::{Node, NodeSetup};
use crate::harness::{Dialect, Next, Upstream, answers, post};

/// Somebody who vouches for others.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

/// A key, and what vouches for it, the own certificate first.
struct Proof {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { params, key: key() }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn own(&self) -> rcgen::Certificate {
        self.params.self_signed(&self.key).expect("a certificate")
    }

    fn proves(&self, params: &CertificateParams) -> Proof {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer()).expect("a certificate");
        Proof {
            chain: vec![certificate.der().clone()],
            key,
        }
    }
}

impl Proof {
    fn of_itself(params: &CertificateParams) -> Proof {
        let key = key();
        let certificate = params.self_signed(&key).expect("a certificate");
        Proof {
            chain: vec![certificate.der().clone()],
            key,
        }
    }

    /// The settings of a server that shows it, and the names that its clients ask for.
    fn shown(self) -> (Arc<ServerConfig>, Receiver<Option<String>>) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let (tell, told) = channel();
        let shown = Shown {
            proof: Arc::new(CertifiedKey::new(self.chain, key)),
            tell: std::sync::Mutex::new(tell),
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        (Arc::new(config), told)
    }
}

/// Shows one certificate to everybody, and tells which name was asked for.
#[derive(Debug)]
struct Shown {
    proof: Arc<CertifiedKey>,
    tell: std::sync::Mutex<std::sync::mpsc::Sender<Option<String>>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_owned);
        // The test may have ended.
        let _ = self.tell.lock().expect("no test has failed").send(name);
        Some(self.proof.clone())
    }
}

/// A provider that proves itself so, and the names it was asked for.
fn proving(proof: Proof) -> (Upstream, Receiver<Option<String>>) {
    let (config, names) = proof.shown();
    let upstream = Upstream::start_tls(config, |asked, peer| {
        peer.send(&answers::good(asked, "served"));
        Next::Keep
    });
    (upstream, names)
}

/// Something that does with each connection what it likes.
fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let upstream = Upstream::at(listener.local_addr().expect("an address"));
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(socket));
        }
    });
    upstream
}

/// A server that answers the first message of a client with these bytes, and then waits for the client to leave.
fn saying(bytes: Vec<u8>) -> Upstream {
    raw(move |mut socket| {
        let mut hello = [0; 4096];
        let _ = socket.read(&mut hello);
        let _ = socket.write_all(&bytes);
        while socket.read(&mut hello).is_ok_and(|read| read > 0) {}
    })
}

/// The first message of a server that knows no version of TLS above this one (`0x0301` is 1.0, `0x0302` 1.1).
fn hello_of(version: u16) -> Vec<u8> {
    let [major, minor] = version.to_be_bytes();
    let mut hello = vec![2, 0, 0, 38, major, minor];
    hello.extend([7; 32]);
    // No session, ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0, 0xc0, 0x13, 0]);
    let length = u16::try_from(hello.len()).expect("short").to_be_bytes();
    [&[22, major, minor, length[0], length[1]], &hello[..]].concat()
}

/// A provider, the host that it is called by, and what the log says of it.
struct Case {
    name: &'static str,
    host: &'static str,
    upstream: Upstream,
    /// The words of the log; `None` if it is served.
    reason: Option<&'static str>,
    status: u16,
}

fn node(cases: &[Case], trusted: &Authority) -> Node {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    fs::write(&file, trusted.own().pem()).expect("a file can be written");
    let resolve: Vec<String> = cases
        .iter()
        .filter(|case| case.host.ends_with(".test"))
        .map(|case| {
            let address = case.upstream.address();
            format!("\"{}:{}\": \"{address}\"", case.host, address.port())
        })
        .collect();
    let node = NodeSetup::new()
        .tollgate(&format!("resolve: {{{}}}", resolve.join(", ")))
        .tollgate(&format!("ca_file: {}", file.display()))
        .start();
    for (number, case) in cases.iter().enumerate() {
        let route = json!({
            "uri": format!("/case-{number}"),
            "plugins": {"ai-proxy": {
                "provider": "openai-compatible",
                "auth": {"header": {"Authorization": "Bearer key-of-the-vendor"}},
                "options": {"model": "gpt-4"},
                "override": {"endpoint": format!("https://{}:{}/v1", case.host, case.upstream.address().port())},
                "timeout": if case.status == 504 { 300 } else { 10_000 },
            }},
        });
        node.put(&format!("/routes/{number}"), &route);
    }
    node
}

/// Calls each provider, and asserts what client, provider and log get to know.
#[track_caller]
fn are_as_expected(cases: &[Case], trusted: &Authority) {
    let node = node(cases, trusted);
    for (number, case) in cases.iter().enumerate() {
        let request = post(&format!("/case-{number}"), Dialect::OpenAi.request("m", false));
        let reply = Reply::to(node.calls, request);
        let name = case.name;
        assert_eq!(reply.status, case.status, "{name}: {}", reply.text());
        let Some(reason) = case.reason else {
            assert!(reply.text().contains("served"), "{name}: {}", reply.text());
            continue;
        };
        case.upstream.was_not_asked();
        let told = format!("{}{}", reply.head, reply.text()).to_ascii_lowercase();
        let port = format!(":{}", case.upstream.address().port());
        for secret in [
            "certificate",
            "expired",
            "handshake",
            "alert",
            case.host,
            "127.0.0.1",
            &port,
        ] {
            assert!(
                !told.contains(secret),
                "{name}: the client is told `{secret}`: {told}"
            );
        }
        let id = reply
            .head
            .lines()
            .find_map(|line| line.strip_prefix("x-tollgate-request-id: "));
        let line = node.process.stderr.with(id.expect("every answer has an id"));
        assert!(
            line.to_ascii_lowercase().contains(reason),
            "{name}: expected `{reason}` in the log: {line}"
        );
    }
    node.stop();
}

#[test]
fn a_certificate_that_proves_nothing_ends_the_call_and_the_log_says_why() {
    let trusted = Authority::new("trusted");
    let unknown = Authority::new("unknown");
    let host = "vendor.test";
    let good = params(&[host]);

    let mut expired = good.clone();
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let mut future = good.clone();
    (future.not_before, future.not_after) = (date_time_ymd(2101, 1, 1), date_time_ymd(2102, 1, 1));
    let mut for_clients = good.clone();
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let mut common_name = params(&[]);
    common_name.distinguished_name.push(DnType::CommonName, host);

    // A server whose certificate vouches for another one.
    let server = trusted.proves(&good);
    let below_server = {
        let issuer = Issuer::from_params(&good, &server.key);
        let key = key();
        let certificate = good.signed_by(&key, &issuer).expect("a certificate");
        Proof {
            chain: vec![certificate.der().clone(), server.chain[0].clone()],
            key,
        }
    };
    let mut with_its_authority = unknown.proves(&good);
    with_its_authority.chain.push(unknown.own().der().clone());
    // Another key than the one that the certificate is for.
    let stolen = Proof {
        chain: trusted.proves(&good).chain,
        key: key(),
    };
    let mut endless = trusted.proves(&good);
    endless.chain.extend(vec![unknown.own().der().clone(); 2000]);

    let refused = |name, host, proof: Proof, reason| Case {
        name,
        host,
        upstream: proving(proof).0,
        reason: Some(reason),
        status: 502,
    };
    are_as_expected(
        &[
            refused("expired", host, trusted.proves(&expired), "expired"),
            refused("not valid yet", host, trusted.proves(&future), "not valid yet"),
            refused(
                "of another name",
                "elsewhere.test",
                trusted.proves(&good),
                "not valid for name",
            ),
            refused(
                "of a name without its domain",
                host,
                trusted.proves(&params(&["vendor"])),
                "not valid for name",
            ),
            refused(
                "of any name of one label below",
                "a.b.vendor.test",
                trusted.proves(&params(&["*.vendor.test"])),
                "not valid for name",
            ),
            refused(
                "with the name where nobody looks any more",
                host,
                trusted.proves(&common_name),
                "not valid for name",
            ),
            refused("signed by itself", host, Proof::of_itself(&good), "unknownissuer"),
            refused(
                "of an authority that is not known",
                host,
                unknown.proves(&good),
                "unknownissuer",
            ),
            refused(
                "that brings its authority along",
                host,
                with_its_authority,
                "unknownissuer",
            ),
            refused("signed by a server", host, below_server, "certificate"),
            refused("for clients", host, trusted.proves(&for_clients), "certificate"),
            refused("for another key", host, stolen, "signature"),
            refused("with a chain of half a megabyte", host, endless, "tls"),
            refused(
                "of a name, asked by address",
                "127.0.0.1",
                trusted.proves(&params(&["localhost"])),
                "not valid for name",
            ),
            refused(
                "of another address",
                "127.0.0.1",
                trusted.proves(&params(&["127.0.0.2"])),
                "not valid for name",
            ),
            refused(
                "of an address written as a name",
                "127.0.0.1",
                {
                    let mut written = params(&[]);
                    let name = "127.0.0.1".try_into().expect("text");
                    written.subject_alt_names.push(rcgen::SanType::DnsName(name));
                    trusted.proves(&written)
                },
                "certificate",
            ),
        ],
        &trusted,
    );
}

#[test]
fn whoever_speaks_no_safe_tls_gets_no_key() {
    let trusted = Authority::new("trusted");
    let case = |name, upstream, reason, status| Case {
        name,
        host: "vendor.test",
        upstream,
        reason: Some(reason),
        status,
    };
    let half = hello_of(0x0303)[..20].to_vec();
    are_as_expected(
        &[
            case("TLS 1.0 only", saying(hello_of(0x0301)), "tls", 502),
            case("TLS 1.1 only", saying(hello_of(0x0302)), "tls", 502),
            case(
                "a refusal of all versions",
                saying(vec![21, 3, 1, 0, 2, 2, 70]),
                "alert",
                502,
            ),
            case(
                "a refusal of the handshake",
                saying(vec![21, 3, 3, 0, 2, 2, 40]),
                "alert",
                502,
            ),
            case(
                "HTTP in the clear",
                saying(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
                "tls",
                502,
            ),
            case("a closed connection", raw(drop), "tls", 502),
            case(
                "half a handshake and the end",
                raw(move |mut socket| {
                    let _ = socket.write_all(&half);
                }),
                "tls",
                502,
            ),
            case("nothing", saying(Vec::new()), "no connection to", 504),
            case(
                "half a handshake and nothing more",
                saying(hello_of(0x0303)[..20].to_vec()),
                "no connection to",
                504,
            ),
        ],
        &trusted,
    );
}

#[test]
fn a_certificate_is_good_for_each_of_its_names_and_addresses() {
    let trusted = Authority::new("trusted");
    let many: Vec<String> = (0..99).map(|number| format!("host-{number}.example")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push("vendor.test");
    let middle = Authority::new("in between");
    let below = {
        let mut proof = middle.proves(&params(&["below.test"]));
        let vouched = middle
            .params
            .signed_by(&middle.key, &trusted.issuer())
            .expect("a certificate");
        proof.chain.push(vouched.der().clone());
        proof
    };
    let mut asked_for = Vec::new();
    let mut served = |name, host, proof: Proof, sent: Option<&'static str>| {
        let (upstream, names) = proving(proof);
        asked_for.push((name, names, sent));
        Case {
            name,
            host,
            upstream,
            reason: None,
            status: 200,
        }
    };
    let cases = [
        served(
            "a hundred names",
            "vendor.test",
            trusted.proves(&params(&many)),
            Some("vendor.test"),
        ),
        served(
            "any name below",
            "eu.vendor.test",
            trusted.proves(&params(&["*.vendor.test"])),
            Some("eu.vendor.test"),
        ),
        served("an authority in between", "below.test", below, Some("below.test")),
        // An address is no name that could be asked for (RFC 6066).
        served(
            "an address",
            "127.0.0.1",
            trusted.proves(&params(&["127.0.0.1"])),
            None,
        ),
    ];
    are_as_expected(&cases, &trusted);
    for (name, names, sent) in asked_for {
        assert_eq!(names.recv().expect("a handshake").as_deref(), sent, "{name}");
    }
}

#[test]
fn an_address_of_version_6_is_proved_by_a_certificate_that_names_it() {
    let trusted = Authority::new("trusted");
    for (named, status) in [("::1", 200), ("127.0.0.1", 502)] {
        let (config, names) = trusted.proves(&params(&[named])).shown();
        let upstream = Upstream::start_tls_at(
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0)),
            config,
            |asked, peer| {
                peer.send(&answers::good(asked, "served"));
                Next::Keep
            },
        );
        let host = "[::1]";
        assert_ne!(upstream.address().ip(), Ipv4Addr::LOCALHOST);
        let case = Case {
            name: named,
            host,
            upstream,
            reason: (status == 502).then_some("not valid for name"),
            status,
        };
        are_as_expected(&[case], &trusted);
        assert_eq!(names.recv().expect("a handshake"), None);
    }
}
