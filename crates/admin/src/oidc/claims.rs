//! What an ID token must say (OpenID Connect Core 1.0, section 3.1.3.7), and whom it lets in with which role.

use serde_json::{Map, Value};

use super::OidcSettings;
use crate::settings::Role;

/// How far the clocks of two machines may differ, in seconds.
const SKEW_S: u64 = 60;

/// Longest name of a person, in characters.
const NAME: usize = 200;

/// Who has signed in at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// What the provider calls them.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
    /// The teams of a [`Role::TeamAdmin`].
    pub(crate) teams: Vec<String>,
}

/// Checks the claims of a token whose signature was found right.
pub(crate) fn check(
    claims: &Map<String, Value>,
    settings: &OidcSettings,
    nonce: &str,
    now_s: u64,
) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(settings.issuer.as_str()) {
        return Err("the token is of another issuer");
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !audience.contains(&settings.client_id.as_str()) {
        return Err("the token is for another client");
    }
    match text("azp") {
        Some(party) if party != settings.client_id => {
            return Err("the token was made for another client");
        }
        None if audience.len() > 1 => {
            return Err("the token is for several clients and does not say which one asked");
        }
        _ => {}
    }
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now = now_s as f64;
    let skew = SKEW_S as f64;
    match time("exp") {
        Some(end) if now < end + skew => {}
        Some(_) => return Err("the token has expired"),
        None => return Err("the token does not say when it expires"),
    }
    if time("nbf").is_some_and(|begin| now + skew < begin) {
        return Err("the token is not valid yet");
    }
    match time("iat") {
        Some(made) if made <= now + skew => {}
        Some(_) => return Err("the token was made in the future"),
        None => return Err("the token does not say when it was made"),
    }
    if text("nonce") != Some(nonce) {
        return Err("the token answers another sign-in");
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err("the token does not say whom it is about");
    }
    Ok(())
}

/// What the provider calls the person.
pub(crate) fn name(claims: &Map<String, Value>, settings: &OidcSettings) -> String {
    let name = [
        settings.name_claim.as_str(),
        "preferred_username",
        "email",
        "name",
        "sub",
    ]
    .into_iter()
    .filter_map(|claim| claims.get(claim)?.as_str())
    .find(|name| !name.is_empty())
    .unwrap_or_default();
    name.chars().filter(|c| !c.is_control()).take(NAME).collect()
}

/// The groups that a claim tells; `None` if it is not there. A path such as `realm_access.roles` leads into objects.
pub(crate) fn groups(claims: &Map<String, Value>, settings: &OidcSettings) -> Option<Vec<String>> {
    let whole = claims.get(&settings.groups_claim);
    let found = whole.or_else(|| {
        let mut path = settings.groups_claim.split('.');
        let mut value = claims.get(path.next()?)?;
        for name in path {
            value = value.get(name)?;
        }
        Some(value)
    })?;
    Some(match found {
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => several
            .iter()
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    })
}

