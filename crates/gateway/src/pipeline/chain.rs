//! Runs plugins in their order.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::record::Record;
use crate::clock;
use crate::error::CallError;
use crate::objects::{ObjectRoute, Plane, Step};
use crate::plugins::{Attached, Call, CallVariables, Flow};

/// What plugins have done to a call so far.
#[derive(Default)]
pub struct Passing {
    /// Parts of the path that the route's pattern names.
    pub path_parameters: Vec<(Arc<str>, String)>,
    /// Who calls, once known.
    pub consumer: Option<Attached>,
    /// Headers for the answer.
    answer_headers: HeaderMap,
}

/// In which phase plugins run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the consumer's own plugins are known.
    Rewrite,
    /// When it is known who calls.
    Access,
}

impl Passing {
    /// Lends the call to `with`, as plugins and conditions see it.
    pub fn lend<T>(
        &mut self,
        plane: &Plane,
        route: Option<&ObjectRoute>,
        body: Option<&Bytes>,
        record: &mut Record,
        with: impl FnOnce(&mut Call<'_>) -> T,
    ) -> T {
        let client = record.client();
        let tls = record.is_encrypted();
        let mut call = Call {
            request: &mut record.request,
            client,
            tls,
            request_id: &record.request_id,
            route_id: route.map_or("", |route| &route.id),
            service_id: route.and_then(|route| route.service_id.as_deref()),
            path_parameters: &self.path_parameters,
            directory: &plane.directory,
            consumer: self.consumer.take(),
            body,
            now: clock::steady(),
            wall: None,
            answer_headers: std::mem::take(&mut self.answer_headers),
            at_end: Vec::new(),
        };
        let result = with(&mut call);
        self.consumer = call.consumer;
        self.answer_headers = call.answer_headers;
        let at_end = call.at_end;
        record.at_end.extend(at_end);
        if !(self.answer_headers.is_empty() && record.answer_headers.is_empty()) {
            record.answer_headers.clone_from(&self.answer_headers);
        }
        result
    }

    /// Whether a step's filter lets it run for this call.
    pub fn is_meant(
        &mut self,
        step: &Step,
        plane: &Plane,
        route: Option<&ObjectRoute>,
        body: Option<&Bytes>,
        record: &mut Record,
    ) -> bool {
        match &step.filter {
            None => true,
            Some(filter) => self.lend(plane, route, body, record, |call| {
                filter.eval(&CallVariables::new(call))
            }),
        }
    }

    /// Runs one step in one phase.
    ///
    /// # Errors
    /// The plugin has answered the call itself.
    pub async fn run(
        &mut self,
        step: &Step,
        phase: Phase,
        plane: &Plane,
        route: Option<&ObjectRoute>,
        body: Option<&Bytes>,
        record: &mut Record,
    ) -> Result<(), CallError> {
        if !step.plugin.acts() {
            return Ok(());
        }
        if step.spec.is_auth && record.guest().is_some_and(|guest| guest.opens_objects) {
            // It is known already who calls.
            return Ok(());
        }
        if record.explains().is_some() {
            // Boxed: calls that are served shall not pay for its size.
            return Box::pin(self.explain(step, phase, plane, route, body, record)).await;
        }
        let flow = self.lend(plane, route, body, record, |call| {
            let runs = step
                .filter
                .as_ref()
                .is_none_or(|filter| filter.eval(&CallVariables::new(call)));
            match phase {
                _ if !runs => Flow::Next,
                Phase::Rewrite => step.plugin.rewrite(call),
                Phase::Access => step.plugin.access(call),
            }
        });
        match flow {
            Flow::Next => Ok(()),
            Flow::Answer(reply) => Err(CallError::of_plugin(step.error_response.as_deref(), *reply)),
            Flow::Wait(duration) => {
                tokio::time::sleep(duration).await;
                Ok(())
            }
            Flow::AnswerAfter(duration, reply) => {
                tokio::time::sleep(duration).await;
                Err(CallError::of_plugin(step.error_response.as_deref(), *reply))
            }
            Flow::Later(found_out) => {
                let later = found_out.await;
                record.at_end.extend(later.at_end);
                self.answer_headers.extend(later.answer_headers);
                record.answer_headers.clone_from(&self.answer_headers);
                match later.reply {
                    None => Ok(()),
                    Some(reply) => Err(CallError::of_plugin(step.error_response.as_deref(), *reply)),
                }
            }
        }
    }

    /// Asks a plugin what it would say, and notes it.
    async fn explain(
        &mut self,
        step: &Step,
        phase: Phase,
        plane: &Plane,
        route: Option<&ObjectRoute>,
        body: Option<&Bytes>,
        record: &mut Record,
    ) -> Result<(), CallError> {
        if !self.is_meant(step, plane, route, body, record) {
            return Ok(());
        }
        let mut flow = self.lend(plane, route, body, record, |call| match phase {
            Phase::Rewrite => Some(step.plugin.rewrite(call)),
            Phase::Access => step.plugin.preview(call),
        });
        if let Some(Flow::Later(found_out)) = flow {
            let later = found_out.await;
            self.answer_headers.extend(later.answer_headers);
            record.answer_headers.clone_from(&self.answer_headers);
            flow = Some(later.reply.map_or(Flow::Next, Flow::Answer));
        }
        // What ends with the call has not begun.
        record.at_end.clear();
        if let Some(explanation) = record.explains() {
            explanation.plugin(step.spec.name, phase, flow.as_ref());
        }
        match flow {
            Some(Flow::Answer(reply) | Flow::AnswerAfter(_, reply)) => {
                Err(CallError::of_plugin(step.error_response.as_deref(), *reply))
            }
            None | Some(Flow::Next | Flow::Wait(_) | Flow::Later(_)) => Ok(()),
        }
    }
}
