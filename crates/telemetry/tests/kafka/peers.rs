//! Against brokers that want sign-in and TLS, misbehave or lie.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto};
use tollgate_resources::Secret;
use tollgate_telemetry::delivery::{SendError, Sent, Sink};
use tollgate_telemetry::kafka::{Acks, Mechanism, Sasl, Sender, Settings};

use super::broker::{Cheat, Login, Mischief, Nature, TestBroker};
use super::harness::{Telemetry, record, settings, until, until_sent};
use super::kafka::kcat;

const MECHANISMS: [Mechanism; 3] = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];

const USER: &str = "log=ger,1";
const PASSWORD: &str = "p,ä=ss word";

fn login(mechanism: Mechanism) -> Login {
    Login {
        mechanism,
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        cheat: None,
        iterations: 4096,
        is_strict: true,
    }
}

fn sasl(mechanism: Mechanism, password: &str) -> Sasl {
    Sasl {
        mechanism,
        user: USER.to_owned(),
        password: Arc::new(Secret::from(password.to_owned())),
    }
}

fn plain() -> TestBroker {
    TestBroker::start(Nature::default())
}

/// What becomes of one record.
fn send(settings: Settings) -> Result<Sent, SendError> {
    let telemetry = Telemetry::start();
    let mut sender = Sender::new(settings, &telemetry.metrics);
    telemetry.hub.runtime().block_on(sender.send(&[record("value")]))
}

/// The text of the error when a record is sent.
fn error(settings: Settings) -> String {
    let error = send(settings).expect_err("it is refused");
    assert!(error.may_retry, "it may be mended: {error}");
    error.to_string()
}

