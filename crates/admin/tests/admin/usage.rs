//! Usage of calls, asked for over HTTP.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;
use tollgate_telemetry::Metrics;
use tollgate_telemetry::ledger::{Column, Keep, Ledger, Place, Reader, Row, Settings};

use crate::common::{Api, KEY, NOW, Recorder, Told, VIEWER_KEY, api, api_of, settings};

/// An Admin API of a gateway that has served two calls an hour ago, and the folder they are kept in.
fn with_calls() -> (Api, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join("usage.db"));
    // The clock of these tests stands still, years ago.
    let kept = Duration::from_secs(100 * 365 * 24 * 3600);
    let settings_of_ledger = Settings {
        keep: Keep {
            calls: kept,
            hours: kept,
            days: kept,
        },
        ..Settings::new(place.clone())
    };
    let ledger = Ledger::start(&settings_of_ledger, &Metrics::default()).unwrap();
    for (id, consumer) in [("call-1", "team-a"), ("call-2", "team-b")] {
        let mut row = Row::default();
        row.text(Column::RequestId, id);
        row.number(Column::Time, (NOW - 3600) * 1000);
        row.text(Column::Consumer, consumer);
        row.text(Column::Outcome, "ok");
        row.number(Column::CostMicroUsd, 25_u64);
        row.text(Column::CostState, "known");
        ledger.append(&row);
    }
    assert!(ledger.flush_and_stop(Duration::from_secs(60)));
    let recorder = Recorder {
        usage: Some(Reader::new(place)),
        ..Recorder::default()
    };
    (api_of(settings(), recorder), folder)
}

async fn get(api: &Api, path: &str) -> Told {
    with_key(api, path, KEY).await
}

async fn with_key(api: &Api, path: &str, key: &str) -> Told {
    let request = Request::get(format!("/tollgate/v1/usage{path}")).header("x-api-key", key);
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn sums_are_told_as_json_and_as_csv() {
    let (api, _folder) = with_calls();
    let told = get(&api, "?by=consumer&since=1d").await.is(200).json();
    assert_eq!(told["totals"]["calls"], 2);
    assert_eq!(told["totals"]["cost_usd"], "0.000050");
    assert_eq!(told["rows"][0]["consumer"], "team-a");
    let one = get(&api, "?by=consumer&consumer=team-b&since=1d")
        .await
        .is(200)
        .json();
    assert_eq!(one["totals"]["calls"], 1);
    let csv = get(&api, "?by=consumer&format=csv").await;
    assert_eq!(
        csv.is(200).header("content-type"),
        Some("text/csv; charset=utf-8")
    );
    assert!(csv.text.starts_with("consumer,calls,"), "{}", csv.text);
}

#[tokio::test]
async fn calls_are_listed_page_by_page_and_read_alone() {
    let (api, _folder) = with_calls();
    let first = get(&api, "/calls?limit=1").await.is(200).json();
    assert_eq!(first["calls"][0]["request_id"], "call-2");
    let next = first["next"].as_str().unwrap();
    let second = get(&api, &format!("/calls?limit=1&after={next}"))
        .await
        .is(200)
        .json();
    assert_eq!(second["calls"][0]["request_id"], "call-1");
    let one = get(&api, "/calls/call-1").await.is(200).json();
    assert_eq!(
        (&one["consumer"], &one["cost_micro_usd"]),
        (&json!("team-a"), &json!(25))
    );
    get(&api, "/calls/nobody").await.is(404);
}

#[tokio::test]
async fn a_key_is_needed_and_a_viewers_is_enough() {
    let (api, _folder) = with_calls();
    with_key(&api, "", "wrong").await.is(401);
    with_key(&api, "", VIEWER_KEY).await.is(200);
    let by_query = Request::get(format!("/tollgate/v1/usage?api_key={KEY}"));
    api.send(by_query.body(Body::empty()).unwrap()).await.is(200);
}

#[tokio::test]
async fn a_wrong_question_names_the_parameter_and_what_is_allowed() {
    let (api, _folder) = with_calls();
    for (path, text) in [
        ("?format=xml", "format: write json or csv"),
        ("/calls?limit=0", "limit: `0` is not a number from 1 to 1000"),
        ("?until=2d&since=1d", "until: is before `since`"),
    ] {
        get(&api, path).await.refused(400, text);
    }
    let unknown = get(&api, "?by=colour").await;
    let text = unknown.is(400).json()["error_msg"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("by: `colour` is unknown; allowed: hour, day"),
        "{text}"
    );
    let post = Request::post("/tollgate/v1/usage").header("x-api-key", KEY);
    api.send(post.body(Body::empty()).unwrap()).await.is(405);
}

#[tokio::test]
async fn a_gateway_that_keeps_no_usage_says_so() {
    get(&api(), "")
        .await
        .refused(404, "usage is not kept here (`usage.store: off`)");
}
