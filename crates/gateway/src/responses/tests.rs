//! Conversations from request to answer and back, on bytes; the store is in memory.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tollgate_dialects::scan::scan;
use tollgate_telemetry::Metrics;

use super::serve::{Question, answer};
use super::*;

const MAX_BYTES: u64 = 1_000_000;

fn responses() -> (Responses, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (Responses::in_memory(&metrics), metrics)
}

async fn expanded(responses: &Responses, owner: &str, request: &Value) -> Result<(Value, Asked), CallError> {
    expanded_as(responses, owner, "resp_1", request).await
}

async fn expanded_as(
    responses: &Responses,
    owner: &str,
    id: &str,
    request: &Value,
) -> Result<(Value, Asked), CallError> {
    let body = Bytes::from(request.to_string());
    let members = scan(&body).unwrap();
    let expanded = responses
        .expand(
            owner,
            id.to_owned(),
            Purpose::Answer,
            (&body, &members),
            MAX_BYTES,
        )
        .await?
        .unwrap();
    Ok((serde_json::from_slice(&expanded.body).unwrap(), expanded.asked))
}

async fn refused(responses: &Responses, owner: &str, request: &Value) -> (u16, String, Option<String>) {
    let error = expanded(responses, owner, request).await.unwrap_err();
    (
        error.status.as_u16(),
        error.code.clone().into_owned(),
        error.param.clone(),
    )
}

fn response(id: &str, text: &str) -> Value {
    json!({
        "id": id, "object": "response", "status": "completed", "model": "m", "store": false,
        "previous_response_id": null,
        "output": [message(&format!("msg_{id}"), text)],
    })
}

