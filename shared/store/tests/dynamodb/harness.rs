//! An embedded DynamoDB, a store over it, and records to put into it.

use crate::macs::Macs;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Region},
};
pub(crate) use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use envelope::{
    KeyArn, SealedSecret, SecretName, SecretVersion, WorkspaceId, WrappedDataKey, aws::AwsAccess,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::*;
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio::net::TcpListener;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-05 12:00:00.123456789 UTC);
pub(crate) const LATER: OffsetDateTime = datetime!(2026-11-05 13:00 UTC);

/// A store over fresh tables.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) workspace: WorkspaceId,
    pub(crate) token: TokenId,
    pub(crate) macs: Macs,
    raw: Client,
}

impl Bench {
    /// With both tables, and nothing in them.
    pub(crate) async fn empty() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(dynoxide::server::serve_on(
            listener,
            dynoxide::Database::memory().unwrap(),
        ));
        let access = AwsAccess::new("AKIALOCAL", "secret", None);
        let raw = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(access.http())
            .credentials_provider(access.credentials())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&endpoint)
            .build();
        let store = store_at(endpoint);
        store.create_tables().await.unwrap();
        Self {
            store,
            workspace: WorkspaceId::parse("acme").unwrap(),
            token: TokenId::of_token(b"first"),
            macs: Macs::new(),
            raw: Client::from_conf(raw),
        }
    }

    /// With a workspace that has a token and no key.
    pub(crate) async fn open() -> Self {
        let bench = Self::empty().await;
        let audit = entry(AuditKind::OpenWorkspace);
        bench
            .store
            .open_workspace(
                &bench.workspace,
                &token("first"),
                bench.macs.authority(),
                &audit,
            )
            .await
            .unwrap();
        bench
    }

    /// With a workspace that has a token and a key.
    pub(crate) async fn bound() -> Self {
        let bench = Self::open().await;
        bench.bind('a').await.unwrap();
        bench
    }

    pub(crate) async fn bind(&self, digit: char) -> Result<Revision, StoreError> {
        let change = self.change_of_key(self.binding().await, digit);
        self.bind_as(&change).await
    }

    pub(crate) fn change_of_key(&self, read: Binding, digit: char) -> BindKey<'static> {
        BindKey {
            read,
            key: key(digit),
            deployment_key: None,
            evidence: "probe".to_owned(),
            grade: Some(Grade::Strict),
            probes: "[]".to_owned(),
            idempotency: None,
            now: NOW,
        }
    }

    pub(crate) async fn bind_as(&self, change: &BindKey<'_>) -> Result<Revision, StoreError> {
        let audit = entry(AuditKind::BindKey);
        self.store
            .bind_key(&self.workspace, change, &self.macs.binding, &audit)
            .await
    }

    pub(crate) async fn binding(&self) -> Binding {
        self.read(self.wanted()).await.unwrap().binding.unwrap()
    }

    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            token: &self.token,
            secret: None,
            version: None,
            idempotency: None,
            state: false,
        }
    }

    pub(crate) async fn read(&self, wanted: Wanted<'_>) -> Result<Records, StoreError> {
        self.store.read(&self.workspace, wanted).await
    }

    pub(crate) async fn head(&self, name: &SecretName) -> Option<Head> {
        self.read(Wanted {
            secret: Some(name),
            ..self.wanted()
        })
        .await
        .unwrap()
        .head
    }

    /// A version as it can be used now: the head, or an earlier one.
    pub(crate) async fn version(&self, name: &SecretName, number: u64) -> Option<StoredVersion> {
        let number = version(number);
        let wanted = Wanted {
            secret: Some(name),
            version: Some(number),
            ..self.wanted()
        };
        let records = self.read(wanted).await.unwrap();
        match records.head {
            Some(Head::Live(head)) if head.stored.version == number => Some(head.stored),
            _ => records.version?.stored().cloned(),
        }
    }

    /// A secret's head, which is live.
    pub(crate) async fn live(&self, name: &SecretName) -> LiveHead {
        self.head(name).await.unwrap().live().unwrap().clone()
    }

    /// Whether a version is there and revoked.
    pub(crate) async fn is_revoked(&self, name: &SecretName, number: u64) -> bool {
        let wanted = Wanted {
            secret: Some(name),
            version: Some(version(number)),
            ..self.wanted()
        };
        let found = self.read(wanted).await.unwrap().version;
        matches!(found, Some(EarlierVersion::Revoked { .. }))
    }

    /// A change of the policy of a head, over the binding of [`Bench::bound`].
    pub(crate) fn policy_of<'a>(
        &'a self,
        read: &'a LiveHead,
        wrapped: &'a WrappedDataKey,
    ) -> ChangePolicy<'a> {
        ChangePolicy {
            read,
            wrapped,
            policy: r#"{"changed":true}"#,
            expires_at: None,
            binding_revision: Revision::new(1).unwrap(),
            token: &self.token,
            idempotency: None,
            now: LATER,
        }
    }

    pub(crate) async fn change_policy(
        &self,
        change: &ChangePolicy<'_>,
    ) -> Result<Revision, StoreError> {
        let audit = entry(AuditKind::ChangePolicy);
        self.store
            .change_policy(&self.workspace, change, &audit)
            .await
    }

    /// A promotion over the binding of [`Bench::bound`].
    pub(crate) fn promotion_of<'a>(
        &'a self,
        head: &'a LiveHead,
        version: &'a StoredVersion,
        wrapped: &'a WrappedDataKey,
    ) -> Promote<'a> {
        Promote {
            head,
            version,
            wrapped,
            binding_revision: Revision::new(1).unwrap(),
            token: &self.token,
            idempotency: None,
            now: LATER,
        }
    }

    pub(crate) async fn promote(&self, promote: &Promote<'_>) -> Result<Revision, StoreError> {
        let audit = entry(AuditKind::Promote);
        self.store.promote(&self.workspace, promote, &audit).await
    }

    /// Promotes an earlier version over what is there now.
    pub(crate) async fn promote_to(&self, name: &SecretName, number: u64) {
        let (head, earlier) = (self.live(name).await, self.version(name, number).await);
        let (earlier, wrapped) = (earlier.unwrap(), rewrapped(&format!("promoted {number}")));
        let promotion = self.promotion_of(&head, &earlier, &wrapped);
        self.promote(&promotion).await.unwrap();
    }

    pub(crate) fn revocation_of<'a>(
        &'a self,
        name: &'a SecretName,
        number: u64,
    ) -> RevokeVersion<'a> {
        RevokeVersion {
            name,
            version: version(number),
            token: &self.token,
            idempotency: None,
            now: LATER,
        }
    }

    pub(crate) async fn revoke(&self, revoke: &RevokeVersion<'_>) -> Result<(), StoreError> {
        let audit = entry(AuditKind::RevokeVersion);
        self.store
            .revoke_version(&self.workspace, revoke, &audit)
            .await
    }

    /// What a write under an `Idempotency-Key` was answered with.
    pub(crate) fn remembered(&self) -> IdempotencyRecord {
        IdempotencyRecord {
            answer_mac: [9; 32],
            id: IdempotencyId::of(&self.token, "key"),
            fingerprint: [1; 32],
            status: 201,
            answer: r#"{"revision":1}"#.to_owned(),
            etag: Some("1".to_owned()),
            expires_at: NOW + Duration::DAY,
        }
    }

    /// Deletes the token of whoever asks.
    pub(crate) async fn lose_token(&self) {
        let audit = entry(AuditKind::DeleteToken);
        let lost = self
            .store
            .delete_token(&self.workspace, &self.token, None, &audit);
        assert!(lost.await.unwrap());
    }

    /// Whatever the write was that gave this: it was refused for one reason, and left
    /// nothing behind.
    pub(crate) async fn refused<T: std::fmt::Debug>(
        &self,
        result: Result<T, StoreError>,
        which: Which,
        before: &BTreeSet<String>,
    ) {
        assert_eq!(conflict(result), which);
        assert_eq!(
            &self.everything().await,
            before,
            "a refused write left something behind"
        );
    }

    /// Puts a version over what is there now.
    pub(crate) async fn put(
        &self,
        name: &SecretName,
        value: &str,
    ) -> Result<SecretVersion, StoreError> {
        let records = self
            .read(Wanted {
                secret: Some(name),
                ..self.wanted()
            })
            .await?;
        let number = Head::next_version(records.head.as_ref()).unwrap();
        let new = stored(number, value);
        let put = PutSecret {
            former: records.head.as_ref(),
            binding_revision: records.binding.unwrap().revision,
            ..self.first_put(name, &new)
        };
        self.store
            .put_secret(&self.workspace, &put, &entry(AuditKind::Put))
            .await?;
        Ok(number)
    }

    /// A put of a name that is not there, over the binding of [`Bench::bound`].
    pub(crate) fn first_put<'a>(
        &'a self,
        name: &'a SecretName,
        new: &'a StoredVersion,
    ) -> PutSecret<'a> {
        PutSecret {
            name,
            former: None,
            new,
            binding_revision: Revision::new(1).unwrap(),
            token: &self.token,
            idempotency: None,
            now: NOW,
        }
    }

    pub(crate) async fn delete(&self, name: &SecretName) -> Result<(), StoreError> {
        let head = self.head(name).await.unwrap().stamp();
        self.store
            .delete_secret(
                &self.workspace,
                name,
                &head,
                None,
                &entry(AuditKind::Delete),
            )
            .await
    }

    /// An item as it lies in the table, if there is one.
    pub(crate) async fn item(&self, sk: &str) -> Option<Item> {
        let call = self
            .raw
            .get_item()
            .table_name("broker")
            .consistent_read(true);
        call.set_key(Some(self.place(sk)))
            .send()
            .await
            .unwrap()
            .item
    }

    /// Puts an item into the workspace's partition behind the store's back.
    pub(crate) async fn plant(&self, sk: &str, mut item: Item) {
        item.extend(self.place(sk));
        self.plant_in("broker", item).await;
    }

    pub(crate) async fn plant_in(&self, table: &str, item: Item) {
        self.raw
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn freeze(&self, frozen: bool) {
        let read = self.read(self.wanted()).await.unwrap().freeze;
        let freeze = freeze(frozen, "drill");
        let audit = entry(AuditKind::Freeze);
        self.store
            .set_freeze(&self.workspace, &freeze, read.as_ref(), None, &audit)
            .await
            .unwrap();
    }

    fn place(&self, sk: &str) -> Item {
        Item::from([
            (
                "pk".to_owned(),
                AttributeValue::S(format!("W#{}", self.workspace)),
            ),
            ("sk".to_owned(), AttributeValue::S(sk.to_owned())),
        ])
    }

    /// Every item of a table.
    pub(crate) async fn items(&self, table: &str) -> Vec<Item> {
        let mut items = self
            .raw
            .scan()
            .table_name(table)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            found.push(item.unwrap());
        }
        found
    }

    /// Everything in both tables, to compare with later.
    pub(crate) async fn everything(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for table in ["broker", "audit"] {
            for item in self.items(table).await {
                let sorted: BTreeMap<_, _> = item.into_iter().collect();
                lines.insert(format!("{table} {sorted:?}"));
            }
        }
        lines
    }
}

