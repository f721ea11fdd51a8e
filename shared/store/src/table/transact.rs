//! Transactions: all of their writes land, or none.

use super::{
    Item, Store,
    condition::Condition,
    failure::{Attempt, uncommitted},
    keys,
    pause::Pauses,
    wire_audit::audit_item,
    wire_idempotency::idempotency_item,
};
use crate::{Actor, Audit, IdempotencyRecord, StoreError, TokenId, Which};
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use envelope::WorkspaceId;
use std::collections::HashMap;
use time::OffsetDateTime;

/// A transaction in the making. Where several conditions fail, the caller is
/// told the first: so what outranks the others is added first.
pub(super) struct Transaction<'a> {
    store: &'a Store,
    workspace: &'a WorkspaceId,
    pk: String,
    conditions: Vec<Which>,
    items: Vec<TransactWriteItem>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(store: &'a Store, workspace: &'a WorkspaceId) -> Self {
        let pk = keys::workspace(workspace);
        Self {
            store,
            workspace,
            pk,
            conditions: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Writes a record of the workspace.
    pub(super) fn put(&mut self, sk: &str, item: Item, which: Which, condition: Condition) {
        let item = keys::placed(&self.pk, sk, item);
        self.add_put(self.store.table.clone(), item, which, Some(condition));
    }

    /// Writes a record that is advice alone, or a freeze, over whatever is there.
    pub(super) fn overwrite(&mut self, sk: &str, item: Item, which: Which) {
        let item = keys::placed(&self.pk, sk, item);
        self.add_put(self.store.table.clone(), item, which, None);
    }

    /// Writes which job lives in the workspace.
    pub(super) fn put_live_job(&mut self, item: Item, which: Which, condition: Condition) {
        let item = keys::placed(keys::LIVE_JOBS, self.workspace.as_str(), item);
        self.add_put(self.store.table.clone(), item, which, Some(condition));
    }

    /// Deletes what says which job lives in the workspace.
    pub(super) fn delete_live_job(&mut self, which: Which, condition: Condition) {
        let place = keys::primary(keys::LIVE_JOBS, self.workspace.as_str());
        self.add_delete(place, which, condition);
    }

    /// Changes attributes of a record of the workspace and takes others away.
    pub(super) fn update(
        &mut self,
        sk: &str,
        set: Item,
        remove: &[&str],
        which: Which,
        condition: Condition,
    ) {
        let place = keys::primary(&self.pk, sk);
        self.add(
            which,
            update(&self.store.table, place, set, remove, condition),
        );
    }

    /// Checks a record of the workspace that is not written.
    pub(super) fn check(&mut self, sk: &str, which: Which, condition: Condition) {
        let place = keys::primary(&self.pk, sk);
        self.add(which, check(&self.store.table, place, condition));
    }

    /// Checks that a token is still there.
    pub(super) fn check_token(&mut self, id: &TokenId) {
        self.check(&keys::token(id), Which::Token, Condition::exists());
    }

    /// Checks that the token of whoever asked is still there: one that is revoked
    /// while its request is under way changes nothing more.
    /// Not of the token that the transaction itself writes: one item, one condition.
    pub(super) fn check_actor(&mut self, audit: &Audit<'_>, written: Option<&TokenId>) {
        if let Actor::Token(id) = &audit.entry.token
            && written != Some(id)
        {
            self.check_token(id);
        }
    }

    /// Checks that the workspace is not frozen.
    pub(super) fn check_not_frozen(&mut self) {
        self.check(keys::FREEZE, Which::Frozen, Condition::not_frozen());
    }

    /// Writes the record of an `Idempotency-Key`, if there was one.
    pub(super) fn remember(
        &mut self,
        record: Option<&IdempotencyRecord>,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        if let Some(record) = record {
            self.put(
                &keys::idempotency(&record.id),
                idempotency_item(record)?,
                Which::Idempotency,
                Condition::absent_or_expired(now),
            );
        }
        Ok(())
    }

    /// Deletes a record of the workspace.
    pub(super) fn delete(&mut self, sk: &str, which: Which, condition: Condition) {
        self.add_delete(keys::primary(&self.pk, sk), which, condition);
    }

    /// Writes the audit record and commits. What someone asked for has one; what a
    /// job does by itself its own records tell.
    ///
    /// # Errors
    /// A condition does not hold, a record is too large, or DynamoDB could not be asked.
    pub(super) async fn commit(
        mut self,
        operation: &'static str,
        audit: Option<Audit<'_>>,
    ) -> Result<(), StoreError> {
        if let Some(audit) = audit {
            let pk = keys::audit(self.workspace, &audit.entry.id);
            let item = keys::placed(
                &pk,
                &audit.entry.id.to_string(),
                audit_item(self.workspace, audit)?,
            );
            self.add_put(
                self.store.audit_table.clone(),
                item,
                Which::Audit,
                Some(Condition::absent()),
            );
        }

        // One token for all attempts: one whose answer was lost does not land twice.
        let token = fresh_token();
        let mut pauses = Pauses::new();
        loop {
            let call = self.store.client.transact_write_items();
            let call = call
                .client_request_token(&token)
                .set_transact_items(Some(self.items.clone()));
            let Err(error) = call.send().await else {
                return Ok(());
            };
            match uncommitted(operation, &self.conditions, &error) {
                Attempt::Failed(error) => return Err(error),
                Attempt::Contended(error) => {
                    if !pauses.pause().await {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn add_put(&mut self, table: String, item: Item, which: Which, condition: Option<Condition>) {
        let mut put = Put::builder().table_name(table).set_item(Some(item));
        if let Some(condition) = condition {
            put = put
                .condition_expression(condition.expression)
                .set_expression_attribute_names(condition.names)
                .set_expression_attribute_values(condition.values);
        }
        let put = put.build().expect("a put has an item and a table");
        self.add(which, TransactWriteItem::builder().put(put).build());
    }

    fn add_delete(&mut self, place: Item, which: Which, condition: Condition) {
        let delete = Delete::builder()
            .table_name(&self.store.table)
            .set_key(Some(place))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values)
            .build()
            .expect("a deletion has a key and a table");
        self.add(which, TransactWriteItem::builder().delete(delete).build());
    }

    fn add(&mut self, which: Which, item: TransactWriteItem) {
        self.conditions.push(which);
        self.items.push(item);
    }
}

/// One check within a transaction: of the record at `place`, which is not written.
pub(super) fn check(table: &str, place: Item, condition: Condition) -> TransactWriteItem {
    let check = ConditionCheck::builder()
        .table_name(table)
        .set_key(Some(place))
        .condition_expression(condition.expression)
        .set_expression_attribute_names(condition.names)
        .set_expression_attribute_values(condition.values)
        .build()
        .expect("a check has a key, a table and a condition");
    TransactWriteItem::builder().condition_check(check).build()
}

/// One update within a transaction: of the record at `place`, which its condition
/// says is there.
pub(super) fn update(
    table: &str,
    place: Item,
    set: Item,
    remove: &[&str],
    condition: Condition,
) -> TransactWriteItem {
    let mut names: HashMap<String, String> = condition.names.unwrap_or_default();
    let mut values = condition.values.unwrap_or_default();
    let mut sets = Vec::with_capacity(set.len());
    for (n, (name, value)) in set.into_iter().enumerate() {
        names.insert(format!("#s{n}"), name);
        values.insert(format!(":s{n}"), value);
        sets.push(format!("#s{n} = :s{n}"));
    }
    let mut expression = format!("SET {}", sets.join(", "));
    for (n, name) in remove.iter().enumerate() {
        names.insert(format!("#r{n}"), (*name).to_owned());
        expression += if n == 0 { " REMOVE " } else { ", " };
        expression += &format!("#r{n}");
    }
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(place))
        .update_expression(expression)
        .condition_expression(condition.expression)
        .set_expression_attribute_names(Some(names))
        .set_expression_attribute_values(Some(values))
        .build()
        .expect("an update has a key, a table and an expression");
    TransactWriteItem::builder().update(update).build()
}

/// 128 random bits, in 22 of the 36 characters that DynamoDB allows.
pub(super) fn fresh_token() -> String {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    BASE64_URL_SAFE_NO_PAD.encode(random)
}
