//! What DynamoDB's refusals mean. Told apart by kind and code, never by text.

use crate::{Cause, StoreError, Which};
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, transact_write_items::TransactWriteItemsError},
    types::CancellationReason,
};

/// The reason of a write whose condition did not hold.
const CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// A failed read, or anything else that is not a condition.
pub(super) fn unavailable<E>(operation: &'static str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata,
    SdkError<E>: RequestId,
{
    let kind = match error {
        SdkError::ConstructionFailure(_) => "not sent",
        SdkError::TimeoutError(_) => "timed out",
        SdkError::DispatchFailure(_) => "not reached",
        SdkError::ResponseError(_) => "answer not readable",
        SdkError::ServiceError(_) => "refused",
        _ => "failed",
    };
    StoreError::Unavailable(Cause {
        operation,
        kind,
        code: code(error).map(str::to_owned),
        request_id: error.request_id().map(str::to_owned),
    })
}

/// A failed write of one item, of which `which` is the condition.
pub(super) fn unwritten<E>(operation: &'static str, which: Which, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata,
    SdkError<E>: RequestId,
{
    match code(error) {
        Some("ConditionalCheckFailedException") => StoreError::Conflict(which),
        Some(code) if is_size(code) => StoreError::TooLarge,
        _ => unavailable(operation, error),
    }
}

/// What became of one attempt of a transaction.
pub(super) enum Attempt {
    /// Another transaction held one of the items; the same one may land a moment later.
    Contended(StoreError),
    /// It will not land.
    Failed(StoreError),
}

/// A failed transaction. `conditions` are those of its items, in order: DynamoDB
/// gives one reason for each, in the same order.
pub(super) fn uncommitted(
    operation: &'static str,
    conditions: &[Which],
    error: &SdkError<TransactWriteItemsError>,
) -> Attempt {
    let other = || unavailable(operation, error);
    let Some(refusal) = error.as_service_error() else {
        return Attempt::Failed(other());
    };
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = refusal else {
        return match refusal.code() {
            Some("TransactionInProgressException") => Attempt::Contended(other()),
            Some(code) if is_size(code) => Attempt::Failed(StoreError::TooLarge),
            _ => Attempt::Failed(other()),
        };
    };
    let reasons = codes(cancelled.cancellation_reasons());
    let first = |wanted: &str| {
        conditions
            .iter()
            .zip(&reasons)
            .find(|(_, reason)| **reason == wanted)
            .map(|(which, _)| *which)
    };
    let failed = first(CONDITION_FAILED).map(StoreError::Conflict);
    if let Some(contended) = first("TransactionConflict") {
        // Asked again even where a condition failed: what holds the other item
        // may be the very request that an `Idempotency-Key` repeats.
        return Attempt::Contended(failed.unwrap_or_else(|| match contended {
            // Another write of the same secret is what held it.
            Which::Head | Which::Version => StoreError::Conflict(contended),
            _ => other(),
        }));
    }
    Attempt::Failed(match failed {
        Some(conflict) => conflict,
        None if reasons.iter().any(|reason| is_size(reason)) => StoreError::TooLarge,
        None => other(),
    })
}

/// For each write of a cancelled transaction, in order, whether its condition failed.
/// `None` where the transaction was not cancelled.
pub(super) fn failed_conditions(error: &SdkError<TransactWriteItemsError>) -> Option<Vec<bool>> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => Some(
            codes(cancelled.cancellation_reasons())
                .into_iter()
                .map(|code| code == CONDITION_FAILED)
                .collect(),
        ),
        _ => None,
    }
}

fn codes(reasons: &[CancellationReason]) -> Vec<&str> {
    reasons
        .iter()
        .map(|reason| reason.code().unwrap_or_default())
        .collect()
}

/// The codes by which DynamoDB says that an item is too large. A request of
/// ours is invalid in no other way.
fn is_size(code: &str) -> bool {
    matches!(
        code,
        "ValidationException"
            | "ValidationError"
            | "ItemCollectionSizeLimitExceededException"
            | "ItemCollectionSizeLimitExceeded"
    )
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}
