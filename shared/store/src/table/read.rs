//! One read of a workspace.

use super::{
    Item, Store, failure::unavailable, keys, pause::Pauses, wire, wire_authority, wire_idempotency,
    wire_secret, wire_token, wire_version,
};
use crate::{
    Attested, Cause, Head, IdempotencyId, Records, StoreError, TokenId, TokenRecord, Wanted,
};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use envelope::{RecordKind, SecretName, SecretVersion, WorkspaceId};
use std::collections::HashMap;

const READ: &str = "read";

/// What one read found, undecoded: nothing of it but the token is looked at before
/// the token has passed, so that a record that is broken, or large, tells nothing
/// to whoever may not know of it.
pub struct Found {
    workspace: WorkspaceId,
    token: TokenId,
    secret: Option<SecretName>,
    version: Option<SecretVersion>,
    idempotency: Option<IdempotencyId>,
    items: HashMap<String, Item>,
}

impl Store {
    /// Reads the binding, the freeze, a token and what else is wanted, all
    /// consistently, in one call.
    ///
    /// # Errors
    /// DynamoDB could not be asked.
    pub async fn find(
        &self,
        workspace: &WorkspaceId,
        wanted: Wanted<'_>,
    ) -> Result<Found, StoreError> {
        let found = Found {
            workspace: workspace.clone(),
            token: wanted.token.clone(),
            secret: wanted.secret.cloned(),
            version: wanted.version,
            idempotency: wanted.idempotency.cloned(),
            items: HashMap::new(),
        };
        let optional = [
            wanted.state.then(|| keys::STATE.to_owned()),
            found.secret.as_ref().map(keys::head),
            found.version_sk(),
            found.idempotency.as_ref().map(keys::idempotency),
        ];
        let sks: Vec<String> = [keys::BINDING.to_owned(), keys::FREEZE.to_owned()]
            .into_iter()
            .chain([keys::token(wanted.token)])
            .chain(optional.into_iter().flatten())
            .collect();
        let items = self
            .read_items(&keys::workspace(workspace), sks.iter().map(String::as_str))
            .await?;
        Ok(Found { items, ..found })
    }

    /// [`find`](Self::find), decoded at once: for a caller who has been admitted.
    ///
    /// # Errors
    /// A record is broken, or DynamoDB could not be asked.
    pub async fn read(
        &self,
        workspace: &WorkspaceId,
        wanted: Wanted<'_>,
    ) -> Result<Records, StoreError> {
        self.find(workspace, wanted).await?.records()
    }

    /// The items at these sort keys, by sort key. What DynamoDB left out is
    /// asked for again, a few times.
    pub(super) async fn read_items(
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

impl Found {
    /// The token's record.
    ///
    /// # Errors
    /// It is broken.
    pub fn token(&self) -> Result<Option<TokenRecord>, StoreError> {
        self.items
            .get(&keys::token(&self.token))
            .map(|item| wire_token::token(&self.workspace, self.token.as_str(), item))
            .transpose()
    }

    /// What gives authority among what was found, raw: the token and the binding. A
    /// record that is not there is not among them.
    #[must_use]
    pub fn attested(&self) -> Vec<Attested> {
        let pk = keys::workspace(&self.workspace);
        [
            (RecordKind::Token, keys::token(&self.token)),
            (RecordKind::Binding, keys::BINDING.to_owned()),
        ]
        .into_iter()
        .filter_map(|(kind, sk)| {
            let item = self.items.get(&sk)?;
            Some(wire_authority::attested(kind, &pk, &sk, item))
        })
        .collect()
    }

    /// Everything that was found; what is not there is `None`.
    ///
    /// # Errors
    /// A record is broken.
    pub fn records(mut self) -> Result<Records, StoreError> {
        let mut records = Records {
            token: self.token()?,
            ..Records::default()
        };
        let version_sk = self.version_sk();
        let mut take = |sk: &str| self.items.remove(sk);
        records.binding = take(keys::BINDING)
            .map(|item| wire::binding(&self.workspace, &item))
            .transpose()?;
        records.freeze = take(keys::FREEZE).map(wire::freeze).transpose()?;
        records.state = take(keys::STATE).map(wire::state).transpose()?;
        if let Some(name) = &self.secret {
            records.head = take(&keys::head(name))
                .map(|item| wire_secret::head(&self.workspace, name, item))
                .transpose()?;
        }
        if let (Some(name), Some(number), Some(sk)) = (&self.secret, self.version, version_sk) {
            // What a deletion left, if it was interrupted, is nobody's any more.
            let live = records.head.as_ref().and_then(Head::live);
            records.version = take(&sk)
                .map(|item| wire_version::earlier(&self.workspace, name, number, item))
                .transpose()?
                .filter(|_| live.is_some_and(|head| head.has_numbered(number)));
        }
        if let Some(id) = &self.idempotency {
            records.idempotency = take(&keys::idempotency(id))
                .map(|item| wire_idempotency::idempotency(id, item))
                .transpose()?;
        }
        Ok(records)
    }

    fn version_sk(&self) -> Option<String> {
        let (name, version) = self.secret.as_ref().zip(self.version)?;
        Some(keys::version(name, version))
    }
}

/// The sort key of an item: what its place says it is.
pub(super) fn sk(item: &Item) -> Result<&str, StoreError> {
    match item.get("sk") {
        Some(AttributeValue::S(sk)) => Ok(sk),
        _ => Err(StoreError::Broken("record")),
    }
}
