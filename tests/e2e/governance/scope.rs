//! Administrators of teams see and change what belongs to their teams and those below, and nothing else: every path of the
//! description is tried, with everything that the other team has.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{Governed, MODELS, start_with};
use crate::harness::oidc::{CLIENT, Provider, SECRET};
use crate::harness::{Connection, PATIENCE, Request, Response};

/// In every name of a team, and in no name of the other.
const ONE: &str = "crimson";
const OTHER: &str = "azure";

const REDIRECT: &str = "http://127.0.0.1:9180/tollgate/v1/session/oidc/callback";

const TEAMS: &str = r#"
auth: key
teams:
  umbrella: {budget: {usd: 100, per: month}}
  crimson: {parent: umbrella, budget: {usd: 10, per: month}}
  azure: {parent: umbrella, budget: {usd: 10, per: month}}
consumers:
  crimson-ann: {key: own-key-of-crimson-ann, models: ["*"], team: crimson}
  azure-ann: {key: own-key-of-azure-ann, models: ["*"], team: azure}
  nobodys: {key: own-key-of-nobody, models: ["*"]}
"#;

/// Somebody who asks the Admin API.
struct Administrator {
    /// Whose administrator it is.
    own: &'static str,
    headers: Vec<(String, String)>,
}

impl Administrator {
    fn request(&self, method: &str, path: &str, body: &Value) -> Request {
        let mut request = Request::new(method, path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match body {
            Value::Null => request,
            body => request.body(body.to_string()),
        }
    }

    fn ask(&self, node: &Governed, method: &str, path: &str, body: &Value) -> Response {
        let path = format!("/tollgate/v1{path}");
        Connection::open(node.admin).send(&self.request(method, &path, body))
    }

    #[track_caller]
    fn read(&self, node: &Governed, path: &str) -> Value {
        let answer = self.ask(node, "GET", path, &Value::Null);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        answer.json()
    }
}

/// What a team has that somebody else might ask for.
struct Belongings {
    name: &'static str,
    /// Ids and names of everything: teams, keys, budgets, limits, consumers, calls.
    ids: Vec<String>,
    secret: String,
}

fn node(provider: &Provider, data: &tempfile::TempDir) -> Governed {
    fs::write(data.path().join("admin.key"), "key-of-the-admin-api").expect("a file can be written");
    let admin = format!(
        "admin:\n  keys:\n    - {{name: admin, key: key-of-the-admin-api}}\n    \
         - {{name: crimson-admin, key: key-of-the-crimson-admin, role: team_admin, teams: [crimson]}}\n  \
         oidc: {{issuer: \"{}\", client_id: {CLIENT}, client_secret: {SECRET}, redirect_url: \"{REDIRECT}\", \
         team_admin: {{azure-leads: azure}}}}\nusage: {{flush_interval: 10ms}}\n",
        provider.issuer()
    );
    start_with(&format!("{MODELS}{TEAMS}{admin}"), data)
}

/// Signs in at the provider.
#[track_caller]
fn signed_in(node: &Governed, provider: &Provider) -> Administrator {
    let ask = |path: &str, cookie: &str| {
        let request = Request::new("GET", path);
        let request = match cookie {
            "" => request,
            cookie => request.header("cookie", cookie),
        };
        Connection::open(node.admin).send(&request)
    };
    let cookie = |answer: &Response| {
        let set = answer.header("set-cookie").expect("a cookie").to_owned();
        set.split(';').next().expect("a cookie").to_owned()
    };
    let start = ask("/tollgate/v1/session/oidc/start?return=/ui/", "");
    assert_eq!(start.status(), 302, "{}", start.text());
    let location = start.header("location").expect("a place");
    let path = location
        .strip_prefix(&provider.issuer())
        .expect("it leads to the provider");
    let back = Connection::open(provider.upstream.address()).send(&Request::new("GET", path));
    let back = back.header("location").expect("a place").to_owned();
    let back = back.strip_prefix("http://127.0.0.1:9180").expect("it leads back");
    let page = ask(back, &cookie(&start));
    assert_eq!(page.status(), 200, "{}", page.text());
    let session = cookie(&page);
    let told = ask("/tollgate/v1/session", &session).json();
    assert_eq!(
        (&told["role"], &told["teams"]),
        (&json!("team_admin"), &json!(["azure"]))
    );
    let csrf = told["csrf"].as_str().expect("a proof").to_owned();
    Administrator {
        own: OTHER,
        headers: vec![
            ("cookie".to_owned(), session),
            ("x-tollgate-csrf".to_owned(), csrf),
        ],
    }
}

/// Gives a team a sub-team, keys, a budget, a limit and two calls.
#[track_caller]
fn furnish(node: &Governed, name: &'static str) -> Belongings {
    let below = format!("{name}-sub");
    node.make(
        "teams",
        &json!({"id": below, "parent": name, "name": format!("{name} sub")}),
    );
    let text = |value: &Value, member: &str| value[member].as_str().expect("text").to_owned();
    let of_consumer = node.make(
        "keys",
        &json!({"consumer": format!("{name}-ann"), "id": format!("{name}-key"), "name": format!("{name} laptop"),
                "budget": {"usd": "5", "per": "day"}, "limits": [{"requests": 100, "per": "day"}]}),
    );
    let of_team = node.make(
        "keys",
        &json!({"team": below, "id": format!("{name}-sub-key"), "labels": {"of": name}}),
    );
    node.make(
        "budgets",
        &json!({"id": format!("{name}-budget"), "for": format!("team/{below}"), "usd": "3", "per": "total"}),
    );
    node.make(
        "limits",
        &json!({"id": format!("{name}-limit"), "for": format!("consumer/{name}-ann"), "requests": 50, "per": "day"}),
    );
    let secret = text(&of_team, "key");
    let mut ids = vec![
        name.to_owned(),
        below,
        format!("{name}-ann"),
        format!("{name}-key"),
        format!("{name}-sub-key"),
        format!("{name}-budget"),
        format!("{name}-limit"),
        format!("key.{name}-key.budget"),
        format!("key.{name}-key.limit.0"),
        format!("team.{name}.usd.month"),
    ];
    for key in [text(&of_consumer, "key"), secret.clone()] {
        let answer = node.call(&key, "cent");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        ids.push(answer.header("x-request-id").expect("an id").to_owned());
    }
    Belongings { name, ids, secret }
}

/// Waits until the ledger has so many calls.
#[track_caller]
fn kept(node: &Governed, calls: u64) {
    let begun = std::time::Instant::now();
    while node.read("usage?by=team&since=1h")["totals"]["calls"] != calls {
        assert!(begun.elapsed() < PATIENCE, "the calls are not kept");
    }
}

/// Everything that is there, but for what calls change.
fn everything(node: &Governed) -> Vec<String> {
    let lists = ["teams", "keys", "budgets", "limits", "consumers", "versions"];
    let told = lists.map(|list| {
        let mut told = node.read(&format!("{list}?limit=1000"));
        leave_out_states(&mut told);
        told.to_string()
    });
    told.into()
}

fn leave_out_states(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| name != "last_used_at" && !(name == "state" && value.is_object()));
            members.values_mut().for_each(leave_out_states);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_states),
        _ => {}
    }
}

