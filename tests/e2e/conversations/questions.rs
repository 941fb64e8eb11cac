//! What is answered about kept responses.

use serde_json::json;

use super::*;

#[test]
fn a_kept_response_is_told_listed_and_deleted() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    let first = turn(&gateway, KEY_A, &json!({"model": "anthropic", "input": "one"}));
    let second = turn(
        &gateway,
        KEY_A,
        &json!({"model": "chat", "input": "two", "previous_response_id": id(&first), "stream": true}),
    );
    let ask = |method: &str, key: &str, below: &str| gateway.send(&question(method, key, below));
    let told = ask("GET", KEY_A, &id(&second));
    assert_eq!(told.status(), 200, "{}", told.text());
    assert_eq!(told.json(), second);
    assert_eq!(told.header("content-type"), Some("application/json"));

    let list = ask(
        "GET",
        KEY_A,
        &format!("{}/input_items?order=asc&limit=2", id(&second)),
    );
    assert_eq!(list.status(), 200, "{}", list.text());
    let list = list.json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["has_more"], true);
    assert_eq!(list["data"][0]["content"][0]["text"], "one");
    assert_eq!(list["data"][1]["content"][0]["text"], "from anthropic");
    let after = list["last_id"].as_str().expect("an id");
    let rest = ask(
        "GET",
        KEY_A,
        &format!("{}/input_items?order=asc&after={after}", id(&second)),
    );
    assert_eq!(rest.json()["data"][0]["content"][0]["text"], "two");

    for (method, below) in [
        ("GET", id(&second)),
        ("DELETE", id(&second)),
        ("GET", format!("{}/input_items", id(&second))),
    ] {
        let foreign = ask(method, KEY_B, &below);
        assert_eq!(foreign.status(), 404, "{method} {below}");
        assert_eq!(foreign.json()["error"]["code"], "response_not_found");
        assert_eq!(foreign.json()["error"]["type"], "invalid_request_error");
    }
    assert_eq!(ask("GET", "wrong", &id(&second)).status(), 401);
    assert_eq!(ask("PUT", KEY_A, &id(&second)).status(), 405);
    assert_eq!(
        ask("POST", KEY_A, &format!("{}/cancel", id(&second))).status(),
        404
    );

    let deleted = ask("DELETE", KEY_A, &id(&second));
    assert_eq!(deleted.status(), 200);
    assert_eq!(
        deleted.json(),
        json!({"id": id(&second), "object": "response", "deleted": true})
    );
    assert_eq!(ask("DELETE", KEY_A, &id(&second)).status(), 404);
    assert_eq!(ask("GET", KEY_A, &id(&second)).status(), 404);
    let go_on = json!({"model": "chat", "input": "three", "previous_response_id": id(&second)});
    assert_not_found(&gateway.send(&call(KEY_A, &go_on)));
    assert_eq!(ask("GET", KEY_A, &id(&first)).status(), 200);
    gateway.stop();
}

#[test]
fn an_item_is_referred_to_without_the_conversation() {
    let providers = Providers::start();
    let gateway = providers.gateway("");
    let first = turn(&gateway, KEY_A, &json!({"model": "anthropic", "input": "one"}));
    let item = first["output"][0]["id"].as_str().expect("an id");
    let input = json!([
        {"role": "user", "content": "one"},
        {"type": "item_reference", "id": item},
        {"role": "user", "content": "two"},
    ]);
    turn(&gateway, KEY_A, &json!({"model": "chat", "input": input}));
    let sent = providers.chat.asked().json();
    assert!(
        sent["messages"][1].to_string().contains("from anthropic"),
        "{sent}"
    );
    let foreign = gateway.send(&call(KEY_B, &json!({"model": "chat", "input": input})));
    assert_eq!(foreign.status(), 400);
    assert_eq!(foreign.json()["error"]["code"], "item_not_found");
    gateway.stop();
}
