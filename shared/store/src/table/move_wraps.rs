//! Wraps moved to another KEK, many in one transaction. That they share one makes them
//! fewer calls; each stands for itself.

use super::{
    Store,
    condition::Condition,
    failure::{Attempt, failed_conditions, uncommitted},
    keys,
    pause::Pauses,
    transact::{check, fresh_token, update},
    wire_wrap,
};
use crate::{Moved, Revision, StoreError, Which, WrapItem, WrapPlace};
use aws_sdk_dynamodb::types::TransactWriteItem;
use envelope::{WorkspaceId, WrappedDataKey};
use std::collections::VecDeque;

const MOVE: &str = "move wraps";
/// As many moves as one transaction has: half of what DynamoDB takes, since items of
/// 64 KiB and more count in whole towards its 4 MB.
const BATCH: usize = 50;

/// The check of the binding comes first in every transaction.
const CHECKS: usize = 1;

/// One write of a batch, and which of the moves it is.
type Write = (usize, TransactWriteItem);

impl Store {
    /// Stores new wraps in the place of those that were read, each on the condition that
    /// it is still there, and that the binding that they were made for is still the
    /// workspace's, so that nothing comes to lie under a key that was replaced meanwhile; a
    /// head's revision goes up. Says of each, in order, whether it was. No audit record is
    /// written: the job's own records tell.
    ///
    /// # Errors
    /// `Binding` where that moved; DynamoDB could not be asked, or others kept holding a
    /// record. Some may have moved before.
    pub async fn move_wraps(
        &self,
        workspace: &WorkspaceId,
        binding: Revision,
        moves: &[(&WrapItem, &WrappedDataKey)],
    ) -> Result<Vec<Moved>, StoreError> {
        let mut moved = vec![Moved::Changed; moves.len()];
        let mut writes = Vec::with_capacity(moves.len());
        for (n, (item, wrapped)) in moves.iter().enumerate() {
            writes.push((n, self.move_of(workspace, item, wrapped)?));
        }
        let check = check(
            &self.table,
            keys::primary(&keys::workspace(workspace), keys::BINDING),
            Condition::revision(binding),
        );
        let mut batches: VecDeque<Vec<Write>> =
            writes.chunks(BATCH).map(<[Write]>::to_vec).collect();
        while let Some(mut batch) = batches.pop_front() {
            match self.move_batch(&check, &mut batch).await {
                Ok(()) => batch.iter().for_each(|(n, _)| moved[*n] = Moved::Yes),
                // Each fits, but not all of them together.
                Err(StoreError::TooLarge) if batch.len() > 1 => {
                    let half = batch.split_off(batch.len() / 2);
                    batches.push_front(half);
                    batches.push_front(batch);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    fn move_of(
        &self,
        workspace: &WorkspaceId,
        item: &WrapItem,
        wrapped: &WrappedDataKey,
    ) -> Result<TransactWriteItem, StoreError> {
        let (sk, set, condition) = match item.place {
            WrapPlace::Head(revision) => (
                keys::head(&item.name),
                wire_wrap::moved_head(wrapped, revision.next())?,
                Condition::head_with(revision, &item.wrapped),
            ),
            WrapPlace::Earlier => (
                keys::version(&item.name, item.version),
                wire_wrap::moved(wrapped)?,
                Condition::earlier_with(&item.wrapped),
            ),
        };
        let place = keys::primary(&keys::workspace(workspace), &sk);
        Ok(update(&self.table, place, set, &[], condition))
    }

    /// Writes a batch, without those whose conditions fail: what is left in it has moved.
    async fn move_batch(
        &self,
        check: &TransactWriteItem,
        batch: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let mut pauses = Pauses::new();
        let mut token = fresh_token();
        while !batch.is_empty() {
            let writes = batch.iter().map(|(_, item)| item);
            let items = std::iter::once(check).chain(writes).cloned().collect();
            let call = self
                .client
                .transact_write_items()
                .client_request_token(&token)
                .set_transact_items(Some(items));
            let Err(error) = call.send().await else {
                return Ok(());
            };
            let failed = failed_conditions(&error).unwrap_or_default();
            if failed.first() == Some(&true) {
                return Err(StoreError::Conflict(Which::Binding));
            }
            if failed.contains(&true) {
                // A wrap that was replaced does not come back: KMS makes no two alike.
                let mut failed = failed.into_iter().skip(CHECKS);
                batch.retain(|_| !failed.next().unwrap_or(false));
                token = fresh_token();
                continue;
            }
            // No condition failed.
            match uncommitted(MOVE, &vec![Which::Audit; CHECKS + batch.len()], &error) {
                Attempt::Failed(error) => return Err(error),
                Attempt::Contended(error) => {
                    if !pauses.pause().await {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}
