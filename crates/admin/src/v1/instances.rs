//! `/tollgate/v1/instances`: which instances serve models, how they are, and taking one out of service.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_gateway::pool::Standing;
use tollgate_store::Store;

use super::{Asked, Problem};
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;

impl<D: DataPlane> Admin<D> {
    /// Answers what is asked of instances. `rest` is the path behind `instances`.
    pub(super) async fn instances(&self, asked: &Asked<'_>, rest: &[&str]) -> Result<Answer, Problem> {
        asked.only_parameters(&[])?;
        if !asked.actor.reads_all() {
            return Err(Problem::forbidden(
                "instances belong to no team; ask an administrator",
            ));
        }
        let told: Vec<Value> = self.data_plane.instances().iter().map(|one| one.told()).collect();
        match (rest, asked.method) {
            ([], &Method::GET) => Ok(Answer::json(StatusCode::OK, json!({"items": told, "next": null}))),
            ([], _) => Err(Problem::method("GET")),
            ([owner @ .., name, verb], &Method::POST) if standing(verb).is_some() => {
                if !asked.actor.writes_all() {
                    return Err(Problem::forbidden(
                        "taking instances out of service needs the role editor or admin",
                    ));
                }
                let id = format!("{}/{name}", owner.join("/"));
                let is_there = told.iter().any(|one| one["id"] == id);
                let standing = standing(verb).filter(|_| is_there).ok_or_else(|| unknown(&id))?;
                let owner = owner.join("/");
                let record = kept(&owner, name, standing);
                self.tell(
                    &asked.actor,
                    action(verb),
                    &format!("instances/{id}"),
                    vec![record],
                )
                .await?;
                self.data_plane.set_standing(&owner, name, standing);
                tracing::info!(
                    instance = id,
                    standing = standing.name(),
                    by = asked.actor.name,
                    "an operator has decided on an instance"
                );
                self.one(&id)
            }
            (id, &Method::GET) => self.one(&id.join("/")),
            _ => Err(Problem::method("GET, or POST to …/drain, …/disable or …/enable")),
        }
    }

    fn one(&self, id: &str) -> Result<Answer, Problem> {
        let told = self.data_plane.instances().into_iter().map(|one| one.told());
        let one = told
            .into_iter()
            .find(|one| one["id"] == id)
            .ok_or_else(|| unknown(id))?;
        Ok(Answer::json(StatusCode::OK, one))
    }
}

/// What the names of kept decisions begin with.
const KEPT_AS: &str = "standing/";

/// A decision as the store keeps it; instances in service have none.
fn kept(owner: &str, name: &str, standing: Standing) -> (String, Option<Vec<u8>>) {
    let record = json!({"owner": owner, "name": name, "standing": standing.name()});
    let record = (standing != Standing::InService).then(|| record.to_string().into_bytes());
    (format!("{KEPT_AS}{owner}/{name}"), record)
}

/// The decisions on instances that a store keeps: owner, name, and what was decided. For the start, before calls are served.
pub fn kept_standings(store: &Store) -> Vec<(String, String, Standing)> {
    let read = |record: &[u8]| {
        let record: Value = serde_json::from_slice(record).ok()?;
        let text = |member: &str| record.get(member)?.as_str();
        let standing = Standing::of_name(text("standing")?)?;
        Some((text("owner")?.to_owned(), text("name")?.to_owned(), standing))
    };
    let kept = store.kept(KEPT_AS);
    kept.iter().filter_map(|(_, record)| read(record)).collect()
}

fn standing(verb: &str) -> Option<Standing> {
    match verb {
        "enable" => Some(Standing::InService),
        "drain" => Some(Standing::Draining),
        "disable" => Some(Standing::Disabled),
        _ => None,
    }
}

/// The word in the audit log.
fn action(verb: &str) -> &'static str {
    match verb {
        "enable" => "enable",
        "drain" => "drain",
        _ => "disable",
    }
}

fn unknown(id: &str) -> Problem {
    Problem::unknown(format!(
        "there is no instance `{id}`; GET /tollgate/v1/instances lists them by id"
    ))
}

/// Describes the paths.
pub(super) fn describe(paths: &mut Map<String, Value>) {
    let refused = |response: &str| json!({"$ref": format!("#/components/responses/{response}")});
    let instance = json!({
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "owner and name"},
            "owner": {"type": "string", "description": "the object, such as `route/1`, or `model/<route>/<model>` of models of the configuration"},
            "name": {"type": "string"},
            "provider": {"type": "string"},
            "model": {"type": ["string", "null"], "description": "its name at the provider; null: the name that the client used"},
            "address": {"type": ["string", "null"], "description": "host and port; null of a simulated one"},
            "weight": {"type": "integer"},
            "priority": {"type": "integer", "description": "its tier; larger is used first"},
            "standing": {"enum": ["in_service", "draining", "disabled"], "description": "what operators say"},
            "usable": {"type": "boolean", "description": "whether it would be given a call now"},
            "state": {"enum": ["healthy", "ejected", "probing", null], "description": "what calls say; null where they are not asked"},
            "cause": {"type": ["string", "null"], "description": "why it is ejected"},
            "ejected_for_ms": {"type": ["integer", "null"]},
            "ill_by_checks": {"type": "boolean"},
            "in_flight": {"type": ["integer", "null"], "description": "calls under way; null where there is nothing to choose"},
            "first_token_ms": {"type": ["integer", "null"], "description": "until the first token of a stream, in the last answers"},
            "whole_answer_ms": {"type": ["integer", "null"], "description": "until other answers were there as a whole"},
        },
    });
    let parameters = json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]);
    paths.insert(
        "/instances".to_owned(),
        json!({"get": {
            "summary": "Instances in service",
            "responses": {
                "200": {"description": "All of them.", "content": {"application/json": {"schema": {
                    "type": "object", "properties": {"items": {"type": "array", "items": instance}, "next": {"type": "null"}},
                }}}},
                "401": refused("unauthorized"), "403": refused("forbidden"),
            },
        }}),
    );
    paths.insert(
        "/instances/{id}".to_owned(),
        json!({"parameters": parameters, "get": {
            "summary": "One instance",
            "responses": {
                "200": {"description": "The instance.", "content": {"application/json": {"schema": instance}}},
                "401": refused("unauthorized"), "404": refused("unknown"),
            },
        }}),
    );
    for (verb, summary) in [
        (
            "drain",
            "Give it calls only if there is nobody else for them; those under way go on",
        ),
        ("disable", "Give it no more calls; those under way go on"),
        ("enable", "Give it calls again"),
    ] {
        paths.insert(
            format!("/instances/{{id}}/{verb}"),
            json!({"parameters": parameters, "post": {
                "summary": summary,
                "responses": {
                    "200": {"description": "The instance.", "content": {"application/json": {"schema": instance}}},
                    "401": refused("unauthorized"), "403": refused("forbidden"), "404": refused("unknown"),
                },
            }}),
        );
    }
}