pub(crate) fn store_at(endpoint: String) -> Store {
    Store::new(StoreConfig {
        access: AwsAccess::new("AKIALOCAL", "secret", None),
        region: "eu-west-1".to_owned(),
        endpoint: Some(endpoint),
        table: "broker".to_owned(),
        audit_table: "audit".to_owned(),
    })
}

pub(crate) fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

pub(crate) fn version(number: u64) -> SecretVersion {
    SecretVersion::new(number).unwrap()
}

pub(crate) fn key(digit: char) -> KeyArn {
    let id = "0".repeat(11) + &digit.to_string();
    KeyArn::parse(&format!(
        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-{id}"
    ))
    .unwrap()
}

pub(crate) fn token(raw: &str) -> TokenRecord {
    TokenRecord {
        id: TokenId::of_token(raw.as_bytes()),
        permissions: Permission::ALL.into(),
        secrets: None,
        expires_at: None,
        created_at: NOW,
        created_by: None,
        label: None,
    }
}

pub(crate) fn stored(version: SecretVersion, value: &str) -> StoredVersion {
    StoredVersion {
        version,
        sealed: SealedSecret::from_bytes([&[0, 255, 1], value.as_bytes()].concat()),
        wrapped: WrappedDataKey {
            ciphertext: format!("wrapped {value}").into_bytes(),
            key: key('a'),
            material: Some("material".to_owned()),
        },
        policy: r#"{"destinations":[],"reveal":false}"#.to_owned(),
        form: ValueForm::Json,
        put_at: NOW,
        expires_at: Some(NOW + Duration::days(30)),
    }
}