/// A certificate of its own authority.
struct Certificate {
    pem: String,
    acceptor: TlsAcceptor,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Certificate {
            pem,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    fn trusted(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        trusting(roots)
    }
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn every_mechanism_signs_in_over_tls_where_another_client_signs_in_too() {
    let certificate = Certificate::new();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &certificate.pem).unwrap();
    for mechanism in MECHANISMS {
        let broker = TestBroker::start(Nature {
            tls: Some(certificate.acceptor.clone()),
            login: Some(Login {
                is_strict: false,
                ..login(mechanism)
            }),
            ..Nature::default()
        });
        let options = [
            "security.protocol=SASL_SSL".to_owned(),
            format!("ssl.ca.location={}", authority.display()),
            format!("sasl.mechanism={}", mechanism.as_str()),
            format!("sasl.username={USER}"),
            format!("sasl.password={PASSWORD}"),
        ];
        let address = format!("localhost:{}", broker.port);
        let mut arguments = vec!["-P", "-b", &address, "-t", "logs"];
        for option in &options {
            arguments.extend(["-X", option]);
        }
        kcat(&arguments, "theirs\n");
        let settings = Settings {
            tls: Some(certificate.trusted()),
            ..settings(&broker.address(), Some(&sasl(mechanism, PASSWORD)), "logs")
        };
        assert_eq!(send(settings), Ok(Sent::All), "{mechanism:?}");
        assert_eq!(broker.values(), ["theirs", "value"], "{mechanism:?}");
        assert!(broker.clients().contains(&"tollgate".to_owned()));
    }
}

#[test]
fn the_exchange_is_that_of_the_rfc_to_the_letter() {
    for mechanism in MECHANISMS {
        let broker = TestBroker::start(Nature {
            login: Some(login(mechanism)),
            ..Nature::default()
        });
        let settings = settings(&broker.address(), Some(&sasl(mechanism, PASSWORD)), "logs");
        assert_eq!(send(settings), Ok(Sent::All), "{mechanism:?}");
        assert_eq!(broker.values(), ["value"], "{mechanism:?}");
    }
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    for mechanism in MECHANISMS {
        let broker = TestBroker::start(Nature {
            login: Some(login(mechanism)),
            ..Nature::default()
        });
        let text = error(settings(
            &broker.address(),
            Some(&sasl(mechanism, "hunter2")),
            "logs",
        ));
        for part in [
            &format!("localhost:{}", broker.port),
            USER,
            mechanism.as_str(),
            "SASL_AUTHENTICATION_FAILED (Authentication failed",
            "correct user and password",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(broker.values(), Vec::<String>::new());
    }
}

#[test]
fn a_mechanism_that_is_not_switched_on_is_told_with_those_that_are() {
    let broker = TestBroker::start(Nature {
        login: Some(login(Mechanism::ScramSha512)),
        ..Nature::default()
    });
    let text = error(settings(
        &broker.address(),
        Some(&sasl(Mechanism::Plain, PASSWORD)),
        "logs",
    ));
    assert!(
        text.contains("has not switched it on, but: SCRAM-SHA-512"),
        "{text}"
    );
}

#[test]
fn a_broker_that_does_not_know_the_password_gets_no_records() {
    for (cheat, iterations, told) in [
        (Some(Cheat::Nonce), 4096, "its nonce does not begin with ours"),
        (Some(Cheat::Signature), 4096, "its signature is wrong"),
        (Some(Cheat::NoSignature), 4096, "there is no signature"),
        (None, 1, "the broker asks for 1 iterations"),
        (None, 131_073, "the broker asks for 131073 iterations"),
    ] {
        for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha512] {
            let broker = TestBroker::start(Nature {
                login: Some(Login {
                    cheat,
                    iterations,
                    ..login(mechanism)
                }),
                ..Nature::default()
            });
            let text = error(settings(
                &broker.address(),
                Some(&sasl(mechanism, PASSWORD)),
                "logs",
            ));
            assert!(text.contains(told), "{text}");
            assert_eq!(broker.values(), Vec::<String>::new(), "{cheat:?}");
        }
    }
}

#[test]
fn a_broker_that_wants_sign_in_says_nothing_and_we_say_what_to_do() {
    let broker = TestBroker::start(Nature {
        login: Some(login(Mechanism::Plain)),
        ..Nature::default()
    });
    let text = error(settings(&broker.address(), None, "logs"));
    assert!(text.contains("set sasl_config"), "{text}");
}

#[test]
fn a_certificate_that_is_not_trusted_or_of_another_name_is_refused() {
    let certificate = Certificate::new();
    let broker = TestBroker::start(Nature {
        tls: Some(certificate.acceptor.clone()),
        ..Nature::default()
    });
    let with = |host: &str, trust| Settings {
        tls: Some(trust),
        ..settings(&[(host.to_owned(), broker.port)], None, "logs")
    };
    let text = error(with("localhost", trusting(RootCertStore::empty())));
    assert!(text.contains("no TLS with localhost"), "{text}");
    let text = error(with("127.0.0.1", certificate.trusted()));
    assert!(text.contains("no TLS with 127.0.0.1"), "{text}");
    assert_eq!(send(with("localhost", certificate.trusted())), Ok(Sent::All));
    assert_eq!(broker.values(), ["value"]);
}

#[test]
fn whoever_speaks_tls_to_a_plain_broker_or_plainly_to_one_with_tls_is_told() {
    let certificate = Certificate::new();
    let broker = TestBroker::start(Nature {
        tls: Some(certificate.acceptor.clone()),
        ..Nature::default()
    });
    let text = error(settings(&broker.address(), None, "logs"));
    assert!(text.contains("TLS"), "{text}");
    let broker = plain();
    let text = error(Settings {
        tls: Some(certificate.trusted()),
        ..settings(&broker.address(), None, "logs")
    });
    assert!(text.contains("that it speaks TLS"), "{text}");
}

#[test]
fn somebody_who_is_no_broker_is_told_apart() {
    let answers: [(&'static [u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is a web server"),
        (&[0x15, 3, 3, 0, 2, 2, 70], "uses TLS"),
        (&[0xff; 64], "correct host and port"),
        // An answer of the right length to another request.
        (&[0, 0, 0, 4, 9, 9, 9, 9], "another request"),
    ];
    for (answer, told) in answers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            // As often as it is tried.
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
                stream.write_all(answer).unwrap();
                // Waits for the client to leave: closing with something unread would break the connection.
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let text = error(settings(&[("127.0.0.1".to_owned(), port)], None, "logs"));
        server.join().unwrap();
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_broker_that_is_too_old_is_told() {
    let broker = TestBroker::start(Nature {
        highest: HashMap::from([(0, 2)]),
        ..Nature::default()
    });
    let text = error(settings(&broker.address(), None, "logs"));
    assert!(
        text.contains("does not know the request Produce: it is older than Kafka 0.11"),
        "{text}"
    );
}

#[test]
fn older_versions_of_requests_are_spoken_where_a_broker_knows_no_others() {
    for produce in 3..=8 {
        for metadata in [1, 2, 4, 7] {
            let broker = TestBroker::start(Nature {
                partitions: 3,
                highest: HashMap::from([(0, produce), (3, metadata), (22, produce % 2), (36, produce % 2)]),
                login: Some(login(Mechanism::Plain)),
                ..Nature::default()
            });
            let settings = Settings {
                acks: Acks::All,
                ..settings(&broker.address(), Some(&sasl(Mechanism::Plain, PASSWORD)), "logs")
            };
            assert_eq!(send(settings), Ok(Sent::All), "{produce} {metadata}");
            assert_eq!(broker.values(), ["value"]);
        }
    }
}

#[test]
fn answers_that_are_garbled_or_missing_lose_nothing() {
    let broker = plain();
    let array = [&[0, 0, 0, 8][..], &[0, 0, 0, 0], &[0x7f, 0xff, 0xff, 0xff]].concat();
    broker.misbehave([
        Mischief::Close,
        Mischief::StoreAndClose,
        Mischief::Bytes(vec![0x7f; 16]),
        Mischief::Bytes(array),
        Mischief::Bytes(vec![0, 0, 0, 1, 1]),
        Mischief::WrongId,
        Mischief::Silence,
        Mischief::Code(2, Some("the batch is corrupt\nsays the broker")),
    ]);
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&broker.address(), None, "logs"));
    for number in 0..5 {
        producer.send(record(number.to_string())).unwrap();
    }
    let tally = until_sent(&producer, 5);
    assert_eq!((tally.failed, tally.too_large), (0, 0));
    // Nothing tells the broker that it has them already.
    let arrived: BTreeSet<_> = broker.values().into_iter().collect();
    assert_eq!(arrived, (0..5).map(|number| number.to_string()).collect());
}

#[test]
fn a_batch_is_stored_once_where_batches_are_numbered_and_again_where_they_are_not() {
    for (acks, is_idempotent, times) in [
        (Acks::All, true, 1),
        (Acks::All, false, 3),
        (Acks::Leader, true, 3),
    ] {
        let broker = plain();
        broker.misbehave([Mischief::StoreAndClose, Mischief::StoreAndClose]);
        let telemetry = Telemetry::start();
        let producer = telemetry.producer(Settings {
            acks,
            is_idempotent,
            linger: Duration::from_secs(3600),
            batch_records: 2,
            ..settings(&broker.address(), None, "logs")
        });
        producer.send(record("first")).unwrap();
        producer.send(record("second")).unwrap();
        until_sent(&producer, 2);
        assert_eq!(broker.values(), ["first", "second"].repeat(times), "{acks:?}");
        assert_eq!(broker.repeated(), if times == 1 { 2 } else { 0 });
        // And numbers go on.
        producer.send(record("third")).unwrap();
        producer.send(record("fourth")).unwrap();
        until_sent(&producer, 4);
        assert_eq!(broker.values().len(), 2 * times + 2);
    }
}

#[test]
fn a_broker_that_has_forgotten_the_producer_loses_nothing() {
    let broker = plain();
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        acks: Acks::All,
        ..settings(&broker.address(), None, "logs")
    });
    producer.send(record("first")).unwrap();
    until_sent(&producer, 1);
    broker.misbehave([Mischief::ForgetProducers]);
    producer.send(record("second")).unwrap();
    until_sent(&producer, 2);
    producer.send(record("third")).unwrap();
    until_sent(&producer, 3);
    assert_eq!(broker.values(), ["first", "second", "third"]);
    let metrics = telemetry.metrics.text();
    assert!(
        metrics.contains("tollgate_kafka_errors_total{topic=\"logs\",error=\"UNKNOWN_PRODUCER_ID\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn records_that_may_be_to_blame_for_an_error_are_given_up_after_some_tries() {
    let broker = plain();
    broker.misbehave(vec![Mischief::Code(-1, None); 10]);
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&broker.address(), None, "logs"));
    producer.send(record("poison")).unwrap();
    until("it is given up", || producer.queue().tally().failed == 1);
    producer.send(record("good")).unwrap();
    until_sent(&producer, 1);
    assert_eq!(broker.values(), ["good"]);
}

