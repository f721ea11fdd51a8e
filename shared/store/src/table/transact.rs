//! Transactions: all of their writes land, or none.

use super::{
    Item, Store,
    condition::Condition,
    failure::{Attempt, uncommitted},
    keys,
    pause::Pauses,
    wire_audit::audit_item,
};
use crate::{Actor, Audit, StoreError, TokenId, Which};
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use envelope::WorkspaceId;

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

    /// Writes a record that is advice alone, over whatever is there.
    pub(super) fn overwrite(&mut self, sk: &str, item: Item, which: Which) {
        let item = keys::placed(&self.pk, sk, item);
        self.add_put(self.store.table.clone(), item, which, None);
    }

    /// Checks a record of the workspace that is not written.
    pub(super) fn check(&mut self, sk: &str, which: Which, condition: Condition) {
        let check = ConditionCheck::builder()
            .table_name(&self.store.table)
            .set_key(Some(keys::primary(&self.pk, sk)))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(condition.names)
            .set_expression_attribute_values(condition.values)
            .build()
            .expect("a check has a key, a table and a condition");
        self.add(
            which,
            TransactWriteItem::builder().condition_check(check).build(),
        );
    }

    /// Checks that the token of whoever asked is still there: one that is revoked
    /// while its request is under way changes nothing more.
    /// Not of the token that the transaction itself writes: one item, one condition.
    pub(super) fn check_actor(&mut self, audit: &Audit<'_>, written: Option<&TokenId>) {
        if let Actor::Token(id) = &audit.entry.token
            && written != Some(id)
        {
            self.check(&keys::token(id), Which::Token, Condition::exists());
        }
    }

    /// Deletes a record of the workspace, which must be there.
    pub(super) fn delete(&mut self, sk: &str, which: Which) {
        let delete = Delete::builder()
            .table_name(&self.store.table)
            .set_key(Some(keys::primary(&self.pk, sk)))
            .condition_expression(Condition::exists().expression)
            .build()
            .expect("a deletion has a key and a table");
        self.add(which, TransactWriteItem::builder().delete(delete).build());
    }

    /// Writes the audit record, which belongs to every transaction, and commits.
    ///
    /// # Errors
    /// A condition does not hold, a record is too large, or DynamoDB could not be asked.
    pub(super) async fn commit(
        mut self,
        operation: &'static str,
        audit: Audit<'_>,
    ) -> Result<(), StoreError> {
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

    fn add(&mut self, which: Which, item: TransactWriteItem) {
        self.conditions.push(which);
        self.items.push(item);
    }
}

/// 128 random bits, in 22 of the 36 characters that DynamoDB allows.
fn fresh_token() -> String {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the operating system gives randomness");
    BASE64_URL_SAFE_NO_PAD.encode(random)
}
