//! Secrets: put, delete, list.

use super::{
    Item, Store, condition::Condition, failure::unavailable, keys, list::Range, pause::Pauses,
    read::sk, transact::Transaction, wire_secret, wire_version,
};
use crate::{
    Audit, Cause, Head, HeadStamp, IdempotencyRecord, LiveHead, Page, PutSecret, Revision,
    SecretPattern, SecretSummary, StoreError, Tombstone, Which,
};
use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use envelope::{SecretName, SecretVersion, WorkspaceId};
use std::collections::HashMap;

const DELETE: &str = "delete secret";
/// As many deletions as BatchWriteItem takes.
const BATCH: usize = 25;

impl Store {
    /// Makes a new version the head and archives the former one, in one
    /// transaction with everything that it is conditional on. Returns the head's
    /// new revision.
    ///
    /// # Errors
    /// `Token` where the token is gone, `Frozen` where the workspace is,
    /// `Idempotency` where the key's record exists and counts, `Binding` where
    /// the binding moved, `Head` where the head did or the number does not
    /// follow it; the first of these that holds. `TooLarge`.
    pub async fn put_secret<'a>(
        &self,
        workspace: &WorkspaceId,
        put: &PutSecret<'_>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Revision, StoreError> {
        if Head::next_version(put.former) != Some(put.new.version) {
            return Err(StoreError::Conflict(Which::Head));
        }
        let former = put.former.and_then(Head::live);
        let number = put.new.version;
        let head = LiveHead {
            name: put.name.clone(),
            stored: put.new.clone(),
            first: former.map_or(number, |former| former.first),
            last: number,
            revision: Head::next_revision(put.former),
            created_at: former.map_or(put.now, |former| former.created_at),
            updated_at: put.now,
        };
        let unmoved = match put.former {
            Some(former) => Condition::revision(former.stamp().revision),
            None => Condition::absent(),
        };

        let mut write = Transaction::new(self, workspace);
        write.check_token(put.token);
        write.check_not_frozen();
        write.remember(put.idempotency, put.now)?;
        write.check(
            keys::BINDING,
            Which::Binding,
            Condition::revision(put.binding_revision),
        );
        write.put(
            &keys::head(put.name),
            wire_secret::live_item(workspace, &head)?,
            Which::Head,
            unmoved,
        );
        if let Some(former) = former {
            let archive = wire_version::earlier_item(workspace, put.name, &former.stored)?;
            let sk = keys::version(put.name, former.stored.version);
            write.put(&sk, archive, Which::Head, Condition::absent());
        }
        write.commit("put secret", Some(audit.into())).await?;
        Ok(head.revision)
    }

    /// Leaves a tombstone in a secret's place and deletes its earlier versions.
    /// Of a tombstone it deletes the versions that an interrupted deletion left,
    /// and writes nothing; so a deletion that failed is safe to repeat on what a
    /// new read shows. What is left meanwhile is no version of what is put there next.
    ///
    /// # Errors
    /// `Token` where the token of whoever asked is gone, `Idempotency` where the key's
    /// record exists and counts, `Head` where it is no longer the one that was read; the
    /// first of these that holds.
    pub async fn delete_secret<'a>(
        &self,
        workspace: &WorkspaceId,
        name: &SecretName,
        head: &HeadStamp,
        idempotency: Option<&IdempotencyRecord>,
        audit: impl Into<Audit<'a>>,
    ) -> Result<(), StoreError> {
        if !head.deleted {
            let audit = audit.into();
            let tombstone = Tombstone {
                last: head.last,
                revision: head.revision.next(),
                deleted_at: audit.entry.at,
            };
            let item = wire_secret::tombstone_item(workspace, name, &tombstone)?;
            let mut write = Transaction::new(self, workspace);
            write.check_actor(&audit, None);
            write.remember(idempotency, audit.entry.at)?;
            write.put(
                &keys::head(name),
                item,
                Which::Head,
                Condition::revision(head.revision),
            );
            write.commit(DELETE, Some(audit)).await?;
        }
        self.delete_versions(workspace, name, head.last).await
    }

    /// A workspace's secrets by name, tombstones left out; of a `reach`, those
    /// that it matches, and no cursor outside of it. Asks for no sealed bytes.
    ///
    /// # Errors
    /// A head is broken, or DynamoDB could not be asked.
    pub async fn list_secrets(
        &self,
        workspace: &WorkspaceId,
        reach: Option<&[SecretPattern]>,
        after: Option<&SecretName>,
        limit: u32,
    ) -> Result<Page<SecretSummary>, StoreError> {
        let pk = keys::workspace(workspace);
        let parse = |name: &str, item| wire_secret::summary(workspace, name, item);
        let Some(reach) = reach else {
            let range = Range::prefixed(self, pk, keys::HEADS).only(wire_secret::SUMMARY);
            return range
                .list(after.map(SecretName::as_str), limit, parse)
                .await;
        };
        let mut items: Vec<SecretSummary> = Vec::new();
        for pattern in SecretPattern::disjoint(reach) {
            let room = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            if room == 0 {
                let next = items.last().map(|last| last.name.to_string());
                return Ok(Page { items, next });
            }
            let range =
                Range::matching(self, pk.clone(), pattern, after).only(wire_secret::SUMMARY);
            let page = range.list(None, room, parse).await?;
            items.extend(page.items);
            if page.next.is_some() {
                return Ok(Page {
                    items,
                    next: page.next,
                });
            }
        }
        Ok(Page { items, next: None })
    }

    /// Deletes the archived versions up to `last`. None above it: a secret that
    /// was put anew meanwhile goes on counting from there. Unconditional, since
    /// their numbers are never used again.
    async fn delete_versions(
        &self,
        workspace: &WorkspaceId,
        name: &SecretName,
        last: SecretVersion,
    ) -> Result<(), StoreError> {
        let pk = keys::workspace(workspace);
        let numbers = (SecretVersion::FIRST, last);
        let range = Range::versions(self, pk.clone(), name, numbers).only(&[]);
        let mut after = None;
        loop {
            let (items, more) = range.query(after, None).await?;
            for batch in items.chunks(BATCH) {
                self.delete_batch(&pk, batch).await?;
            }
            after = more;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete_batch(&self, pk: &str, items: &[Item]) -> Result<(), StoreError> {
        let mut deletions = Vec::with_capacity(items.len());
        for item in items {
            let delete = DeleteRequest::builder()
                .set_key(Some(keys::primary(pk, sk(item)?)))
                .build();
            let delete = delete.expect("a deletion has a key");
            deletions.push(WriteRequest::builder().delete_request(delete).build());
        }
        let mut left = HashMap::from([(self.table.clone(), deletions)]);
        let mut pauses = Pauses::new();
        loop {
            let call = self.client.batch_write_item().set_request_items(Some(left));
            let output = call
                .send()
                .await
                .map_err(|error| unavailable(DELETE, &error))?;
            left = output.unprocessed_items.unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
            if !pauses.pause().await {
                return Err(StoreError::Unavailable(Cause {
                    operation: DELETE,
                    kind: "versions left undeleted",
                    code: None,
                    request_id: None,
                }));
            }
        }
    }
}
