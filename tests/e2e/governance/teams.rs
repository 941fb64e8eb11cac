//! Teams: a tree in which every level counts, and says which models may be used.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::start;

const TEAMS: &str = "auth: key\nteams:\n  company: {budget: {usd: 0.04, per: month}}\n  \
                     search: {parent: company, budget: {usd: 0.02, per: month}, models: [\"c*\", other]}\n";

#[test]
fn a_call_is_let_in_only_if_all_levels_have_room() {
    let data = tempdir().expect("a directory");
    let node = start(TEAMS, &data);
    let key = |body: &Value| {
        node.make("keys", body)["key"]
            .as_str()
            .expect("a secret")
            .to_owned()
    };
    let (of_search, of_company) = (key(&json!({"team": "search"})), key(&json!({"team": "company"})));
    assert_eq!(node.call(&of_search, "cent").status(), 200);
    assert_eq!(node.call(&of_search, "cent").status(), 200);
    let refused = node.call(&of_search, "cent");
    assert_eq!(refused.status(), 429);
    assert!(refused.text().contains("the team `search`"), "{}", refused.text());
    // What was refused below has not been taken above.
    assert_eq!(node.call(&of_company, "cent").status(), 200);
    assert_eq!(node.call(&of_company, "cent").status(), 200);
    let refused = node.call(&of_company, "cent");
    assert!(
        refused.text().contains("the team `company`"),
        "{}",
        refused.text()
    );
    assert_eq!(node.spent("team.company.usd.month"), "0.040000");
    assert_eq!(node.spent("team.search.usd.month"), "0.020000");
    node.gateway.stop();
}

#[test]
fn models_are_those_that_every_level_allows() {
    let data = tempdir().expect("a directory");
    let node = start(TEAMS, &data);
    node.make(
        "teams",
        &json!({"id": "ranking", "parent": "search", "models": ["*"]}),
    );
    let made = node.make("keys", &json!({"team": "ranking", "models": ["cent", "word"]}));
    let secret = made["key"].as_str().expect("a secret");
    assert_eq!(node.call(secret, "cent").status(), 200);
    let by_team = node.call(secret, "word");
    assert_eq!(by_team.status(), 403, "{}", by_team.text());
    assert!(by_team.text().contains("the team `search`"), "{}", by_team.text());
    let by_key = node.call(secret, "other");
    assert_eq!(by_key.status(), 403);
    assert!(by_key.text().contains("this key"), "{}", by_key.text());
    let listed = node
        .gateway
        .send(&crate::harness::Request::new("GET", "/v1/models").header("x-api-key", secret));
    let names: Vec<Value> = listed.json()["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(names, ["cent"]);
    let me = node
        .gateway
        .send(&crate::harness::Request::new("GET", "/tollgate/v1/me").header("x-api-key", secret));
    assert_eq!(
        me.json()["team_path"],
        json!(["company", "search", "ranking"]),
        "{}",
        me.text()
    );
    // A team that is switched off calls no more, nor do those below it.
    node.make("teams", &json!({"id": "off", "disabled": true}));
    let made = node.make("keys", &json!({"team": "off"}));
    assert_eq!(
        node.call(made["key"].as_str().expect("a secret"), "cent")
            .status(),
        403
    );
    node.gateway.stop();
}

#[test]
fn teams_stay_a_tree_and_what_is_used_stays() {
    let data = tempdir().expect("a directory");
    let node = start(TEAMS, &data);
    node.make("teams", &json!({"id": "a", "parent": "company"}));
    node.make("teams", &json!({"id": "b", "parent": "a"}));
    let circle = node.admin("PATCH", "teams/a", &json!({"parent": "b"}));
    assert_eq!(
        (circle.status(), &circle.json()["error"]["field"]),
        (400, &json!("parent"))
    );
    let used = node.admin("DELETE", "teams/a", &Value::Null);
    assert_eq!(
        (used.status(), &used.json()["error"]["code"]),
        (409, &json!("in_use"))
    );
    let in_file = node.admin("DELETE", "teams/search", &Value::Null);
    assert_eq!(
        (in_file.status(), &in_file.json()["error"]["code"]),
        (409, &json!("in_file"))
    );
    assert_eq!(node.admin("DELETE", "teams/b", &Value::Null).status(), 204);
    assert_eq!(node.admin("DELETE", "teams/a", &Value::Null).status(), 204);
    let ids: Vec<Value> = node.read("teams")["items"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|team| team["id"].clone())
        .collect();
    assert_eq!(ids, ["company", "search"]);
    node.gateway.stop();
}