/// Bodies that name what is somebody else's.
fn bodies(own: &str, other: &str) -> Vec<Value> {
    vec![
        json!({"parent": other}),
        json!({"id": "new", "parent": format!("{other}-sub")}),
        json!({"team": other}),
        json!({"team": own, "consumer": format!("{other}-ann")}),
        json!({"consumer": format!("{other}-ann")}),
        json!({"for": format!("team/{other}-sub"), "usd": "1", "per": "total"}),
        json!({"for": format!("team/{other}"), "usd": "1", "per": "total"}),
        json!({"for": format!("key/{other}-key"), "usd": "1", "per": "day"}),
        json!({"for": format!("consumer/{other}-ann"), "requests": 1, "per": "day"}),
        json!({"for": format!("key/{other}-sub-key"), "concurrent": 1}),
        json!({"path": "/v1/chat/completions", "headers": {"authorization": format!("Bearer own-key-of-{other}-ann")}}),
    ]
}

/// Bodies that might change something that is named in the path.
fn changes(own: &str) -> Vec<Value> {
    vec![
        json!({}),
        json!({"name": "taken", "disabled": true}),
        json!({"parent": own}),
        json!({"team": own}),
        json!({"for": format!("team/{own}-sub"), "usd": "1", "per": "total"}),
        json!({"for": format!("team/{own}-sub"), "requests": 1, "per": "day"}),
        json!({"grace": "1h"}),
    ]
}