/// Another wrap of a data key than [`stored`] has, under another KEK.
pub(crate) fn rewrapped(text: &str) -> WrappedDataKey {
    WrappedDataKey {
        ciphertext: format!("rewrapped {text}").into_bytes(),
        key: key('b'),
        material: None,
    }
}

pub(crate) fn freeze(frozen: bool, reason: &str) -> Freeze {
    Freeze {
        frozen,
        since: NOW,
        by: "operator".to_owned(),
        reason: reason.to_owned(),
    }
}

pub(crate) fn entry(kind: AuditKind) -> AuditEntry {
    entry_at(kind, NOW)
}

pub(crate) fn entry_at(kind: AuditKind, at: OffsetDateTime) -> AuditEntry {
    AuditEntry {
        id: ReceiptId::new(at),
        kind,
        at,
        token: TokenId::of_token(b"first").into(),
        secret: Some(name("pay")),
        version: Some(version(3)),
        request_id: "request".to_owned(),
        destination: Some("https://api.example.com/v1/charges".to_owned()),
        method: Some("POST".to_owned()),
        detail: BTreeMap::from([("route".to_owned(), "via".to_owned())]),
    }
}

pub(crate) fn outcome(code: &str) -> AuditOutcome {
    AuditOutcome {
        code: code.to_owned(),
        upstream_status: Some(201),
        kms_request_id: Some("kms".to_owned()),
        kms_attempts: vec!["lost".to_owned()],
        key_material: None,
        milliseconds: 42,
        at: NOW,
    }
}

/// What a call conflicted with.
#[track_caller]
pub(crate) fn conflict<T: std::fmt::Debug>(result: Result<T, StoreError>) -> Which {
    match result {
        Err(StoreError::Conflict(which)) => which,
        other => panic!("no conflict: {other:?}"),
    }
}
