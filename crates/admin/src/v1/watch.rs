//! What the dashboard watches: `status`, `live`, `overview` and `logs`; and `playground`, calls of people who try something.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{Asked, Problem};
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::live::{self, Live, Of};
use crate::{body, events, log, node, overview, playground, usage};

impl<D: DataPlane> Admin<D> {
    /// Answers a question about how the gateway is doing.
    pub(crate) async fn watch(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Answer, Problem> {
        if asked.method != Method::GET {
            return Err(Problem::method("GET"));
        }
        let word = asked.path.first().copied().unwrap_or_default();
        match word {
            "status" => {
                asked.only_parameters(&[])?;
                let ready = self.data_plane.ready();
                let (started, now) = (self.started_s, self.now_s());
                let (node, has_oidc) = (self.data_plane.node(), self.oidc.is_some());
                let mut told = node::told(&node, &self.settings, has_oidc, &self.store, ready, started, now);
                if !asked.actor.reads_all() {
                    node::leave_out_what_is_of_no_team(&mut told);
                }
                Ok(Answer::json(StatusCode::OK, told))
            }
            "logs" => {
                if !asked.actor.reads_all() {
                    return Err(Problem::forbidden(
                        "the gateway's messages belong to no team; ask an administrator, or see what became of calls at \
                         /tollgate/v1/calls",
                    ));
                }
                asked.only_parameters(&["limit", "level", "text", "follow"])?;
                log::answer(asked.query, self.data_plane.log(), &self.closing)
            }
            "overview" => {
                asked.only_parameters(&["range", "since", "until", "by", "compare"])?;
                let now = i64::try_from(self.now_s()).unwrap_or(i64::MAX);
                let mut question = overview::asked(asked.query, now)?;
                question.teams = self.reach(&asked.actor).teams;
                let reader = self.data_plane.usage().ok_or_else(usage::is_off)?;
                let found = usage::blocking(&self.asking, move || reader.overview(&question)).await?;
                Ok(overview::told(asked.query, &found))
            }
            _ => {
                asked.only_parameters(&[])?;
                let admin = Arc::clone(self);
                if asked.actor.reads_all() {
                    return Ok(events::answer(live::BEAT, &self.closing, move || {
                        let metrics = admin.data_plane.numbers()?;
                        admin.live.event(Of::All(metrics), Instant::now(), now_ms())
                    }));
                }
                let lately = self.data_plane.lately().ok_or_else(usage::is_off)?;
                let (actor, live) = (asked.actor.clone(), Live::default());
                Ok(events::answer(live::BEAT, &self.closing, move || {
                    // Teams may move meanwhile.
                    let teams = admin.reach(&actor).teams.unwrap_or_default();
                    live.event(Of::Teams(&lately, &teams), Instant::now(), now_ms())
                }))
            }
        }
    }

    /// Makes a call for a person who tries something.
    pub(crate) async fn playground(
        &self,
        asked: &Asked<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, Problem> {
        let actor = &asked.actor;
        let guest = playground::guest(actor, parts, &self.settings.playground)?;
        if guest.is_some() && parts.method != Method::GET && self.played.is_new(actor, self.now_s()) {
            self.tell(actor, "playground", "playground", Vec::new()).await?;
        }
        let used = if guest.is_some() { "none" } else { "yours" };
        let body = body::read(&parts.headers, body, playground::BODY_LIMIT).await?;
        let call = playground::call(&self.data_plane.node(), actor, guest, parts, body)?;
        playground::answer(self.data_plane.call(call).await, used)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Describes the paths.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let read = |summary: &str, kind: &str, parameters: Vec<Value>| {
        json!({"get": {
            "tags": ["watch"],
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": {"description": "The answer.", "content": {kind: {}}},
                "400": {"$ref": "#/components/responses/refused"},
                "401": {"$ref": "#/components/responses/unauthorized"},
                "403": {"$ref": "#/components/responses/forbidden"},
                "404": {"$ref": "#/components/responses/unknown"},
            },
        }})
    };
    let (json_kind, events) = ("application/json", "text/event-stream");
    paths.insert(
        "/status".to_owned(),
        read(
            "What this gateway is: version, listeners, configuration, objects, and calls to try.",
            json_kind,
            Vec::new(),
        ),
    );
    paths.insert(
        "/live".to_owned(),
        read(
            "What goes on now, an event a second: calls, errors, tokens and cost per second, in flight, percentiles of the last half minute, by model, provider and consumer.",
            events,
            Vec::new(),
        ),
    );
    paths.insert(
        "/overview".to_owned(),
        read(
            "A time at a glance: sums and percentiles step by step, and who made the calls. Percentiles are found from the `percentiles_of` calls whose rows are kept, a sample where they are many, and lie between the bounds by which these are counted.",
            json_kind,
            vec![
                parameter(
                    "range",
                    "how long back; `1h` where nothing is said",
                    json!({"enum": ["15m", "1h", "24h", "7d", "30d"]}),
                ),
                parameter(
                    "since",
                    "in place of `range`: how long ago (`3h`), a day (`2026-11-01`) or a time (`2026-11-01T12:00:00Z`), UTC",
                    json!({"type": "string"}),
                ),
                parameter(
                    "until",
                    "with `since`, written like it; now where nothing is said",
                    json!({"type": "string"}),
                ),
                parameter(
                    "by",
                    "groups; `model` where nothing is said",
                    json!({"enum": ["model", "provider", "consumer", "team", "route", "instance"]}),
                ),
                parameter(
                    "compare",
                    "also the sums of the time before, as long as this one, as `before`",
                    json!({"type": "boolean"}),
                ),
            ],
        ),
    );
    paths.insert(
        "/logs".to_owned(),
        read(
            "The last lines of the gateway's own log; with `follow=true` as events, with those to come.",
            json_kind,
            vec![
                parameter(
                    "limit",
                    "lines; 200 where nothing is said",
                    json!({"type": "integer", "minimum": 1, "maximum": 2000}),
                ),
                parameter(
                    "level",
                    "the least grave that is told",
                    json!({"enum": ["error", "warn", "info", "debug", "trace"]}),
                ),
                parameter(
                    "text",
                    "only lines with this in them, in any case",
                    json!({"type": "string"}),
                ),
                parameter("follow", "goes on with lines to come", json!({"type": "boolean"})),
            ],
        ),
    );
    paths.insert(
        "/playground/{path}".to_owned(),
        json!({"post": {
            "tags": ["watch"],
            "summary": "Makes a call as the person who is signed in, and passes its answer on while it comes. It goes the way of every call, and is told under the consumer `playground/<name>`.",
            "parameters": [
                {"name": "path", "in": "path", "required": true, "schema": {"type": "string"}, "description": "the call's path, such as `v1/chat/completions`"},
                {"name": "x-playground-key", "in": "header", "schema": {"type": "string"}, "description": "the key of a consumer, to make the call with that one's rights and limits instead"},
            ],
            "responses": {
                "403": {"$ref": "#/components/responses/forbidden"},
                "default": {"description": "What the call was answered; `x-tollgate-playground-key` says whose key was used, `yours` or `none`."},
            },
        }}),
    );
}