/// A path with something in place of its parameters.
fn filled(path: &str, with: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { with } else { part });
    parts.collect::<Vec<&str>>().join("/")
}

/// A name of the same form that nothing has.
fn unknown(name: &str) -> String {
    let name = name.replace(ONE, "magenta").replace(OTHER, "magenta");
    name.replace(|letter: char| letter.is_ascii_digit(), "7")
}

#[track_caller]
fn tells_nothing(told: &str, of: &Belongings, what: &str) {
    for word in of.ids.iter().chain([&of.secret]) {
        let is_told = told.to_lowercase().contains(&word.to_lowercase());
        assert!(!is_told, "{what} tells of {word}: {told}");
    }
}

/// What is answered to a request about something: as text in which its name is left out.
fn about(
    node: &Governed,
    of: &Administrator,
    method: &str,
    path: &str,
    body: &Value,
    name: &str,
) -> (u16, String) {
    let answer = of.ask(node, method, path, body);
    (answer.status(), answer.text().replace(name, "…"))
}

/// Tries every path of the description with everything that the other team has: each answer is the one that is given for what
/// is not there.
fn try_everything(node: &Governed, who: &Administrator, other: &Belongings) {
    let before = everything(node);
    let description = who.read(node, "/openapi.json");
    let mut tried = 0;
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            // Signing in and out concerns nobody else.
            if method == "parameters" || path.starts_with("/session") {
                continue;
            }
            tried += 1;
            let method = method.to_uppercase();
            let what = format!("{method} {path} by the administrator of {}", who.own);
            match (method.as_str(), path.contains('{')) {
                ("GET", false) => reads(node, who, other, path, operation, &what),
                (_, true) => names(node, who, other, &method, path, &what),
                (_, false) => {
                    let unknown_bodies = bodies(who.own, "magenta");
                    for (body, unknown_body) in bodies(who.own, other.name).iter().zip(&unknown_bodies) {
                        let theirs = about(node, who, &method, path, body, other.name);
                        let nobodys = about(node, who, &method, path, unknown_body, "magenta");
                        assert_eq!(theirs, nobodys, "{what} with {body}");
                        assert!((400..500).contains(&theirs.0), "{what} with {body}: {theirs:?}");
                    }
                }
            }
        }
    }
    assert!(tried > 30, "{tried}");
    assert_eq!(everything(node), before);
}