fn message(id: &str, text: &str) -> Value {
    json!({"id": id, "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

/// Asks and answers under the id of the answer; gives the answer as the client sees it.
async fn turn(responses: &Responses, owner: &str, request: &Value, answer: &Value) -> Value {
    let id = answer["id"].as_str().unwrap();
    let (_, asked) = expanded_as(responses, owner, id, request).await.unwrap();
    let mut answer = answer.clone();
    answer["id"] = json!("the provider's own");
    let shown = responses.whole(&Bytes::from(answer.to_string()), &asked);
    serde_json::from_slice(&shown).unwrap()
}

async fn ask(
    responses: &Responses,
    owner: &str,
    question: Question,
    method: Method,
    arguments: &str,
) -> Result<Value, CallError> {
    let store = responses.store().unwrap();
    let body = answer(store, owner, &question, &method, arguments).await?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn of(id: &str) -> Question {
    Question::Response(id.to_owned())
}

#[tokio::test]
async fn a_conversation_goes_on_with_all_that_was_said() {
    let (responses, _) = responses();
    let first = json!({"model": "m", "input": "Hello", "instructions": "Be brief.", "tools": [{"type": "function", "name": "f"}]});
    let shown = turn(&responses, "a", &first, &response("resp_1", "Hi")).await;
    assert_eq!(shown["store"], true);
    assert_eq!(shown["previous_response_id"], Value::Null);

    let second = json!({"model": "other", "previous_response_id": "resp_1", "input": [{"role": "user", "content": "And?"}], "x": 1.0});
    let (sent, _) = expanded(&responses, "a", &second).await.unwrap();
    assert_eq!(
        sent,
        json!({"model": "other", "x": 1.0, "store": false, "input": [
            {"role": "user", "content": "Hello"},
            message("msg_resp_1", "Hi"),
            {"role": "user", "content": "And?"},
        ]})
    );
    let shown = turn(&responses, "a", &second, &response("resp_2", "That")).await;
    assert_eq!(shown["previous_response_id"], "resp_1");

    let third = json!({"model": "m", "previous_response_id": "resp_2", "input": "More"});
    let (sent, asked) = expanded(&responses, "a", &third).await.unwrap();
    let texts: Vec<_> = sent["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["content"].clone())
        .collect();
    assert_eq!(texts.len(), 5);
    assert_eq!(texts[4], "More");
    assert_eq!(asked.before, ["resp_1", "resp_2"]);
    // Another way on from the first turn.
    let fork = json!({"model": "m", "previous_response_id": "resp_1", "input": "Else"});
    let (sent, _) = expanded(&responses, "a", &fork).await.unwrap();
    assert_eq!(sent["input"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn bytes_of_items_stay_as_they_were_written() {
    let (responses, _) = responses();
    let input = r#"[ {"type":"function_call_output","call_id":"c","output":"1.0e+2\u00e9\/"} , {"role":"user","content":"a\u0000b","n":12345678901234567890.10} ]"#;
    let body = Bytes::from(format!(r#"{{"model":"m","input":{input}}}"#));
    let first = responses
        .expand(
            "a",
            "resp_1".to_owned(),
            Purpose::Answer,
            (&body, &scan(&body).unwrap()),
            MAX_BYTES,
        )
        .await
        .unwrap()
        .unwrap();
    // Nothing was before: the input is what it was.
    assert!(std::str::from_utf8(&first.body).unwrap().contains(input));
    let answer = Bytes::from(
        r#"{"id":"resp_1","status":"completed","output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA\/=="},{"type":"function_call","arguments":"{\"a\": 1.50}"}]}"#,
    );
    responses.whole(&answer, &first.asked);
    let body = Bytes::from(r#"{"previous_response_id":"resp_1","input":[]}"#);
    let second = responses
        .expand(
            "a",
            "resp_1".to_owned(),
            Purpose::Answer,
            (&body, &scan(&body).unwrap()),
            MAX_BYTES,
        )
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        std::str::from_utf8(&second.body).unwrap(),
        r#"{"input":[{"type":"function_call_output","call_id":"c","output":"1.0e+2\u00e9\/"},{"role":"user","content":"a\u0000b","n":12345678901234567890.10},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA\/=="},{"type":"function_call","arguments":"{\"a\": 1.50}"}],"store":false}"#
    );
}

#[tokio::test]
async fn nobody_goes_on_with_what_is_not_theirs_or_not_there() {
    let (responses, _) = responses();
    turn(&responses, "a", &json!({"input": "x"}), &response("resp_1", "y")).await;
    let not_found = |id: &str| json!({"previous_response_id": id, "input": "x"});
    let expected = (
        400,
        "previous_response_not_found".to_owned(),
        Some("previous_response_id".to_owned()),
    );
    for (owner, id) in [
        ("b", "resp_1"),
        ("a", "resp_2"),
        ("a", ""),
        ("a", "item/msg_resp_1"),
    ] {
        assert_eq!(
            refused(&responses, owner, &not_found(id)).await,
            expected,
            "{owner} {id}"
        );
    }
    let error = expanded(&responses, "b", &not_found("resp_1")).await.unwrap_err();
    assert_eq!(error.message, "Previous response with id 'resp_1' not found.");
}

#[tokio::test]
async fn what_shall_not_be_kept_is_not() {
    let (responses, metrics) = responses();
    let request = json!({"input": "x", "store": false});
    let shown = turn(&responses, "a", &request, &response("resp_1", "y")).await;
    assert_eq!(shown["id"], "the provider's own");
    for status in ["failed", "cancelled", "in_progress"] {
        let mut answer = response("resp_1", "y");
        answer["status"] = status.into();
        turn(&responses, "a", &json!({"input": "x"}), &answer).await;
    }
    let go_on = json!({"previous_response_id": "resp_1", "input": "x"});
    assert_eq!(refused(&responses, "a", &go_on).await.0, 400);
    assert!(
        metrics.text().contains("tollgate_responses_kept_total 0"),
        "{}",
        metrics.text()
    );

    let mut incomplete = response("resp_1", "y");
    incomplete["status"] = "incomplete".into();
    turn(
        &responses,
        "a",
        &json!({"input": "x", "store": null}),
        &incomplete,
    )
    .await;
    // A turn that is not kept may go on from one that is.
    let once = json!({"previous_response_id": "resp_1", "input": "x", "store": false});
    let shown = turn(&responses, "a", &once, &response("resp_2", "z")).await;
    assert_eq!(
        (&shown["store"], &shown["previous_response_id"]),
        (&json!(false), &json!("resp_1"))
    );
    let go_on = json!({"previous_response_id": "resp_2", "input": "x"});
    assert_eq!(refused(&responses, "a", &go_on).await.0, 400);
}

#[tokio::test]
async fn an_answer_that_is_none_is_passed_and_counted() {
    let (responses, metrics) = responses();
    let (_, asked) = expanded(&responses, "a", &json!({"input": "x"})).await.unwrap();
    let answer = Bytes::from_static(b"[1]");
    assert_eq!(responses.whole(&answer, &asked), answer);
    let told = metrics.text();
    assert!(
        told.contains("tollgate_responses_refused_total{reason=\"not_understood\"} 1"),
        "{told}"
    );
}

#[tokio::test]
async fn answers_of_a_server_that_gives_the_same_id_again_stay_apart() {
    let (responses, _) = responses();
    for (id, text) in [("resp_1", "one"), ("resp_2", "two")] {
        let shown = turn(&responses, "a", &json!({"input": text}), &response(id, text)).await;
        assert_eq!(shown["id"], id);
    }
    let go_on = json!({"previous_response_id": "resp_1", "input": "x"});
    let (sent, _) = expanded(&responses, "a", &go_on).await.unwrap();
    assert_eq!(sent["input"][0]["content"], "one");
}

#[tokio::test]
async fn tokens_are_counted_of_the_whole_conversation() {
    let (responses, _) = responses();
    turn(&responses, "a", &json!({"input": "x"}), &response("resp_1", "y")).await;
    let body = Bytes::from(r#"{"model":"m","previous_response_id":"resp_1","input":"z"}"#);
    let request = (&body, &scan(&body).unwrap());
    let counted = responses
        .expand("a", "resp_2".to_owned(), Purpose::Count, request, MAX_BYTES)
        .await;
    let Expanded { body, asked } = counted.unwrap().unwrap();
    assert!(!asked.store);
    let sent: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(sent["input"].as_array().unwrap().len(), 3);
    assert!(
        sent.get("store").is_none() && sent.get("previous_response_id").is_none(),
        "{sent}"
    );
}

#[tokio::test]
async fn wrong_members_and_state_of_providers_are_refused_by_name() {
    let (responses, _) = responses();
    for (request, code, param) in [
        (
            json!({"previous_response_id": 1}),
            "invalid_type",
            "previous_response_id",
        ),
        (json!({"store": "yes"}), "invalid_type", "store"),
        (json!({"input": {}}), "invalid_type", "input"),
        (
            json!({"conversation": "conv_1", "input": "x"}),
            "unsupported_parameter",
            "conversation",
        ),
        (
            json!({"background": true, "input": "x"}),
            "unsupported_parameter",
            "background",
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "msg_9"}]}),
            "item_not_found",
            "input",
        ),
    ] {
        let expected = (400, code.to_owned(), Some(param.to_owned()));
        assert_eq!(refused(&responses, "a", &request).await, expected, "{request}");
    }
    let nulls =
        json!({"conversation": null, "background": false, "previous_response_id": null, "input": "x"});
    assert!(expanded(&responses, "a", &nulls).await.is_ok());
    let go_on = json!({"previous_response_id": "resp_1", "input": "x"});
    let expected = (
        400,
        "unsupported_parameter".to_owned(),
        Some("previous_response_id".to_owned()),
    );
    assert_eq!(refused(&Responses::Off, "a", &go_on).await, expected);
}

#[tokio::test]
async fn without_a_store_nothing_is_kept_and_when_passed_nothing_is_touched() {
    let request = json!({"input": "x", "store": true});
    let (sent, asked) = expanded(&Responses::Off, "a", &request).await.unwrap();
    assert_eq!(sent["store"], false);
    assert!(Responses::Off.tap(&asked).is_none());
    let body = Bytes::from(json!({"previous_response_id": "x", "background": true}).to_string());
    let passed = Responses::Passed
        .expand(
            "a",
            "resp_1".to_owned(),
            Purpose::Answer,
            (&body, &scan(&body).unwrap()),
            MAX_BYTES,
        )
        .await;
    assert!(passed.unwrap().is_none());
}

#[tokio::test]
async fn a_conversation_that_is_too_large_is_refused() {
    let (responses, _) = responses();
    let big = "x".repeat(600_000);
    turn(&responses, "a", &json!({"input": big}), &response("resp_1", "y")).await;
    let small = json!({"previous_response_id": "resp_1", "input": "x"});
    turn(&responses, "a", &small, &response("resp_2", "y")).await;
    let go_on = json!({"previous_response_id": "resp_2", "input": big});
    let (status, code, _) = refused(&responses, "a", &go_on).await;
    assert_eq!((status, code.as_str()), (413, "conversation_too_large"));
}

#[tokio::test]
async fn references_to_items_become_the_items() {
    let (responses, _) = responses();
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"});
    let sealed = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"});
    let mut first = response("resp_1", "y");
    first["output"] = json!([sealed, call]);
    turn(&responses, "a", &json!({"input": "x"}), &first).await;
    let refer = |id: &str| json!({"type": "item_reference", "id": id});
    let result = json!({"type": "function_call_output", "call_id": "c", "output": "1"});

    let whole = json!({"input": [{"role": "user", "content": "x"}, refer("rs_1"), refer("fc_1"), result]});
    let (sent, _) = expanded(&responses, "a", &whole).await.unwrap();
    assert_eq!(
        sent["input"],
        json!([{"role": "user", "content": "x"}, sealed, call, result])
    );
    assert_eq!(refused(&responses, "b", &whole).await.1, "item_not_found");

    // Those of the conversation are in it already.
    let beside = json!({"previous_response_id": "resp_1", "input": [refer("rs_1"), refer("fc_1"), result]});
    let (sent, asked) = expanded(&responses, "a", &beside).await.unwrap();
    assert_eq!(
        sent["input"],
        json!([{"role": "user", "content": "x"}, sealed, call, result])
    );
    assert_eq!(asked.input, json!([result]).to_string());
}

#[tokio::test]
async fn reasoning_that_only_its_maker_could_look_up_is_left_out() {
    let (responses, _) = responses();
    let empty =
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "t"}]});
    let nothing =
        json!({"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": null, "content": []});
    let open = json!({"type": "reasoning", "id": "rs_3", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]});
    let mut first = response("resp_1", "y");
    first["output"] = json!([empty, nothing, open, message("msg_1", "\"reasoning\"")]);
    turn(&responses, "a", &json!({"input": "x"}), &first).await;
    let go_on = json!({"previous_response_id": "resp_1"});
    let (sent, _) = expanded(&responses, "a", &go_on).await.unwrap();
    assert_eq!(sent["input"][1], open);
    assert_eq!(sent["input"].as_array().unwrap().len(), 3);
}

fn event(kind: &str, response: &Value) -> String {
    let data = json!({"type": kind, "response": response, "sequence_number": 7});
    format!("event: {kind}\ndata: {data}\n\n")
}

fn stream(end: &str) -> String {
    let mut begun = response("resp_1", "");
    begun["status"] = "in_progress".into();
    [
        ": keep-alive\n\n".to_owned(),
        event("response.created", &begun),
        event("response.in_progress", &begun),
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"\\\"response\\\":\"}\n\n".to_owned(),
        event(end, &response("resp_1", "y")),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

fn through(tap: &mut Tap, stream: &str, size: usize) -> String {
    let mut out = Vec::new();
    for piece in stream.as_bytes().chunks(size) {
        out.extend_from_slice(&tap.feed(&Bytes::copy_from_slice(piece)));
    }
    out.extend_from_slice(&tap.finish());
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_stream_shows_the_client_its_own_members_and_is_kept_when_it_ends_whatever_the_cuts() {
    for size in [1, 2, 7, 100, 10_000] {
        let (responses, _) = responses();
        turn(&responses, "a", &json!({"input": "w"}), &response("resp_0", "v")).await;
        let request = json!({"previous_response_id": "resp_0", "input": "x"});
        let (_, asked) = expanded(&responses, "a", &request).await.unwrap();
        let mut tap = responses.tap(&asked).unwrap();
        let out = through(&mut tap, &stream("response.completed"), size);
        let unchanged = out.replace("\"store\":true", "\"store\":false").replace(
            "\"previous_response_id\":\"resp_0\"",
            "\"previous_response_id\":null",
        );
        assert_eq!(asked.id, "resp_1");
        assert_eq!(unchanged, stream("response.completed"), "{size}");
        assert_eq!(out.matches("\"store\":true").count(), 3);
        assert_eq!(out.matches("\"previous_response_id\":\"resp_0\"").count(), 3);
        let go_on = json!({"previous_response_id": "resp_1", "input": "z"});
        let (sent, _) = expanded(&responses, "a", &go_on).await.unwrap();
        assert_eq!(sent["input"].as_array().unwrap().len(), 5, "{size}");
    }
}

#[tokio::test]
async fn a_stream_is_kept_before_its_last_event_is_given_and_not_when_it_failed_or_broke_off() {
    for (end, is_kept) in [
        ("response.completed", true),
        ("response.incomplete", true),
        ("response.failed", false),
        ("response.in_progress", false),
    ] {
        let (responses, _) = responses();
        let (_, asked) = expanded(&responses, "a", &json!({"input": "x"})).await.unwrap();
        let mut tap = responses.tap(&asked).unwrap();
        let text = stream(end);
        let last = text.rfind("data: [DONE]").unwrap();
        tap.feed(&Bytes::copy_from_slice(&text.as_bytes()[..last - 1]));
        assert!(
            ask(&responses, "a", of("resp_1"), Method::GET, "").await.is_err(),
            "{end}"
        );
        tap.feed(&Bytes::copy_from_slice(b"\n"));
        let kept = ask(&responses, "a", of("resp_1"), Method::GET, "").await;
        assert_eq!(kept.is_ok(), is_kept, "{end}");
    }
}

#[tokio::test]
async fn events_without_a_name_and_over_several_lines_are_understood() {
    let (responses, _) = responses();
    let (_, asked) = expanded(&responses, "a", &json!({"input": "x"})).await.unwrap();
    let mut tap = responses.tap(&asked).unwrap();
    let data = serde_json::to_string_pretty(
        &json!({"type": "response.completed", "response": response("resp_1", "y")}),
    )
    .unwrap();
    let lines: String = data.lines().map(|line| format!("data: {line}\r\n")).collect();
    let out = through(&mut tap, &format!("{lines}\r\n"), 5);
    let (_, data) = out.trim_end().split_once("data: ").unwrap();
    let shown: Value = serde_json::from_str(data).unwrap();
    assert_eq!(shown["response"]["store"], true);
    assert!(ask(&responses, "a", of("resp_1"), Method::GET, "").await.is_ok());
}

#[tokio::test]
async fn what_need_not_be_looked_at_is_not_copied() {
    let (responses, _) = responses();
    let (_, asked) = expanded(&responses, "a", &json!({"input": "x"})).await.unwrap();
    let mut tap = responses.tap(&asked).unwrap();
    let bytes = Bytes::from_static(b"event: a\ndata: {}\n\nevent: b\ndata: {}\n\n");
    let out = tap.feed(&bytes);
    assert_eq!(out.as_ptr(), bytes.as_ptr());
    assert_eq!(out, bytes);
}

#[tokio::test]
async fn a_kept_response_is_told_and_deleted_for_its_owner_only() {
    let (responses, _) = responses();
    let shown = turn(&responses, "a", &json!({"input": "x"}), &response("resp_1", "y")).await;
    assert_eq!(
        ask(&responses, "a", of("resp_1"), Method::GET, "").await.unwrap(),
        shown
    );
    for owner_and_id in [("b", "resp_1"), ("a", "resp_2"), ("a", "item/msg_resp_1")] {
        let (owner, id) = owner_and_id;
        for method in [Method::GET, Method::DELETE] {
            let error = ask(&responses, owner, of(id), method, "").await.unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.code.as_ref()),
                (404, "response_not_found")
            );
        }
    }
    let error = ask(&responses, "a", of("resp_1"), Method::GET, "stream=true")
        .await
        .unwrap_err();
    assert_eq!(error.status.as_u16(), 400);
    let deleted = ask(&responses, "a", of("resp_1"), Method::DELETE, "")
        .await
        .unwrap();
    assert_eq!(
        deleted,
        json!({"id": "resp_1", "object": "response", "deleted": true})
    );
    assert!(ask(&responses, "a", of("resp_1"), Method::GET, "").await.is_err());
    let go_on = json!({"previous_response_id": "resp_1", "input": "x"});
    assert_eq!(refused(&responses, "a", &go_on).await.0, 400);
}

#[tokio::test]
async fn input_is_listed_in_pages_with_ids_that_stay() {
    let (responses, _) = responses();
    let first = json!({"input": [
        {"role": "user", "content": "one"},
        {"type": "message", "role": "assistant", "id": "msg_own", "content": "two"},
    ]});
    turn(&responses, "a", &first, &response("resp_1", "three")).await;
    let second = json!({"previous_response_id": "resp_1", "input": [{"type": "function_call_output", "call_id": "c", "output": "four"}]});
    turn(&responses, "a", &second, &response("resp_2", "five")).await;
    let list = async |arguments: &str| {
        let question = Question::InputItems("resp_2".to_owned());
        ask(&responses, "a", question, Method::GET, arguments).await
    };
    let all = list("order=asc").await.unwrap();
    let ids: Vec<String> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 4);
    assert_eq!((ids[1].as_str(), ids[2].as_str()), ("msg_own", "msg_resp_1"));
    assert_eq!(
        all["data"][0]["content"],
        json!([{"type": "input_text", "text": "one"}])
    );
    assert_eq!(all["data"][0]["type"], "message");
    assert_eq!(all["data"][1]["content"][0]["type"], "output_text");
    assert_eq!(
        (&all["object"], &all["has_more"]),
        (&json!("list"), &json!(false))
    );
    assert_eq!(
        (&all["first_id"], &all["last_id"]),
        (&json!(ids[0]), &json!(ids[3]))
    );

    let newest = list("limit=3").await.unwrap();
    assert_eq!(newest["data"][0]["output"], "four");
    assert_eq!(newest["has_more"], true);
    let rest = list(&format!("limit=3&after={}", newest["last_id"].as_str().unwrap()))
        .await
        .unwrap();
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&rest["first_id"], &rest["has_more"]),
        (&json!(ids[0]), &json!(false))
    );
    let past = list(&format!("order=asc&after={}", ids[3])).await.unwrap();
    assert_eq!((&past["data"], &past["first_id"]), (&json!([]), &Value::Null));
    for wrong in ["limit=0", "limit=101", "limit=x", "order=up", "after=msg_9"] {
        assert_eq!(list(wrong).await.unwrap_err().status.as_u16(), 400, "{wrong}");
    }
    let foreign = ask(
        &responses,
        "b",
        Question::InputItems("resp_2".to_owned()),
        Method::GET,
        "",
    )
    .await;
    assert_eq!(foreign.unwrap_err().status.as_u16(), 404);
}

#[test]
fn questions_are_read_from_the_address() {
    assert_eq!(Question::read("resp_1"), Some(of("resp_1")));
    assert_eq!(
        Question::read("resp_1/input_items"),
        Some(Question::InputItems("resp_1".to_owned()))
    );
    for other in ["", "/input_items", "resp_1/cancel", "resp_1/input_items/x"] {
        assert_eq!(Question::read(other), None, "{other}");
    }
    assert!(of("x").allows(&Method::DELETE) && !of("x").allows(&Method::POST));
    assert!(!Question::InputItems("x".to_owned()).allows(&Method::DELETE));
}

#[test]
fn a_consumer_cannot_be_taken_for_nobody() {
    assert_ne!(owner(None), owner(Some("anonymous")));
    assert_ne!(owner(Some("")), owner(None));
}
