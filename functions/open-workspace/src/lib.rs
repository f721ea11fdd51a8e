//! open-workspace: makes a workspace and its first token.
//!
//! It has no route. The operator invokes it through IAM, and hands the token to
//! the customer; it is answered once and kept only as its hash.
//!
//! ```text
//! {"workspace": "acme"} -> {"workspace", "token", "tokenId"}
//! ```

use api::{Api, Code, Fields, Problem, Token, edge::Invoke, outcome};
use envelope::{WorkspaceId, kms::MakeMac};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use store::{
    Actor, AuditEntry, AuditKind, AuditRecord, Authority, Permission, ReceiptId, StoreError,
    TokenRecord,
};

/// What the function needs: the records, and to make the MACs of what it writes.
pub struct OpenWorkspace {
    /// What all functions share.
    pub api: Api,
    /// Makes the MAC of the first token.
    pub token_mac: MakeMac,
    /// Makes the MAC of the binding that says that there is no key yet.
    pub binding_mac: MakeMac,
}

impl OpenWorkspace {
    /// The function as the edge takes it.
    #[must_use]
    pub fn invoke(self) -> Invoke {
        let this = Arc::new(self);
        Arc::new(move |event| {
            let this = Arc::clone(&this);
            Box::pin(async move { this.open(event).await })
        })
    }

    async fn open(&self, event: Value) -> Result<Value, Problem> {
        let event = event.to_string();
        let mut fields = Fields::parse(event.as_bytes())?;
        let workspace: String = fields.required("workspace", "text")?;
        fields.finish()?;
        let workspace = WorkspaceId::parse(&workspace)
            .map_err(|error| Problem::invalid_id("workspace", error))?;

        let now = self.api.clock.now();
        let token = Token::generate(&workspace);
        let record = TokenRecord {
            id: token.id(),
            permissions: BTreeSet::from(Permission::ALL),
            secrets: None,
            expires_at: None,
            created_at: now,
            created_by: None,
            label: Some("first token".to_owned()),
        };
        let audit = AuditRecord {
            entry: AuditEntry {
                id: ReceiptId::new(now),
                kind: AuditKind::OpenWorkspace,
                at: now,
                token: Actor::Operator,
                secret: None,
                version: None,
                request_id: String::new(),
                destination: None,
                method: None,
                detail: BTreeMap::from([("token".to_owned(), record.id.to_string())]),
            },
            outcome: Some(outcome("ok", now, self.api.clock.now())),
        };
        let macs = Authority {
            binding: &self.binding_mac,
            token: &self.token_mac,
        };
        self.api
            .store
            .open_workspace(&workspace, &record, macs, &audit)
            .await
            .map_err(|error| match error {
                StoreError::Conflict(_) => {
                    Problem::new(Code::Conflict).because("There is such a workspace already.")
                }
                error => error.into(),
            })?;
        tracing::info!(workspace = workspace.as_str(), "opened a workspace");
        Ok(
            json!({"workspace": workspace.as_str(), "token": token.tell(), "tokenId": record.id.as_str()}),
        )
    }
}
