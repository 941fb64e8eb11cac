//! A database of PostgreSQL: reached, lost, shared, encrypted, newer.

use std::thread;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tollgate_telemetry::ledger::LedgerError;

use super::exact::{check, some_steps};
use super::server::PostgresServer;
use super::*;

#[test]
fn sums_in_a_database_never_differ_from_its_calls() {
    let server = PostgresServer::start(&[]);
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    check(&place, &some_steps());
}

#[test]
fn calls_wait_while_the_server_is_away_and_come_once() {
    let mut server = PostgresServer::start(&[]);
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    let settings = Settings {
        flush_interval: Duration::from_millis(10),
        ..Settings::new(place.clone())
    };
    let (ledger, metrics) = start(&settings);
    ledger.append(&call("before", "team-a", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE));
    server.kill();
    for number in 0..50 {
        ledger.append(&call(&format!("call-{number}"), "team-a", "gpt-5", now_ms()));
    }
    while number(&metrics, "tollgate_ledger_write_errors_total") == 0 {
        thread::yield_now();
    }
    // A gateway that starts now serves, and its calls wait too.
    let (late, _) = start(&settings);
    late.append(&call("late", "team-b", "gpt-5", now_ms()));
    server.restart();
    assert!(ledger.flush(PATIENCE));
    assert!(late.flush(PATIENCE));
    assert_eq!(count(&place), 52);
    assert_eq!(server.sql("SELECT COUNT(*) FROM tollgate_calls"), "52");
    assert_eq!(ledger.dropped() + late.dropped(), 0);
}

/// Starts a ledger, which first adds up what is due.
fn open_and_add_up(place: &Place) -> Ledger {
    let (ledger, _) = open(place);
    // That belongs to its first round, and the second flush ends with a later one.
    assert!(ledger.flush(PATIENCE));
    assert!(ledger.flush(PATIENCE));
    ledger
}

#[test]
fn many_gateways_write_into_one_database() {
    let server = PostgresServer::start(&[]);
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    // All start at once, so they make the tables at once.
    let time = now_ms();
    thread::scope(|scope| {
        for node in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let (mut ledger, _) = open(place);
                for number in 0..200 {
                    let id = format!("node-{node}-call-{number}");
                    let consumer = format!("team-{}", (number * 7 + node) % 10);
                    ledger.append(&call(&id, &consumer, "gpt-5", time - number % 5 * 3_600_000));
                    if number % 20 == 0 {
                        // One that starts adds up what is due, while the others write.
                        assert!(ledger.flush_and_stop(PATIENCE));
                        assert_eq!(ledger.dropped(), 0);
                        ledger = open_and_add_up(place);
                    }
                }
                assert!(ledger.flush_and_stop(PATIENCE));
                assert_eq!(ledger.dropped(), 0);
            });
        }
    });
    let report = ask(&place, "consumer");
    assert_eq!(report.totals.get(Measure::Calls), 800);
    assert_eq!(report.totals.get(Measure::CostMicroUsd), 800 * 1500);
    assert_eq!(sums(&report, &["team-3"]).get(Measure::Calls), 80);
    assert!(open_and_add_up(&place).flush_and_stop(PATIENCE));
    let added = server.sql("SELECT SUM(calls) FROM tollgate_usage_hours");
    assert!(added.parse::<i64>().unwrap() > 0, "{added}");
}

#[test]
fn a_gateway_of_an_older_program_may_go_on_writing_into_the_database() {
    let server = PostgresServer::start(&[]);
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    let (ledger, _) = open(&place);
    let time = now_ms() - 7_200_000;
    ledger.append(&call("new", "team-a", "gpt-5", time));
    assert!(ledger.flush_and_stop(PATIENCE));
    // It adds its call up itself and knows nothing of calls that are not.
    server.sql(&format!(
        "INSERT INTO tollgate_calls (request_id, time_ms, input_tokens, cached_tokens, cache_write_5m_tokens, \
         cache_write_1h_tokens, audio_input_tokens, image_input_tokens, video_input_tokens, tool_input_tokens, output_tokens, \
         reasoning_tokens, audio_output_tokens, image_output_tokens, latency_ms, status, request_bytes, response_bytes) \
         VALUES ('old', {time}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0)"
    ));
    assert_eq!(count(&place), 1);
    assert!(open_and_add_up(&place).flush_and_stop(PATIENCE));
    assert_eq!(count(&place), 1);
}

