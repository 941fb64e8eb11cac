//! The way of a call that a route of the Admin API takes: match, plugins, then the AI plugin or the upstream.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use http::header::HOST;
use serde_json::Value;
use tollgate_dialects::canonical::ErrorKind;

use super::Worker;
use super::ai::{self, AiCall};
use super::answer::Answer;
use super::body::{self, ClientBody};
use super::chain::{Passing, Phase};
use super::record::Record;
use crate::error::{CallError, PluginReply};
use crate::governance::Key as VirtualKey;
use crate::manners::Manners;
use crate::objects::{Chain, ObjectRoute, Plane, Step};
use crate::plugins::{CallLimits, CallVariables, Key, Reply, auth, query};
use crate::proxy;
use crate::server::Arriving;
use crate::snapshot::Snapshot;

/// Answers a call by the routes of the Admin API.
///
/// # Errors
/// No route takes the call, a plugin refuses it, or nobody could answer it.
pub async fn answer_call(
    worker: &Worker,
    snapshot: &Snapshot,
    body: Arriving,
    record: &mut Record,
) -> Result<Answer, CallError> {
    let plane = &snapshot.plane;
    record.manners = if plane.strict {
        Manners::ApisixStrict
    } else {
        Manners::Apisix
    };
    record.original_uri = Some(Box::new(record.request.uri.clone()));
    let mut body = ClientBody::Unread(body);
    let mut passing = Passing::default();
    let route = find(snapshot, &mut body, &mut passing, record).await?;
    record.route = route.as_ref().map(|route| route.id.clone());
    record.service = route.as_ref().and_then(|route| route.service_id.clone());
    record.object_route.clone_from(&route);
    // Only we say who calls.
    auth::clear_client_claims(&mut record.request.headers);
    let route = route.as_deref();
    let global = || plane.global.iter().flat_map(|chain| chain.steps());
    note_loggers(global(), None, plane, route, &body, &mut passing, record);
    if let Some(route) = route {
        let own = route.chain.steps().iter();
        note_loggers(own, Some(route), plane, Some(route), &body, &mut passing, record);
    }
    run(
        global(),
        Phase::Rewrite,
        plane,
        route,
        &body,
        &mut passing,
        record,
    )
    .await?;
    let Some(route) = route else {
        run(global(), Phase::Access, plane, None, &body, &mut passing, record).await?;
        return Err(no_route());
    };
    if let Some(broken) = &route.broken {
        return Err(cannot_serve(broken.status, &broken.reason));
    }
    let own = route.chain.steps();
    run(
        own.iter(),
        Phase::Rewrite,
        plane,
        Some(route),
        &body,
        &mut passing,
        record,
    )
    .await?;
    let merged = with_consumer(route, &mut passing, record)?;
    if record.consumer.is_none() {
        record.consumer = record.guest().map(|guest| guest.name.clone());
    }
    govern(worker, &passing, record);
    record.enter().await?;
    let steps = merged.as_ref().map_or(own, Chain::steps);
    if merged.is_some() {
        note_loggers(
            steps.iter(),
            Some(route),
            plane,
            Some(route),
            &body,
            &mut passing,
            record,
        );
        let added = steps
            .iter()
            .filter(|step| !step.spec.is_auth && !route.chain.has(step.spec.name));
        run(
            added,
            Phase::Rewrite,
            plane,
            Some(route),
            &body,
            &mut passing,
            record,
        )
        .await?;
    }
    run(
        global(),
        Phase::Access,
        plane,
        Some(route),
        &body,
        &mut passing,
        record,
    )
    .await?;
    let mut call = None;
    for step in steps {
        match step.plugin.ai() {
            // The plugins behind it know which model is meant, and those before it have refused what they refuse.
            Some(plugin)
                if call.is_none() && passing.is_meant(step, plane, Some(route), body.bytes(), record) =>
            {
                let read = ai::read(snapshot, plugin, &mut body, record).await?;
                record.may_use(read.model())?;
                let limits = token_limits(steps, plane, route, &body, &mut passing, record);
                if !limits.is_empty() {
                    record.admission = read
                        .admission(limits, record)
                        .that_peeks(record.explains().is_some());
                }
                call = Some(read);
            }
            Some(_) => {}
            None => {
                if step.plugin.token_limits().is_some()
                    && let Some(call) = &mut call
                {
                    choose(worker, call, plane, route, &body, &mut passing, record).await?;
                }
                passing
                    .run(step, Phase::Access, plane, Some(route), body.bytes(), record)
                    .await?;
            }
        }
    }
    if let Some(call) = &mut call {
        choose(worker, call, plane, route, &body, &mut passing, record).await?;
        let answer = ai::answer(worker, call, record).await?;
        if !call.passes_on() || route.upstream.is_none() {
            return Ok(answer);
        }
        body = ai::as_request(answer)?;
    }
    match &route.upstream {
        Some(upstream) => proxy::pass(worker, upstream, route, &passing, body, record).await,
        None => Err(cannot_serve(
            StatusCode::SERVICE_UNAVAILABLE,
            "missing upstream configuration in Route or Service",
        )),
    }
}

