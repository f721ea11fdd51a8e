//! One read of a workspace.

use super::{
    Item, Store, failure::unavailable, keys, pause::Pauses, wire, wire_secret, wire_token,
};
use crate::{Cause, Records, StoreError, Wanted};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use envelope::WorkspaceId;
use std::collections::HashMap;

const READ: &str = "read";

impl Store {
    /// Reads the binding, the freeze, a token and what else is wanted, all
    /// consistently, in one call. What is not there is `None`.
    ///
    /// # Errors
    /// A record is broken, or DynamoDB could not be asked.
    pub async fn read(
        &self,
        workspace: &WorkspaceId,
        wanted: Wanted<'_>,
    ) -> Result<Records, StoreError> {
        let token = keys::token(wanted.token);
        let head = wanted.secret.map(keys::head);
        let version = wanted.secret.zip(wanted.version);
        let version_sk = version.map(|(name, number)| keys::version(name, number));
        let idempotency = wanted.idempotency.map(keys::idempotency);
        let state = wanted.state.then_some(keys::STATE);
        let sks = [
            Some(keys::BINDING),
            Some(keys::FREEZE),
            state,
            Some(token.as_str()),
            head.as_deref(),
            version_sk.as_deref(),
            idempotency.as_deref(),
        ];
        let mut found = self
            .read_items(&keys::workspace(workspace), sks.into_iter().flatten())
            .await?;
        let mut take = |sk: Option<&str>| sk.and_then(|sk| found.remove(sk));

        let mut records = Records {
            binding: take(Some(keys::BINDING))
                .map(|item| wire::binding(workspace, item))
                .transpose()?,
            freeze: take(Some(keys::FREEZE)).map(wire::freeze).transpose()?,
            state: take(state).map(wire::state).transpose()?,
            token: take(Some(&token))
                .map(|item| wire_token::token(workspace, wanted.token.as_str(), item))
                .transpose()?,
            ..Records::default()
        };
        if let (Some(name), Some(item)) = (wanted.secret, take(head.as_deref())) {
            records.head = Some(wire_secret::head(workspace, name, item)?);
        }
        if let (Some((name, number)), Some(item)) = (version, take(version_sk.as_deref())) {
            records.version = Some(wire_secret::version(workspace, name, number, item)?);
        }
        if let (Some(id), Some(item)) = (wanted.idempotency, take(idempotency.as_deref())) {
            records.idempotency = Some(wire_secret::idempotency(id, item)?);
        }
        Ok(records)
    }

    /// The items at these sort keys, by sort key. What DynamoDB left out is
    /// asked for again, a few times.
    async fn read_items(
        &self,
        pk: &str,
        sks: impl Iterator<Item = &str>,
    ) -> Result<HashMap<String, Item>, StoreError> {
        let keys = sks.map(|sk| keys::primary(pk, sk)).collect();
        let request = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build();
        let request = request.expect("a batch has keys");
        let mut left = HashMap::from([(self.table.clone(), request)]);
        let mut found = HashMap::new();
        let mut pauses = Pauses::new();
        loop {
            let call = self.client.batch_get_item().set_request_items(Some(left));
            let output = call
                .send()
                .await
                .map_err(|error| unavailable(READ, &error))?;
            for item in output
                .responses
                .into_iter()
                .flat_map(|mut tables| tables.remove(&self.table))
                .flatten()
            {
                let sk = sk(&item)?.to_owned();
                found.insert(sk, item);
            }
            left = output.unprocessed_keys.unwrap_or_default();
            if left.is_empty() {
                return Ok(found);
            }
            if !pauses.pause().await {
                return Err(StoreError::Unavailable(Cause {
                    operation: READ,
                    kind: "keys left unread",
                    code: None,
                    request_id: None,
                }));
            }
        }
    }
}

/// The sort key of an item: what its place says it is.
pub(super) fn sk(item: &Item) -> Result<&str, StoreError> {
    match item.get("sk") {
        Some(AttributeValue::S(sk)) => Ok(sk),
        _ => Err(StoreError::Broken("record")),
    }
}