#[test]
fn texts_that_postgresql_cannot_hold_keep_nothing_waiting() {
    let server = PostgresServer::start(&[]);
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    let (ledger, _) = open(&place);
    ledger.append(&call("one", "a\0b", "gpt\0", now_ms()));
    assert!(ledger.flush(PATIENCE));
    assert_eq!(sums(&ask(&place, "consumer"), &["a?b"]).get(Measure::Calls), 1);
}

#[test]
fn a_database_is_reached_over_tls_only_with_a_certificate_that_is_trusted() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let files = [
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let server = PostgresServer::start_with(&["ssl=on"], &files);
    let url = server.url("?sslmode=verify-full");

    let stranger = database(&url, RootCertStore::empty());
    let read = Reader::new(stranger).usage(&usage(&[])).unwrap_err().to_string();
    assert!(read.contains("certificate"), "{read}");
    assert!(!read.contains(server::PASSWORD), "{read}");

    let mut trusted = RootCertStore::empty();
    trusted
        .add(CertificateDer::from(certificate.der().to_vec()))
        .unwrap();
    let place = database(&url, trusted);
    let (ledger, _) = open(&place);
    ledger.append(&call("one", "team-a", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE));
    assert_eq!(count(&place), 1);
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    let server = PostgresServer::start(&[]);
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    assert!(open(&place).0.flush_and_stop(PATIENCE));
    server.sql("UPDATE tollgate_ledger SET value = 99 WHERE name = 'version'");
    let error = Ledger::start(&Settings::new(place), &Metrics::default())
        .err()
        .unwrap();
    assert!(matches!(error, LedgerError::Newer { found: 99, .. }));
    assert!(!error.to_string().contains(server::PASSWORD));
}

#[test]
fn an_address_that_cannot_be_read_is_told_without_its_password() {
    let config = Arc::new(
        ClientConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth(),
    );
    for address in [
        "postgres://u:secret@h:port/db",
        "postgres://u:secret@h/db?sslmode=perhaps",
    ] {
        let text = Place::postgres(address, config.clone())
            .err()
            .unwrap()
            .to_string();
        assert!(text.contains("postgres://user:password@host"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn a_database_of_the_first_version_is_brought_to_this_one_with_all_that_is_in_it() {
    let server = PostgresServer::start(&[]);
    server.sql(include_str!("first_version.sql"));
    let place = database(&server.url("?sslmode=disable"), RootCertStore::empty());
    // Several gateways of a new version may come at once.
    let (ledger, _) = open(&place);
    let (other, _) = open(&place);
    let reader = Reader::new(place.clone());
    let kept = reader.call("second", None).unwrap().unwrap();
    assert_eq!(kept.text(Column::Consumer), Some("alice"));
    assert_eq!(kept.text(Column::Team), None);
    let mut row = call("third", "alice", "gpt-5", now_ms());
    row.text(Column::Credential, "key-8");
    row.text(Column::Team, "search");
    row.text(
        Column::Charges,
        r#"[{"budget":"b:usd:total","start":0,"amount":1500}]"#,
    );
    ledger.append(&row);
    other.append(&call("fourth", "bob", "gpt-5", now_ms()));
    assert!(ledger.flush(PATIENCE) && other.flush(PATIENCE));
    let report = ask(&place, "consumer,team");
    assert_eq!(sums(&report, &["alice", ""]).get(Measure::Calls), 2);
    assert_eq!(sums(&report, &["alice", ""]).get(Measure::CostMicroUsd), 3000);
    assert_eq!(sums(&report, &["alice", "search"]).get(Measure::Calls), 1);
    assert_eq!(report.totals.get(Measure::Calls), 4);
    assert_eq!(
        other.charged_by_others(PATIENCE).unwrap(),
        [("b:usd:total".to_owned(), 0, 1500)]
    );
    // Of what was before, the hour is known.
    let used = reader.used(0, 0).unwrap();
    let of = |id: &str| used.iter().find(|(credential, _)| credential == id).unwrap().1;
    assert_eq!(of("key-7") % 3_600_000, 0);
    assert!(of("key-8") > of("key-7"));
}