fn reads(
    node: &Governed,
    who: &Administrator,
    other: &Belongings,
    path: &str,
    operation: &Value,
    what: &str,
) {
    if operation["responses"]["200"]["content"]
        .get("text/event-stream")
        .is_some()
        && path != "/logs"
    {
        return one_event(node, who, other, path, what);
    }
    let read = |query: &str| who.ask(node, "GET", &format!("{path}{query}"), &Value::Null);
    tells_nothing(read("").text(), other, what);
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
        let name = parameter["name"].as_str().expect("a name");
        let words = parameter["schema"]["enum"].as_array().into_iter().flatten();
        let words = words.filter_map(Value::as_str);
        for word in words.chain(["team", "consumer,team", "team,credential,hour", "30d", "all"]) {
            let query = format!("?{name}={word}");
            tells_nothing(read(&query).text(), other, &format!("{what}{query}"));
        }
        for id in &other.ids {
            if name == "after" {
                // Where a list goes on: any text is a place in it.
                let told = read(&format!("?{name}={id}")).text().replace(id, "…");
                tells_nothing(&told, other, &format!("{what}?{name}={id}"));
                continue;
            }
            let nothing = unknown(id);
            // What is told of a time changes with it.
            let is_same = (0..5).any(|_| {
                let asked = |id: &str| {
                    let answer = read(&format!("?{name}={id}"));
                    (answer.status(), answer.text().replace(id, "…"))
                };
                asked(id) == asked(&nothing)
            });
            assert!(
                is_same,
                "{what}?{name}={id}: {}",
                read(&format!("?{name}={id}")).text()
            );
        }
    }
}

/// An event that comes after the other team has called.
fn one_event(node: &Governed, who: &Administrator, other: &Belongings, path: &str, what: &str) {
    let request = who.request("GET", &format!("/tollgate/v1{path}"), &Value::Null);
    let mut stream = Connection::open(node.admin).stream(&request);
    assert_eq!(stream.head.status, 200);
    assert!(stream.event().is_some(), "{what}");
    assert_eq!(node.call(&other.secret, "cent").status(), 200);
    for _ in 0..2 {
        tells_nothing(&stream.event().expect("an event").data, other, what);
    }
}

fn names(node: &Governed, who: &Administrator, other: &Belongings, method: &str, path: &str, what: &str) {
    let bodies = match method {
        "GET" | "DELETE" => vec![Value::Null],
        _ => changes(who.own),
    };
    for id in &other.ids {
        let nothing = unknown(id);
        for body in &bodies {
            let theirs = about(node, who, method, &filled(path, id), body, id);
            let nobodys = about(node, who, method, &filled(path, &nothing), body, &nothing);
            assert_eq!(theirs, nobodys, "{what} with {id} and {body}");
            assert!(
                (400..500).contains(&theirs.0),
                "{what} with {id} and {body}: {theirs:?}"
            );
        }
    }
}

#[test]
fn an_administrator_of_teams_finds_nothing_of_others_anywhere_and_changes_nothing() {
    let provider = Provider::start("ann", &["azure-leads"]);
    let data = tempdir().expect("a directory");
    let node = node(&provider, &data);
    let (crimson, azure) = (furnish(&node, ONE), furnish(&node, OTHER));
    assert_eq!(node.call("own-key-of-nobody", "cent").status(), 200);
    kept(&node, 5);
    let by_key = Administrator {
        own: ONE,
        headers: vec![("x-api-key".to_owned(), "key-of-the-crimson-admin".to_owned())],
    };
    let by_group = signed_in(&node, &provider);
    try_everything(&node, &by_key, &azure);
    try_everything(&node, &by_group, &crimson);
    // Nothing but what is below `/tollgate/v1`.
    for path in [
        "/apisix/admin/consumers",
        "/apisix/admin/routes",
        "/v1/healthcheck",
    ] {
        let answer = Connection::open(node.admin).send(&by_key.request("GET", path, &Value::Null));
        assert_eq!(answer.status(), 401, "{path}: {}", answer.text());
    }
    node.gateway.stop();
}