#[test]
fn a_record_at_which_a_broker_hangs_up_is_given_up_and_holds_up_nobody() {
    let broker = plain();
    broker.misbehave(vec![Mischief::Close; 10]);
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(Settings {
        batch_records: 1,
        ..settings(&broker.address(), None, "logs")
    });
    producer.send(record("x".repeat(2 << 20))).unwrap();
    producer.send(record("good")).unwrap();
    let tally = until_sent(&producer, 1);
    assert_eq!(tally.too_large, 1);
    assert_eq!(broker.values(), ["good"]);
}

#[test]
fn what_a_broker_says_of_an_error_is_told_in_one_line_and_bounded() {
    static LONG: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| format!("first\n{}", "x".repeat(9999)));
    let broker = plain();
    broker.misbehave(vec![Mischief::Code(44, Some(&LONG)); 3]);
    let telemetry = Telemetry::start();
    let mut sender = Sender::new(settings(&broker.address(), None, "logs"), &telemetry.metrics);
    let sent = telemetry.hub.runtime().block_on(sender.send(&[record("value")]));
    let Ok(Sent::Each { cause, .. }) = sent else {
        panic!("{sent:?}")
    };
    assert!(cause.len() < 1000 && !cause.contains('\n'), "{cause}");
}

#[test]
fn a_session_is_renewed_before_it_ends() {
    let broker = TestBroker::start(Nature {
        login: Some(login(Mechanism::ScramSha256)),
        lifetime: 100,
        ..Nature::default()
    });
    let telemetry = Telemetry::start();
    let settings = settings(
        &broker.address(),
        Some(&sasl(Mechanism::ScramSha256, PASSWORD)),
        "logs",
    );
    let producer = telemetry.producer(settings);
    let mut sent = 0;
    until("another session begins", || {
        producer.send(record("value")).unwrap();
        sent += 1;
        until_sent(&producer, sent);
        broker.connections() >= 3
    });
    assert_eq!(producer.queue().tally().errors, 0);
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_not_used() {
    let broker = plain();
    broker.misbehave([Mischief::AnswerAndClose]);
    let telemetry = Telemetry::start();
    let producer = telemetry.producer(settings(&broker.address(), None, "logs"));
    producer.send(record("first")).unwrap();
    until_sent(&producer, 1);
    until("it is closed", || broker.closed() == 1);
    producer.send(record("second")).unwrap();
    let tally = until_sent(&producer, 2);
    assert_eq!(tally.errors, 0);
    assert_eq!(broker.values(), ["first", "second"]);
    assert_eq!(broker.connections(), 2);
}
