//! An embedded DynamoDB, a store over it, and records to put into it.

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

/// A store over fresh tables.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) workspace: WorkspaceId,
    pub(crate) token: TokenId,
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
            raw: Client::from_conf(raw),
        }
    }

    /// With a workspace that has a token and no key.
    pub(crate) async fn open() -> Self {
        let bench = Self::empty().await;
        let audit = entry(AuditKind::OpenWorkspace);
        bench
            .store
            .open_workspace(&bench.workspace, &token("first"), &audit)
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
        let read = self.binding().await;
        let change = BindKey {
            read,
            key: key(digit),
            evidence: "probe".to_owned(),
            now: NOW,
        };
        self.store
            .bind_key(&self.workspace, &change, &entry(AuditKind::BindKey))
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
            _ => records.version,
        }
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
            .delete_secret(&self.workspace, name, &head, &entry(AuditKind::Delete))
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
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = Item::from([
            ("frozen".to_owned(), AttributeValue::Bool(frozen)),
            ("since".to_owned(), text("2026-11-05T12:00:00Z")),
            ("by".to_owned(), text("operator")),
            ("reason".to_owned(), text("drill")),
        ]);
        self.plant("FREEZE", item).await;
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
