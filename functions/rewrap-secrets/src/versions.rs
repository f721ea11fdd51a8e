//! `POST …/secrets/{name}/versions/{version}:promote` and `…:revoke`: what becomes of
//! an earlier version.

use crate::{
    Afterwards, BODY_MAX, KMS_TIME, RewrapSecrets, TRIES, live, lost, may_try_again,
    schema::{ActedOn, Nothing, PromotedVersion, RevokedVersion, VersionProblems},
};
use api::{
    Admitted, Call, Code, Fields, Fingerprint, Need, Preconditions, Problem, current_kek,
    idempotency_key, json, json_at, note_secret,
    openapi::{IdempotencyKey, IfMatch, OfSecret},
    rfc3339,
};
use axum::{extract::State, response::Response};
use envelope::{
    SecretName, SecretVersion, WrappedDataKey,
    kms::{KmsCall, RewrapRequest},
};
use http::StatusCode;
use std::sync::Arc;
use store::{
    AuditKind, Binding, EarlierVersion, LiveHead, Permission, Promote, Records, Revision,
    RevokeVersion, StoreError, StoredVersion, Which,
};

/// What is to become of an earlier version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// It becomes the current one again.
    Promote(SecretVersion),
    /// It goes for good.
    Revoke(SecretVersion),
}

impl Action {
    /// `<version>:promote` or `<version>:revoke`, the number as the broker writes it.
    fn parse(text: &str) -> Option<Self> {
        let (number, verb) = text.split_once(':')?;
        let version = SecretVersion::new(number.parse().ok()?).ok()?;
        if version.to_string() != number {
            return None;
        }
        match verb {
            "promote" => Some(Self::Promote(version)),
            "revoke" => Some(Self::Revoke(version)),
            _ => None,
        }
    }

    fn version(self) -> SecretVersion {
        match self {
            Self::Promote(version) | Self::Revoke(version) => version,
        }
    }

    /// To promote decides where an existing value may go; to revoke takes it away.
    fn permission(self) -> Permission {
        match self {
            Self::Promote(_) => Permission::ManagePolicies,
            Self::Revoke(_) => Permission::WriteSecrets,
        }
    }
}

/// Promotes or revokes an earlier version.
///
/// `7:promote` makes version 7 the current one again, under its own number and policy; it
/// takes the permission `manage_policies`. `7:revoke` deletes its ciphertext and its wrapped
/// key for good; it takes `write_secrets`, and the current version cannot be revoked.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/secrets/{name}/versions/{action}", operation_id = "actOnVersion",
    params(
        OfSecret, IdempotencyKey, IfMatch,
        ("action" = String, Path, description = "The version's number, a colon, and `promote` or `revoke`.", pattern = "^[1-9][0-9]{0,6}:(promote|revoke)$", example = "7:promote"),
    ),
    request_body = Option<Nothing>,
    responses((status = 200, description = "The version is the current one, or it is gone.", body = ActedOn, headers(("etag" = String, description = "Of a promotion: the secret's revision, in quotes."))), VersionProblems)
)]
pub(crate) async fn act(
    State(this): State<Arc<RewrapSecrets>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let action = Action::parse(call.param("action"));
    let preconditions = Preconditions::of(&call);
    let key = idempotency_key(&call);
    // Who may not come in hears nothing else first.
    let permission = action.map_or(Permission::ManagePolicies, Action::permission);
    let need = Need {
        secret: Some(call.param("name")),
        version: action.map(Action::version),
        idempotency_key: key.as_ref().ok().and_then(Option::as_deref),
        ..Need::new(call.param("workspace"), permission)
    };
    let admitted = this.api.admit(&call.headers, need).await?;
    let absent = || Problem::new(Code::NotFound);
    let action = action.ok_or_else(absent)?;
    key?;
    let preconditions = preconditions?;
    let body = call.body(BODY_MAX).await?;
    Fields::parse(&body)?.finish()?;
    let fingerprint = call.fingerprint(&admitted.caller, &[]);
    if let Some(answer) = admitted.replayed(&fingerprint)? {
        return Ok(answer);
    }
    let head = live(&admitted.records).ok_or_else(absent)?;
    preconditions.hold(Some(head.revision))?;
    note_secret(&head.name, action.version());
    match action {
        Action::Promote(version) => {
            this.promote(
                &admitted,
                &call.request_id,
                version,
                fingerprint,
                &preconditions,
            )
            .await
        }
        Action::Revoke(version) => {
            this.revoke(&admitted, &call.request_id, version, fingerprint)
                .await
        }
    }
}