/// The most powerful role that one of the groups gives; `None` if none gives any.
pub(crate) fn person(name: String, groups: &[String], settings: &OidcSettings) -> Option<Person> {
    let is_of = |wanted: Role| {
        settings
            .roles
            .iter()
            .any(|(glob, role)| *role == wanted && groups.iter().any(|group| glob.matches(group)))
    };
    let role = [Role::Admin, Role::Editor].into_iter().find(|role| is_of(*role));
    let mut teams: Vec<String> = settings
        .team_admin
        .iter()
        .filter(|(glob, _)| groups.iter().any(|group| glob.matches(group)))
        .map(|(_, team)| team.clone())
        .collect();
    teams.dedup();
    let (role, teams) = match role {
        Some(role) => (role, Vec::new()),
        // Who sees everything and may change nothing can still be more to a team than a viewer; a session has one role, and
        // that of the team is the one that lets them do something.
        None if !teams.is_empty() => (Role::TeamAdmin, teams),
        None if is_of(Role::Viewer) => (Role::Viewer, Vec::new()),
        None => return None,
    };
    Some(Person { name, role, teams })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_resources::Glob;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn settings() -> OidcSettings {
        OidcSettings {
            roles: vec![
                (Glob::new("platform-*"), Role::Admin),
                (Glob::new("dev"), Role::Editor),
                (Glob::new("*"), Role::Viewer),
            ],
            team_admin: vec![(Glob::new("lead-search"), "search".to_owned())],
            ..OidcSettings::for_tests("https://id.example", "gate")
        }
    }

    fn claims() -> Map<String, Value> {
        let claims = json!({
            "iss": "https://id.example", "aud": "gate", "sub": "1", "nonce": "n",
            "exp": NOW + 300, "iat": NOW, "email": "ann@example.org", "groups": ["dev"],
        });
        claims.as_object().cloned().unwrap()
    }

    #[test]
    fn each_claim_counts() {
        let settings = settings();
        assert_eq!(check(&claims(), &settings, "n", NOW), Ok(()));
        for (name, value, reason) in [
            (
                "iss",
                json!("https://id.example/"),
                "the token is of another issuer",
            ),
            ("iss", Value::Null, "the token is of another issuer"),
            ("aud", json!("other"), "the token is for another client"),
            ("aud", json!(["other"]), "the token is for another client"),
            (
                "aud",
                json!(["gate", "other"]),
                "the token is for several clients and does not say which one asked",
            ),
            ("azp", json!("other"), "the token was made for another client"),
            ("exp", json!(NOW - 60), "the token has expired"),
            ("exp", Value::Null, "the token does not say when it expires"),
            ("nbf", json!(NOW + 61), "the token is not valid yet"),
            ("iat", json!(NOW + 61), "the token was made in the future"),
            ("iat", Value::Null, "the token does not say when it was made"),
            ("nonce", json!("m"), "the token answers another sign-in"),
            ("nonce", Value::Null, "the token answers another sign-in"),
            ("sub", json!(""), "the token does not say whom it is about"),
        ] {
            let mut claims = claims();
            claims.insert(name.to_owned(), value.clone());
            assert_eq!(
                check(&claims, &settings, "n", NOW),
                Err(reason),
                "{name}: {value}"
            );
        }
        for (name, value) in [
            ("aud", json!(["gate"])),
            ("exp", json!(NOW - 59)),
            ("nbf", json!(NOW + 60)),
            ("iat", json!(NOW + 60)),
        ] {
            let mut claims = claims();
            claims.insert(name.to_owned(), value);
            assert_eq!(check(&claims, &settings, "n", NOW), Ok(()), "{name}");
        }
    }

    #[test]
    fn groups_give_the_most_powerful_role_and_nobody_else_gets_in() {
        let mut settings = settings();
        let role = |groups: &[&str], settings: &OidcSettings| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            person("ann".to_owned(), &groups, settings).map(|person| (person.role, person.teams))
        };
        assert_eq!(
            role(&["dev", "platform-a"], &settings),
            Some((Role::Admin, vec![]))
        );
        assert_eq!(
            role(&["dev", "lead-search"], &settings),
            Some((Role::Editor, vec![]))
        );
        assert_eq!(
            role(&["lead-search"], &settings),
            Some((Role::TeamAdmin, vec!["search".to_owned()]))
        );
        assert_eq!(role(&["x"], &settings), Some((Role::Viewer, vec![])));
        assert_eq!(role(&[], &settings), None);
        settings.roles.pop();
        assert_eq!(role(&["x"], &settings), None);
    }

    #[test]
    fn groups_are_found_where_the_provider_has_them() {
        let mut settings = settings();
        assert_eq!(groups(&claims(), &settings), Some(vec!["dev".to_owned()]));
        settings.groups_claim = "realm_access.roles".to_owned();
        assert_eq!(groups(&claims(), &settings), None);
        let mut claims = claims();
        claims.insert("realm_access".to_owned(), json!({"roles": ["a", 7, "b"]}));
        assert_eq!(
            groups(&claims, &settings),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        settings.groups_claim = "https://example.org/groups".to_owned();
        claims.insert("https://example.org/groups".to_owned(), json!("one"));
        assert_eq!(groups(&claims, &settings), Some(vec!["one".to_owned()]));
        assert_eq!(name(&claims, &settings), "ann@example.org");
    }
}