/// Notes those who are told of the call when it has ended. Done before any plugin runs, so that refusals are told too.
/// `of` is the route whose plugins these are; without one they are those of global rules.
fn note_loggers<'a>(
    steps: impl Iterator<Item = &'a Step>,
    of: Option<&ObjectRoute>,
    plane: &Plane,
    route: Option<&ObjectRoute>,
    body: &ClientBody,
    passing: &mut Passing,
    record: &mut Record,
) {
    for step in steps {
        if let Some(logger) = step.plugin.logger()
            && passing.is_meant(step, plane, route, body.bytes(), record)
        {
            let takes_a_place = of.is_some() || logger.is_told_once();
            record.log_to(takes_a_place.then_some(step.spec.name), logger);
        }
    }
}

async fn run<'a>(
    steps: impl Iterator<Item = &'a Step>,
    phase: Phase,
    plane: &Plane,
    route: Option<&ObjectRoute>,
    body: &ClientBody,
    passing: &mut Passing,
    record: &mut Record,
) -> Result<(), CallError> {
    for step in steps {
        passing
            .run(step, phase, plane, route, body.bytes(), record)
            .await?;
    }
    Ok(())
}

/// Decides which instance a call begins with, if that is not decided yet. Limits of tokens refuse the call here, so that
/// plugins behind them do not count it.
async fn choose(
    worker: &Worker,
    call: &mut AiCall,
    plane: &Plane,
    route: &ObjectRoute,
    body: &ClientBody,
    passing: &mut Passing,
    record: &mut Record,
) -> Result<(), CallError> {
    if call.is_chosen() {
        return Ok(());
    }
    let mut clues = call.clues();
    if let Some(hash_key) = call.hash_key() {
        let key = passing.lend(plane, Some(route), body.bytes(), record, |call| hash_key.of(call));
        clues.key = key.into_bytes();
    }
    ai::choose(worker, call, clues, record).await
}

/// The limits of tokens that hold for a call: those of its own chain, and those of global rules, which do nothing in APISIX.
fn token_limits(
    own: &[Step],
    plane: &Plane,
    route: &ObjectRoute,
    body: &ClientBody,
    passing: &mut Passing,
    record: &mut Record,
) -> Vec<CallLimits> {
    let global = plane.global.iter().flat_map(|chain| chain.steps());
    let global = global.filter(|_| !plane.strict);
    let mut holding = Vec::new();
    for step in global.chain(own) {
        if let Some(limits) = step.plugin.token_limits()
            && passing.is_meant(step, plane, Some(route), body.bytes(), record)
        {
            let replaced_by = step.error_response.clone();
            holding.push(passing.lend(plane, Some(route), body.bytes(), record, |call| {
                limits.of(call, replaced_by)
            }));
        }
    }
    holding
}

/// The route's plugins with those of the consumer that was found; `None` if that changes nothing.
fn with_consumer(
    route: &ObjectRoute,
    passing: &mut Passing,
    record: &mut Record,
) -> Result<Option<Chain>, CallError> {
    let Some(attached) = &passing.consumer else {
        return Ok(None);
    };
    record.consumer = Some(attached.consumer.name.clone());
    record.credential.clone_from(&attached.credential_id);
    if attached.consumer.group_missing {
        return Err(cannot_serve(
            StatusCode::SERVICE_UNAVAILABLE,
            "the consumer's group does not exist",
        ));
    }
    let own = &attached.consumer.chain;
    Ok((!own.is_empty()).then(|| route.chain.overlaid(own)))
}