/// The head, and an earlier version that can become it.
fn promotable(
    records: &Records,
    version: SecretVersion,
) -> Result<(&LiveHead, &StoredVersion), Problem> {
    let absent = || Problem::new(Code::NotFound);
    let head = live(records).ok_or_else(absent)?;
    if head.stored.version == version {
        return Err(Problem::new(Code::Conflict).because("This version is the current one."));
    }
    match records.version.as_ref().ok_or_else(absent)? {
        EarlierVersion::Stored(stored) => Ok((head, stored)),
        EarlierVersion::Revoked { .. } => Err(Problem::new(Code::VersionRevoked)),
    }
}

impl RewrapSecrets {
    async fn promote(
        &self,
        admitted: &Admitted,
        request_id: &str,
        version: SecretVersion,
        fingerprint: Fingerprint,
        preconditions: &Preconditions,
    ) -> Result<Response, Problem> {
        admitted.not_frozen()?;
        let (head, earlier) = promotable(&admitted.records, version)?;
        let (mut head, mut earlier) = (head.clone(), earlier.clone());
        let mut binding = admitted.binding()?.clone();
        for _ in 0..TRIES {
            let mut entry = admitted.audit(AuditKind::Promote, request_id);
            entry.version = Some(version);
            let former = head.stored.version.to_string();
            entry.detail.insert("former".to_owned(), former);
            let receipt = entry.id.to_string();
            let (wrapped, kms) = self
                .under_current(admitted, &binding, &head.name, &earlier, &receipt)
                .await?;
            let answer = promoted(&head.name, version, &wrapped, head.revision.next());
            let revision = Some(head.revision.next());
            let remembered = admitted.remember(fingerprint, StatusCode::OK, &answer, revision);
            let promote = Promote {
                head: &head,
                version: &earlier,
                wrapped: &wrapped,
                binding_revision: binding.revision,
                token: &admitted.caller.id,
                idempotency: remembered.as_ref(),
                now: admitted.now,
            };
            let audit = self.audited(entry, kms);
            let workspace = &admitted.caller.workspace;
            let stored = self.api.store.promote(workspace, &promote, &audit);
            let which = match stored.await {
                Ok(revision) => return Ok(json_at(StatusCode::OK, answer, revision)),
                Err(error) => lost(error)?,
            };
            let afterwards = self.afterwards(admitted, Some(version), &fingerprint);
            let now = match afterwards.await? {
                Afterwards::Answered(answer, _) => return Ok(answer),
                Afterwards::Now(records) => records,
            };
            let again = promotable(&now, version)
                .ok()
                .filter(|(now, _)| may_try_again(which, &head, now));
            match (again, &now.binding) {
                (Some((now_head, now_earlier)), Some(bound)) if !preconditions.any() => {
                    head = now_head.clone();
                    earlier = now_earlier.clone();
                    binding = bound.clone();
                }
                _ => return Err(StoreError::Conflict(which).into()),
            }
        }
        Err(StoreError::Conflict(Which::Head).into())
    }

    /// An earlier version's data key under the current KEK: as it lies, if it lies there.
    async fn under_current(
        &self,
        admitted: &Admitted,
        binding: &Binding,
        name: &SecretName,
        earlier: &StoredVersion,
        receipt: &str,
    ) -> Result<(WrappedDataKey, Option<KmsCall>), Problem> {
        let kek = current_kek(binding, self.deployment_key.as_ref())
            .ok_or_else(|| Problem::new(Code::NoWorkspaceKey))?;
        if earlier.wrapped.key == *kek {
            return Ok((earlier.wrapped.clone(), None));
        }
        let workspace = &admitted.caller.workspace;
        let context = self.context(workspace, name, earlier.version, &earlier.policy);
        let request = RewrapRequest {
            wrapped: &earlier.wrapped,
            from: &context,
            to_key: kek,
            to: &context,
            allowed: &self.keks(binding),
            receipt: Some(receipt),
            time: KMS_TIME,
        };
        let moved = self.rewrap.rewrap(request).await?;
        Ok((moved.wrapped, Some(moved.call)))
    }

