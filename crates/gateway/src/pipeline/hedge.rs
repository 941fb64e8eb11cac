//! Hedging: a second attempt beside the first one, when that takes longer than first tokens usually do. The first to answer
//! wins, and the other one is left, which closes its connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use super::answer::Answer;
use super::attempt::{Common, Course, attempt};
use super::choose::Candidate;
use super::picks::{Pick, Picks};
use super::record::Slot;
use crate::error::{AttemptError, CallError};
use crate::pool::{Pool, Winner};

/// How two attempts have ended that were under way together.
enum Race {
    /// There was no second one.
    Alone(Result<Answer, AttemptError>),
    /// The first one has answered.
    First(Answer),
    /// The second one has answered; the first one may have failed by then.
    Second(Answer, Option<AttemptError>),
    /// Both have failed.
    Neither(AttemptError, AttemptError),
}

/// Makes an attempt, and another one beside it when `patience` is over. `None` if all that were made have failed.
///
/// # Errors
/// Quotas cannot be told, and the configuration says to refuse such calls.
pub async fn attempts(
    call: &Common<'_>,
    pick: Pick,
    patience: Duration,
    picks: &mut Picks<'_>,
    course: &mut Course,
) -> Result<Option<Answer>, CallError> {
    let Pick { candidate, account } = pick;
    let mut slot = Slot::new(call.record);
    let mut other: Option<Candidate> = None;
    let mut other_slot = Slot::new(call.record);
    let race = {
        let mut first = pin!(attempt(call, &candidate, slot.begin(&candidate, account)));
        let early = tokio::select! {
            biased;
            result = &mut first => Some(result),
            () = tokio::time::sleep(patience) => None,
        };
        match early {
            Some(result) => Race::Alone(result),
            None => match another(call, picks, &candidate.model.pool).await? {
                None => Race::Alone(first.await),
                Some(Pick { candidate, account }) => {
                    let other = &*other.insert(candidate);
                    let second = attempt(call, other, other_slot.begin(other, account));
                    race(first, pin!(second)).await
                }
            },
        }
    };
    let winner = match &race {
        Race::Alone(_) => None,
        Race::First(_) => Some(Winner::First),
        Race::Second(..) => Some(Winner::Second),
        Race::Neither(..) => Some(Winner::Neither),
    };
    if let Some(winner) = winner {
        candidate.model.pool.hedged(winner);
    }
    let (answer, failures) = match race {
        Race::Alone(Ok(answer)) => (Some(answer), [None, None]),
        Race::Alone(Err(failure)) => (None, [Some(failure), None]),
        Race::First(answer) => {
            other_slot.is_outrun();
            (Some(answer), [None, None])
        }
        Race::Second(answer, failure) => {
            slot.is_outrun();
            (Some(answer), [failure, None])
        }
        Race::Neither(first, second) => (None, [Some(first), Some(second)]),
    };
    let made = [(Some(&candidate), &mut slot), (other.as_ref(), &mut other_slot)];
    for (failure, (candidate, slot)) in failures.into_iter().zip(made) {
        if let (Some(failure), Some(candidate)) = (failure, candidate) {
            course.failed(failure, candidate, slot.end());
        }
    }
    Ok(answer)
}

/// Another instance for a second attempt, if there is one and the budget has one left.
async fn another(call: &Common<'_>, picks: &mut Picks<'_>, pool: &Pool) -> Result<Option<Pick>, CallError> {
    if !pool.may_hedge() {
        return Ok(None);
    }
    let pick = picks.next(call.record).await?;
    if pick.is_none() {
        pool.has_not_hedged();
    }
    Ok(pick)
}

async fn race<A, B>(mut first: Pin<&mut A>, mut second: Pin<&mut B>) -> Race
where
    A: Future<Output = Result<Answer, AttemptError>>,
    B: Future<Output = Result<Answer, AttemptError>>,
{
    tokio::select! {
        biased;
        result = &mut first => match result {
            Ok(answer) => Race::First(answer),
            Err(failure) => match second.await {
                Ok(answer) => Race::Second(answer, Some(failure)),
                Err(other) => Race::Neither(failure, other),
            },
        },
        result = &mut second => match result {
            Ok(answer) => Race::Second(answer, None),
            Err(other) => match first.await {
                Ok(answer) => Race::First(answer),
                Err(failure) => Race::Neither(failure, other),
            },
        },
    }
}