#[test]
fn an_administrator_of_teams_sees_and_changes_all_of_its_own() {
    let provider = Provider::start("ann", &["azure-leads"]);
    let data = tempdir().expect("a directory");
    let node = node(&provider, &data);
    let own = furnish(&node, OTHER);
    furnish(&node, ONE);
    kept(&node, 4);
    let who = signed_in(&node, &provider);
    let ids = |list: &str, member: &str| -> BTreeSet<String> {
        let items = who.read(&node, list)["items"].as_array().expect("a list").clone();
        items
            .iter()
            .map(|item| item[member].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(
        ids("/teams", "id"),
        ["azure", "azure-sub"].map(str::to_owned).into()
    );
    assert_eq!(
        ids("/keys", "id"),
        ["azure-key", "azure-sub-key"].map(str::to_owned).into()
    );
    assert_eq!(ids("/consumers", "name"), ["azure-ann".to_owned()].into());
    assert_eq!(ids("/limits", "id").len(), 2);
    assert_eq!(ids("/budgets", "id").len(), 3);

    let sums = who.read(&node, "/usage?by=team,model&since=1h");
    assert_eq!(sums["totals"]["calls"], 2, "{sums}");
    assert_eq!(sums["totals"]["cost_micro_usd"], 20_000);
    for range in ["1h", "7d"] {
        let overview = who.read(&node, &format!("/overview?range={range}&by=consumer"));
        assert_eq!(overview["totals"]["calls"], 2, "{overview}");
    }
    let calls = who.read(&node, "/calls");
    assert_eq!(calls["calls"].as_array().map(Vec::len), Some(2), "{calls}");
    let story = who.read(&node, &format!("/calls/{}", own.ids.last().expect("an id")));
    assert_eq!(story["team"], "azure-sub");
    // What it was charged to budgets above is not told, what those below were charged is.
    let charged = story["charges"].to_string();
    assert!(
        charged.contains("azure-budget") && charged.contains("team.azure") && !charged.contains("umbrella"),
        "{charged}"
    );

    // What goes on, a moment after it was kept.
    let request = who.request("GET", "/tollgate/v1/live", &Value::Null);
    let mut live = Connection::open(node.admin).stream(&request);
    live.event().expect("an event");
    assert_eq!(node.call(&own.secret, "cent").status(), 200);
    let found = (0..20).find_map(|_| {
        let event = live.event().expect("an event").json();
        (event["calls_per_s"].as_f64() > Some(0.0)).then_some(event)
    });
    let event = found.expect("the call is told");
    assert_eq!(event["by_model"][0]["name"], "cent", "{event}");
    assert!(
        event["latency_ms"]["p50"].is_number() && event["in_flight"].is_null(),
        "{event}"
    );

    // Teams below, keys, budgets and limits of them may be made and changed; what its own team may spend may not.
    let make = |list: &str, body: &Value| {
        let made = who.ask(&node, "POST", list, body);
        assert_eq!(made.status(), 201, "{body}: {}", made.text());
        made.json()["id"].as_str().expect("an id").to_owned()
    };
    make("/teams", &json!({"id": "deeper", "parent": "azure-sub"}));
    let key = make("/keys", &json!({"team": "deeper", "name": "robot"}));
    let budget = make(
        "/budgets",
        &json!({"for": "team/deeper", "usd": "1", "per": "day"}),
    );
    make("/limits", &json!({"for": format!("key/{key}"), "concurrent": 2}));
    for (method, path, body) in [
        ("PATCH", format!("/keys/{key}"), json!({"disabled": true})),
        ("POST", format!("/keys/{key}/rotate"), json!({})),
        ("PATCH", format!("/budgets/{budget}"), json!({"usd": "2"})),
        ("PATCH", "/teams/deeper".to_owned(), json!({"name": "Deeper"})),
    ] {
        let answer = who.ask(&node, method, &path, &body);
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    for (list, body, status) in [
        (
            "/budgets",
            json!({"for": "team/azure", "usd": "1", "per": "day"}),
            403,
        ),
        ("/budgets", json!({"for": "all", "usd": "1", "per": "day"}), 403),
        ("/teams", json!({"id": "free"}), 403),
        // What somebody else has, or had, cannot be had by taking its name.
        ("/teams", json!({"id": "crimson-sub", "parent": "azure"}), 409),
        ("/keys", json!({"id": "mine", "team": "azure"}), 400),
    ] {
        let answer = who.ask(&node, "POST", list, &body);
        assert_eq!(answer.status(), status, "{body}: {}", answer.text());
    }
    node.gateway.stop();
}