/// Notes as what budgets and limits know the caller.
fn govern(worker: &Worker, passing: &Passing, record: &mut Record) {
    let index = worker.gateway.governance().index();
    if index.is_empty() {
        return;
    }
    let consumer = passing.consumer.as_ref().map(|attached| &attached.consumer);
    let key = record.request.extensions.get::<Arc<VirtualKey>>().cloned();
    let identity = match (key, consumer) {
        (Some(key), _) => {
            record.consumer.clone_from(&key.consumer);
            index.of_key(&key, consumer.and_then(|consumer| consumer.team()))
        }
        (None, Some(consumer)) => index.of_consumer(&consumer.name, consumer.team()),
        (None, None) => match record.guest() {
            Some(guest) => guest.identity(&index),
            None => index.of_nobody(),
        },
    };
    record.is(Some(&identity));
}

/// Finds the route. The body is read only if a route's condition looks into it.
async fn find(
    snapshot: &Snapshot,
    body: &mut ClientBody,
    passing: &mut Passing,
    record: &mut Record,
) -> Result<Option<Arc<ObjectRoute>>, CallError> {
    let plane = &snapshot.plane;
    let path = normalised(record.request.uri.path())?.into_owned();
    let host = host(record);
    loop {
        let mut body_is_missing = false;
        let client = record.client().ip();
        let found = passing.lend(plane, None, body.bytes(), record, |call| {
            plane
                .router
                .find(&host, &path, |route| {
                    if !route.takes(call.request.method.as_str(), client) {
                        return false;
                    }
                    if route.needs_body && call.body.is_none() {
                        body_is_missing = true;
                        return true;
                    }
                    route.condition.is_none() || route.condition_holds(&CallVariables::new(call))
                })
                .map(|found| {
                    (
                        found.route.clone(),
                        found.params,
                        found.pattern.to_owned(),
                        found.host.cloned(),
                    )
                })
        });
        if !body_is_missing {
            return Ok(found.map(|(route, parameters, pattern, host)| {
                passing.path_parameters = parameters;
                record.matched_uri = pattern;
                record.matched_host = host;
                route
            }));
        }
        body::read_into(
            body,
            snapshot.native.max_body_bytes,
            snapshot.native.body_timeout,
            record.overload(),
        )
        .await?;
    }
}

/// The name of the host the client means, in lower case and without port.
pub(super) fn host(record: &Record) -> String {
    let text = record
        .request
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| record.request.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or_default();
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => text,
    };
    name.to_ascii_lowercase()
}

/// The path as routes match it, which is how nginx normalises it: unescaped, without `.`, `..` and doubled slashes.
pub(super) fn normalised(path: &str) -> Result<Cow<'_, str>, CallError> {
    query::normalised_path(path).ok_or_else(|| {
        CallError::client(
            StatusCode::BAD_REQUEST,
            ErrorKind::BadRequest,
            "invalid_path",
            "the path of the URL is not valid",
        )
    })
}

fn no_route() -> CallError {
    CallError::client(
        StatusCode::NOT_FOUND,
        ErrorKind::NotFound,
        "route_not_found",
        "404 Route Not Found",
    )
    .told_as(Key::ErrorMsg)
}

fn cannot_serve(status: StatusCode, reason: &str) -> CallError {
    let mut error = CallError::gateway("route_unusable", reason.to_owned()).told_as(Key::ErrorMsg);
    error.status = status;
    error
}

impl CallError {
    /// A plugin has answered the call. `replaced_by` takes the place of what its refusals say.
    pub fn of_plugin(replaced_by: Option<&Value>, reply: Reply) -> Self {
        let mut error = CallError::client(
            reply.status,
            kind_of(reply.status),
            reply.code,
            reply.what_it_says().to_owned(),
        );
        let replaced_by = replaced_by.filter(|_| reply.status.as_u16() >= 400).cloned();
        error.reply = Some(Box::new(PluginReply { reply, replaced_by }));
        error
    }
}

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Authentication,
        403 => ErrorKind::Permission,
        404 => ErrorKind::NotFound,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimit,
        status if status >= 500 => ErrorKind::Server,
        _ => ErrorKind::BadRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn paths_are_matched_as_nginx_normalises_them() {
        for (written, matched) in [
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/.b", "/a/.b"),
            ("/%61", "/a"),
            ("/a%2Fb", "/a/b"),
            ("/", "/"),
            ("//", "/"),
        ] {
            assert_eq!(normalised(written).unwrap(), matched, "{written}");
        }
        for bad in ["/..", "/a/../..", "/%00"] {
            assert!(normalised(bad).is_err(), "{bad}");
        }
    }
}
