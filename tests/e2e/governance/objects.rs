//! The same on routes made of APISIX's objects.

use serde_json::{Value, json};

use crate::apisix::{ADMIN_KEY, CHAT, Node, NodeSetup, chat_route};
use crate::harness::{Connection, Request, Upstream, answers, post};

fn ask(node: &Node, method: &str, path: &str, body: &Value) -> Value {
    let request = Request::new(method, &format!("/tollgate/v1/{path}"))
        .header("x-api-key", ADMIN_KEY)
        .body(body.to_string());
    let answer = Connection::open(node.admin()).send(&request);
    assert!(answer.status() < 300, "{}", answer.text());
    answer.json()
}

#[test]
fn keys_and_budgets_hold_where_key_auth_asks_for_a_key() {
    let upstream = Upstream::start(|asked, peer| {
        peer.send(&answers::good(asked, "served"));
        crate::harness::Next::Keep
    });
    let node = NodeSetup::new().start();
    let mut route = chat_route("/chat", &upstream.base());
    route["plugins"]["key-auth"] = json!({});
    node.put("/routes/1", &route);
    node.put("/consumers", &json!({"username": "jack", "labels": {"team": "search"}, "plugins": {"key-auth": {"key": "jacks-key"}}}));
    ask(&node, "POST", "teams", &json!({"id": "search"}));
    let of_jack = ask(&node, "POST", "keys", &json!({"id": "k1", "consumer": "jack"}));
    let of_team = ask(&node, "POST", "keys", &json!({"id": "k2", "team": "search"}));
    ask(
        &node,
        "POST",
        "limits",
        &json!({"for": "team/search", "requests": 3, "per": "day"}),
    );
    let call = |key: &str| node.send(&post("/chat", CHAT).header("apikey", key));
    assert_eq!(call("jacks-key").status(), 200);
    assert_eq!(call(of_jack["key"].as_str().expect("a secret")).status(), 200);
    assert_eq!(upstream.asked().header("x-credential-identifier"), None);
    assert_eq!(call(of_team["key"].as_str().expect("a secret")).status(), 200);
    let refused = call("jacks-key");
    assert_eq!(refused.status(), 429, "{}", refused.text());
    assert!(refused.text().contains("the team `search`"), "{}", refused.text());
    assert_eq!(call("tg-unknown").status(), 401);
    ask(&node, "PATCH", "keys/k1", &json!({"disabled": true}));
    let refused = call(of_jack["key"].as_str().expect("a secret"));
    assert!(
        refused.status() == 401 && refused.text().contains("disabled"),
        "{}",
        refused.text()
    );
    // None of it is APISIX's.
    let all = ask(&node, "GET", "consumers", &Value::Null);
    assert_eq!(all["items"][0]["team"], "search");
}