    /// Takes an earlier version away for good; in a frozen workspace too, as a deletion.
    async fn revoke(
        &self,
        admitted: &Admitted,
        request_id: &str,
        version: SecretVersion,
        fingerprint: Fingerprint,
    ) -> Result<Response, Problem> {
        let absent = || Problem::new(Code::NotFound);
        let head = live(&admitted.records).ok_or_else(absent)?;
        let is_current = || {
            Problem::new(Code::Conflict)
                .because("The current version cannot be revoked. Put or promote another first.")
        };
        if head.stored.version == version {
            return Err(is_current());
        }
        let name = &head.name;
        match admitted.records.version.as_ref().ok_or_else(absent)? {
            EarlierVersion::Stored(_) => {}
            // It is as it was to be, and its record says since when.
            EarlierVersion::Revoked { revoked_at, .. } => {
                let answer = revoked(name, version, rfc3339(*revoked_at));
                return Ok(json(StatusCode::OK, answer));
            }
        }
        let answer = revoked(name, version, rfc3339(admitted.now));
        let remembered = admitted.remember(fingerprint, StatusCode::OK, &answer, None);
        let revoke = RevokeVersion {
            name,
            version,
            token: &admitted.caller.id,
            idempotency: remembered.as_ref(),
            now: admitted.now,
        };
        let mut entry = admitted.audit(AuditKind::RevokeVersion, request_id);
        entry.version = Some(version);
        let audit = self.audited(entry, None);
        let workspace = &admitted.caller.workspace;
        let stored = self.api.store.revoke_version(workspace, &revoke, &audit);
        let which = match stored.await {
            Ok(()) => return Ok(json(StatusCode::OK, answer)),
            Err(error) => lost(error)?,
        };
        match self
            .afterwards(admitted, Some(version), &fingerprint)
            .await?
        {
            Afterwards::Answered(answer, _) => Ok(answer),
            Afterwards::Now(now) if live(&now).is_some_and(|it| it.stored.version == version) => {
                Err(is_current())
            }
            Afterwards::Now(_) => Err(StoreError::Conflict(which).into()),
        }
    }
}

fn promoted(
    name: &SecretName,
    version: SecretVersion,
    wrapped: &WrappedDataKey,
    revision: Revision,
) -> ActedOn {
    ActedOn::Promoted(PromotedVersion {
        name: name.to_string(),
        version: version.number(),
        wrapped_by: wrapped.key.to_string(),
        key_material_id: wrapped.material.clone(),
        revision: revision.number(),
    })
}

fn revoked(name: &SecretName, version: SecretVersion, revoked_at: String) -> ActedOn {
    ActedOn::Revoked(RevokedVersion {
        name: name.to_string(),
        version: version.number(),
        revoked_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_a_version_as_the_broker_writes_it_and_one_of_two_words() {
        let version = |number| SecretVersion::new(number).unwrap();
        assert_eq!(
            Action::parse("7:promote"),
            Some(Action::Promote(version(7)))
        );
        assert_eq!(
            Action::parse("9999999:revoke"),
            Some(Action::Revoke(version(9_999_999)))
        );
        for text in [
            "",
            ":",
            "7",
            "7:",
            ":revoke",
            "7:delete",
            "7:revoke:",
            "7:Revoke",
            "+7:revoke",
            "07:revoke",
            "0:revoke",
            "-1:revoke",
            "10000000:revoke",
            " 7:revoke",
            "7 :revoke",
            "\u{0667}:revoke",
        ] {
            assert_eq!(Action::parse(text), None, "{text}");
        }
    }
}
