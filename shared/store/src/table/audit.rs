//! Audit records: the use that begins and ends, and the lists.

use super::{
    Store,
    condition::Condition,
    failure::{unavailable, unwritten},
    keys,
    list::{PAGE_MAX, Range},
    wire_audit::{audit_item, audit_record, outcome_value},
};
use crate::{AuditEntry, AuditOutcome, AuditRecord, Page, ReceiptId, StoreError, Which};
use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::ReturnValuesOnConditionCheckFailure,
};
use envelope::WorkspaceId;
use futures_util::future::try_join_all;
use time::Date;

impl Store {
    /// Stores what is about to be done. Without it, it must not be done.
    ///
    /// # Errors
    /// `Audit` where another record has this id. `TooLarge`.
    pub async fn begin_use(
        &self,
        workspace: &WorkspaceId,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let item = audit_item(workspace, entry.into())?;
        let item = keys::placed(
            &keys::audit(workspace, &entry.id),
            &entry.id.to_string(),
            item,
        );
        let result = self
            .client
            .put_item()
            .table_name(&self.audit_table)
            .set_item(Some(item.clone()))
            .condition_expression(Condition::absent().expression)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            return Ok(());
        };
        // An attempt whose answer was lost may have landed: then what is there is this very record.
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(found))
                if found.item() == Some(&item) =>
            {
                Ok(())
            }
            _ => Err(unwritten("begin use", Which::Audit, &error)),
        }
    }

    /// Adds how it went, once.
    ///
    /// # Errors
    /// `Audit` where there is no such record, or it has another outcome already. `TooLarge`.
    pub async fn finish_use(
        &self,
        workspace: &WorkspaceId,
        id: &ReceiptId,
        outcome: &AuditOutcome,
    ) -> Result<(), StoreError> {
        const OUTCOME: &str = "outcome";
        let value = outcome_value(outcome)?;
        let result = self
            .client
            .update_item()
            .table_name(&self.audit_table)
            .set_key(Some(keys::primary(
                &keys::audit(workspace, id),
                &id.to_string(),
            )))
            .update_expression("SET #outcome = :outcome")
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(#outcome)")
            .expression_attribute_names("#outcome", OUTCOME)
            .expression_attribute_values(":outcome", value.clone())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(found))
                if found.item().and_then(|item| item.get(OUTCOME)) == Some(&value) =>
            {
                Ok(())
            }
            _ => Err(unwritten("finish use", Which::Audit, &error)),
        }
    }

    /// A day's audit records, in UTC, in the order of their ids.
    ///
    /// # Errors
    /// A record is broken, or DynamoDB could not be asked.
    pub async fn list_audit(
        &self,
        workspace: &WorkspaceId,
        day: Date,
        after: Option<&ReceiptId>,
        limit: u32,
    ) -> Result<Page<AuditRecord>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let after = after.map(ToString::to_string);
        // The page may lie in one shard alone, so each is asked for all of it.
        let shards = (0..ReceiptId::SHARDS).map(|shard| {
            let range = Range::of_audit(self, keys::audit_shard(workspace, day, shard));
            let after = after.as_deref();
            async move {
                range
                    .list(after, limit, |id, item| {
                        audit_record(workspace, id, item).map(Some)
                    })
                    .await
            }
        });
        let shards = try_join_all(shards).await?;
        // A shard is known up to where its page ends, so the day is known up to the first such end.
        let mut next = shards.iter().filter_map(|shard| shard.next.clone()).min();
        let mut items: Vec<AuditRecord> =
            shards.into_iter().flat_map(|shard| shard.items).collect();
        items.retain(|record| {
            next.as_ref()
                .is_none_or(|end| record.entry.id.to_string() <= *end)
        });
        items.sort_unstable_by_key(|record| record.entry.id);
        if items.len() > limit as usize {
            items.truncate(limit as usize);
            next = items.last().map(|record| record.entry.id.to_string());
        }
        Ok(Page { items, next })
    }

    /// One audit record, by its id.
    ///
    /// # Errors
    /// The record is broken, or DynamoDB could not be asked.
    pub async fn read_receipt(
        &self,
        workspace: &WorkspaceId,
        id: &ReceiptId,
    ) -> Result<Option<AuditRecord>, StoreError> {
        let output = self
            .client
            .get_item()
            .table_name(&self.audit_table)
            .set_key(Some(keys::primary(
                &keys::audit(workspace, id),
                &id.to_string(),
            )))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable("read receipt", &error))?;
        output
            .item
            .map(|item| audit_record(workspace, &id.to_string(), item))
            .transpose()
    }
}
