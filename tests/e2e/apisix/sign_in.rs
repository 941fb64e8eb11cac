//! People sign in with a key or at an OpenID Connect provider, and what they do is in the audit log.

use serde_json::{Value, json};

use super::node::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::oidc::{CLIENT, Forgery, Provider, SECRET};
use crate::harness::{Connection, Request, Response};

const REDIRECT: &str = "http://127.0.0.1:9180/tollgate/v1/session/oidc/callback";

fn node(provider: &Provider) -> Node {
    NodeSetup::new()
        .tollgate(&format!(
            "admin: {{oidc: {{issuer: \"{}\", client_id: {CLIENT}, client_secret: {SECRET}, redirect_url: \"{REDIRECT}\", \
             roles: {{platform: admin, \"dev-*\": editor}}, team_admin: {{search-leads: search}}}}}}",
            provider.issuer()
        ))
        .start()
}

/// A browser: it keeps cookies.
#[derive(Default)]
struct Browser {
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn ask(
        &mut self,
        node: &Node,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = Request::new(method, path);
        if !cookies.is_empty() {
            request = request.header("cookie", &cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = node.ask_with(&request);
        if let Some(set) = response.header("set-cookie") {
            let pair = set.split(';').next().expect("a cookie");
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.retain(|(other, _)| other != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    fn get(&mut self, node: &Node, path: &str) -> Response {
        self.ask(node, "GET", path, &[], "")
    }

    /// Goes to the provider and comes back: the path and query that the provider sends it to.
    #[track_caller]
    fn at_provider(&mut self, node: &Node, provider: &Provider) -> String {
        let start = self.get(node, "/tollgate/v1/session/oidc/start?return=/ui/calls");
        assert_eq!(start.status(), 302, "{}", start.text());
        let location = start.header("location").expect("a place").to_owned();
        let path = location
            .strip_prefix(&provider.issuer())
            .expect("it leads to the provider");
        let back = Connection::open(provider.upstream.address()).send(&Request::new("GET", path));
        assert_eq!(back.status(), 302, "{}", back.text());
        let back = back.header("location").expect("a place").to_owned();
        back.strip_prefix("http://127.0.0.1:9180")
            .expect("it leads back")
            .to_owned()
    }

    #[track_caller]
    fn sign_in(&mut self, node: &Node, provider: &Provider) -> Response {
        let back = self.at_provider(node, provider);
        self.get(node, &back)
    }

    fn session(&mut self, node: &Node) -> Response {
        self.get(node, "/tollgate/v1/session")
    }
}

#[track_caller]
fn audit(node: &Node, query: &str) -> Vec<Value> {
    let request = Request::new("GET", &format!("/tollgate/v1/audit{query}")).header("x-api-key", ADMIN_KEY);
    let told = node.ask_with(&request);
    assert_eq!(told.status(), 200, "{}", told.text());
    told.json()["items"].as_array().expect("a list").clone()
}

#[test]
fn a_person_signs_in_at_the_provider_changes_something_and_signs_out() {
    let provider = Provider::start("ann", &["dev-search", "others"]);
    let node = node(&provider);
    let mut browser = Browser::default();
    assert_eq!(browser.session(&node).json()["methods"], json!(["key", "oidc"]));

    let page = browser.sign_in(&node, &provider);
    assert_eq!(page.status(), 200, "{}", page.text());
    assert!(page.text().contains("0;url=/ui/calls"), "{}", page.text());
    let set = page.header("set-cookie").expect("a cookie");
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.header("x-frame-options"), Some("DENY"));

    let me = browser.session(&node).json();
    assert_eq!(
        (&me["name"], &me["role"], &me["via"]),
        (&json!("ann"), &json!("editor"), &json!("oidc"))
    );
    let route = r#"{"uri":"/a","plugins":{}}"#;
    let put = "/apisix/admin/routes/1";
    assert_eq!(browser.ask(&node, "PUT", put, &[], route).status(), 403);
    let csrf = me["csrf"].as_str().expect("a proof").to_owned();
    let proof = [("x-tollgate-csrf", csrf.as_str())];
    assert_eq!(browser.ask(&node, "PUT", put, &proof, route).status(), 201);

    // Nobody is signed out by a restart or a kill, and nothing that was told is lost.
    let node = node.restart_after_kill();
    assert_eq!(browser.session(&node).json()["name"], "ann");
    let told = audit(&node, "");
    let actions: Vec<&str> = told
        .iter()
        .map(|entry| entry["action"].as_str().expect("text"))
        .collect();
    assert_eq!(actions, ["create", "sign_in"]);
    assert_eq!(
        (
            &told[0]["actor"],
            &told[0]["via"],
            &told[0]["role"],
            &told[0]["object"]
        ),
        (
            &json!("ann"),
            &json!("oidc"),
            &json!("editor"),
            &json!("routes/1")
        )
    );

    let left = browser.ask(&node, "DELETE", "/tollgate/v1/session", &proof, "");
    // After the restart nobody has asked the provider yet where people leave it.
    assert_eq!(left.status(), 204, "{}", left.text());
    assert_eq!(browser.session(&node).status(), 401);
    assert_eq!(audit(&node, "?limit=1")[0]["action"], "sign_out");
}

#[test]
fn every_forged_answer_is_refused_with_its_reason_and_told() {
    let provider = Provider::start("ann", &["platform"]);
    let node = node(&provider);
    for (forgery, reason) in [
        (Forgery::WrongNonce, "the token answers another sign-in"),
        (Forgery::WrongAudience, "the token is for another client"),
        (Forgery::WrongIssuer, "the token is of another issuer"),
        (Forgery::WrongParty, "the token was made for another client"),
        (Forgery::Expired, "the token has expired"),
        (
            Forgery::Unsigned,
            "the token is signed with `none`, which is not allowed",
        ),
        (
            Forgery::SharedKey,
            "the token is signed with `HS256`, which is not allowed",
        ),
        (Forgery::StolenId, "the token's signature is wrong"),
        (Forgery::UnknownKey, "the token is signed with an unknown key"),
        (Forgery::Changed, "the token's signature is wrong"),
        (Forgery::Missing, "the provider gave no ID token"),
    ] {
        provider.forge(forgery);
        let mut browser = Browser::default();
        let page = browser.sign_in(&node, &provider);
        let shown = reason.replace('\'', "&#39;");
        assert_eq!(page.status(), 403, "{forgery:?}: {}", page.text());
        assert!(page.text().contains(&shown), "{forgery:?}: {}", page.text());
        assert_eq!(page.header("set-cookie"), None, "{forgery:?}");
        assert_eq!(browser.session(&node).status(), 401, "{forgery:?}");
        let told = &audit(&node, "?limit=1")[0];
        assert_eq!(
            (&told["action"], &told["via"], &told["reason"]),
            (&json!("sign_in_refused"), &json!("oidc"), &json!(reason)),
            "{forgery:?}"
        );
    }
    provider.forge(Forgery::None);
    assert_eq!(Browser::default().sign_in(&node, &provider).status(), 200);
}

#[test]
fn an_answer_counts_once_in_the_browser_and_for_the_sign_in_it_belongs_to() {
    let provider = Provider::start("ann", &["platform"]);
    let node = node(&provider);
    let refused = |page: &Response, reason: &str| {
        assert_eq!(page.status(), 403, "{}", page.text());
        assert!(page.text().contains(reason), "{}", page.text());
        assert_eq!(audit(&node, "?limit=1")[0]["action"], "sign_in_refused");
    };
    let mut browser = Browser::default();
    let back = browser.at_provider(&node, &provider);
    assert_eq!(browser.get(&node, &back).status(), 200);
    // The same answer once more.
    refused(&browser.get(&node, &back), "to no sign-in that is under way");
    // In another browser: somebody was made to follow a link.
    let back = browser.at_provider(&node, &provider);
    refused(&Browser::default().get(&node, &back), "began in another browser");
    // The code of a sign-in that is over, in the answer to another one.
    let code = back
        .split("code=")
        .nth(1)
        .and_then(|rest| rest.split('&').next())
        .expect("a code");
    let mut other = Browser::default();
    let own = other.at_provider(&node, &provider);
    let state = own.split("state=").nth(1).expect("a state");
    let stolen = format!("/tollgate/v1/session/oidc/callback?code={code}&state={state}");
    // The verifier of this sign-in does not belong to that code.
    refused(
        &other.get(&node, &stolen),
        "the provider refuses: `invalid_grant`",
    );
    let own = other.at_provider(&node, &provider);
    let state = own.split("state=").nth(1).expect("a state");
    for (answer, reason) in [
        ("code=x", "`state` is missing"),
        ("code=x&state=made-up", "to no sign-in that is under way"),
        (
            &format!("error=access_denied&state={state}"),
            "the provider says `access_denied`",
        ),
    ] {
        let page = other.get(&node, &format!("/tollgate/v1/session/oidc/callback?{answer}"));
        refused(&page, reason);
    }
}

#[test]
fn groups_decide_and_keys_of_the_provider_may_change() {
    let provider = Provider::start("ann", &["nothing"]);
    let node = node(&provider);
    let page = Browser::default().sign_in(&node, &provider);
    assert_eq!(page.status(), 403);
    assert!(
        page.text()
            .contains("ann was not signed in: none of their groups has a role here")
    );
    assert_eq!(audit(&node, "?limit=1")[0]["actor"], "ann");

    // A browser comes back to the page where people sign in, which tells the reason.
    let mut browser = Browser::default();
    let back = browser.at_provider(&node, &provider);
    let led = browser.ask(&node, "GET", &back, &[("accept", "text/html,*/*")], "");
    assert_eq!((led.status(), led.header("location")), (303, Some("/ui/")));
    let cookie = led.header("set-cookie").expect("a cookie");
    assert!(
        cookie.starts_with("tollgate_refused=ann%20was%20not%20signed%20in"),
        "{cookie}"
    );
    assert!(cookie.contains("Max-Age=60"), "{cookie}");

    provider.person(json!({"sub": "42", "preferred_username": "tim", "groups": ["search-leads"]}));
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in(&node, &provider).status(), 200);
    let me = browser.session(&node).json();
    assert_eq!(
        (&me["role"], &me["teams"]),
        (&json!("team_admin"), &json!(["search"]))
    );
    assert_eq!(browser.get(&node, "/apisix/admin/routes").status(), 401);

    provider.change_key("second");
    assert_eq!(Browser::default().sign_in(&node, &provider).status(), 200);

    // Groups that the token does not tell are asked for; the answer must be about the same person.
    provider.person(json!({"sub": "42", "email": "pat@example.org"}));
    provider.info(json!({"sub": "43", "groups": ["platform"]}));
    assert_eq!(Browser::default().sign_in(&node, &provider).status(), 403);
    provider.info(json!({"sub": "42", "groups": ["platform"]}));
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in(&node, &provider).status(), 200);
    let me = browser.session(&node).json();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("pat@example.org"), &json!("admin"))
    );
    let csrf = me["csrf"].as_str().expect("a proof").to_owned();
    let left = browser.ask(
        &node,
        "DELETE",
        "/tollgate/v1/session",
        &[("x-tollgate-csrf", &csrf)],
        "",
    );
    let url = left.json()["sign_out_at"]
        .as_str()
        .expect("an address")
        .to_owned();
    assert!(
        url.starts_with(&format!("{}/leave?client_id=tollgate&", provider.issuer())),
        "{url}"
    );
    let told = node.process.stderr.so_far();
    assert!(!told.contains(SECRET), "{told}");
}

#[test]
fn a_provider_that_cannot_be_reached_keeps_nobody_with_a_key_out() {
    let provider = Provider::start("ann", &["platform"]);
    let issuer = provider.issuer();
    let node = node(&provider);
    drop(provider);
    let gone = NodeSetup::new()
        .tollgate(&format!(
            "admin: {{oidc: {{issuer: \"{issuer}/other\", client_id: {CLIENT}, redirect_url: \"{REDIRECT}\", roles: {{a: admin}}}}}}"
        ))
        .start();
    let told = Browser::default().get(&gone, "/tollgate/v1/session/oidc/start");
    assert_eq!(told.status(), 502);
    assert_eq!(told.json()["error"]["code"], "provider");
    let body = json!({"key": ADMIN_KEY}).to_string();
    for node in [&gone, &node] {
        let told = Browser::default().ask(node, "POST", "/tollgate/v1/session", &[], &body);
        assert_eq!(told.status(), 200, "{}", told.text());
    }
}
