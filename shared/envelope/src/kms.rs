//! The AWS KMS adapter.
//!
//! [`Kms`] is built once and handed out as narrow handles, each of which can do
//! one thing: [`Wrap`] makes data keys, [`Unwrap`] opens them, [`Rewrap`] moves
//! them, [`Inspect`] looks at keys, [`Probe`] asks what KMS would do, [`MakeMac`]
//! and [`CheckMac`] authenticate records. A function holds the handles that its
//! job needs and no more.
//!
//! Retries are ours and the SDK's are off, so that each attempt's request id is
//! kept and no attempt outlives the time that the call has. Errors are told
//! apart by code, never by text. A customer's denial is told from the broker's
//! own missing rights where there is a canary: see [`Kms::with_canary`].

mod attempts;
mod canary;
mod inspect;
mod mac;
mod probe;
mod rewrap;

pub use inspect::{Inspect, KeyDescription, KeyState};
pub use mac::{CheckMac, MakeMac};
pub use probe::{Asked, Probe};
pub use rewrap::{Rewrap, RewrapRequest, Rewrapped};

use attempts::{ATTEMPT, Attempts, Reason, Refused};
use canary::Canary;

use crate::{
    BrokerId, DATA_KEY_LEN, DataKey, EncryptionContext, KeyArn, KmsFailure, KmsOperation,
    RecordKind, Refusal, WrappedDataKey, aws::AwsAccess,
};
use aws_sdk_kms::{
    Client,
    client::customize::CustomizableOperation,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        RequestId, decrypt::DecryptOutput, generate_mac::GenerateMacOutput,
        re_encrypt::ReEncryptOutput,
    },
    primitives::{Blob, DateTime},
    types::{
        DataKeySpec, DryRunModifierType, KeyMetadata, KeyState as AwsKeyState, MacAlgorithmSpec,
    },
};
use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How many Regions' clients are kept.
const REGIONS_MAX: usize = 64;
/// How many bytes a ciphertext blob has (AWS KMS API Reference, Decrypt).
const BLOB: RangeInclusive<usize> = 1..=6144;

/// KMS in every Region, for one role. Cheap to clone.
#[derive(Clone)]
pub struct Kms {
    regions: Arc<Regions>,
    canary: Option<Arc<Canary>>,
}

struct Regions {
    access: AwsAccess,
    endpoint: Option<String>,
    clients: Mutex<HashMap<String, Client>>,
}

impl Kms {
    /// For calls as the role of `access`. Without an `endpoint` each key is
    /// called at AWS, in the Region of its ARN.
    #[must_use]
    pub fn new(access: AwsAccess, endpoint: Option<String>) -> Self {
        Self {
            regions: Arc::new(Regions {
                access,
                endpoint,
                clients: Mutex::default(),
            }),
            canary: None,
        }
    }

    /// The same with a key of the deployment's own, of which whatever is denied on
    /// a customer's key is asked too, without effect (`DryRun`): a denial there is
    /// the broker's own fault ([`Refusal::Misconfigured`]) and says nothing of the
    /// customer. The key's policy allows the role everything that is asked:
    /// GenerateDataKey, Decrypt, ReEncryptFrom, ReEncryptTo and DescribeKey.
    #[must_use]
    pub fn with_canary(self, key: KeyArn, broker: &BrokerId) -> Self {
        Self {
            canary: Some(Arc::new(Canary::new(key, broker))),
            ..self
        }
    }

    /// The handle that can make data keys.
    #[must_use]
    pub fn wrap(&self) -> Wrap {
        Wrap(self.clone())
    }

    /// The handle that can open wrapped data keys.
    #[must_use]
    pub fn unwrap(&self) -> Unwrap {
        Unwrap(self.clone())
    }

    /// The handle that can move wrapped data keys to another key or context.
    #[must_use]
    pub fn rewrap(&self) -> Rewrap {
        Rewrap::new(self.clone())
    }

    /// The handle that can look at keys.
    #[must_use]
    pub fn inspect(&self) -> Inspect {
        Inspect::new(self.clone())
    }

    /// The handle that can ask what KMS would do, and do nothing.
    #[must_use]
    pub fn probe(&self) -> Probe {
        Probe::new(self.clone())
    }

    /// The handle that can make the MACs of one kind of record, under a key of
    /// the deployment's own.
    #[must_use]
    pub fn make_mac(&self, kind: RecordKind, key: KeyArn, broker: BrokerId) -> MakeMac {
        MakeMac::new(self.clone(), kind, key, broker)
    }

    /// The handle that can check the MACs of one kind of record. What passed is
    /// remembered by this handle and its clones.
    #[must_use]
    pub fn check_mac(&self, kind: RecordKind, key: KeyArn, broker: BrokerId) -> CheckMac {
        CheckMac::new(self.clone(), kind, key, broker)
    }

    /// The client of a Region; made once.
    fn client(&self, region: &str) -> Client {
        let mut clients = self
            .regions
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(region) {
            return client.clone();
        }
        // A caller can make up Regions; AWS has fewer than this.
        if clients.len() >= REGIONS_MAX {
            clients.clear();
        }
        let access = &self.regions.access;
        let mut config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(access.http())
            .credentials_provider(access.credentials())
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(ATTEMPT / 2)
                    .build(),
            );
        config.set_endpoint_url(self.regions.endpoint.clone());
        let client = Client::from_conf(config.build());
        clients.insert(region.to_owned(), client.clone());
        client
    }
}

/// What a KMS call that succeeded leaves for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsCall {
    /// KMS's id of the attempt that succeeded: the `requestID` of the customer's log.
    pub request_id: String,
    /// The request ids of earlier attempts that were answered.
    pub earlier: Vec<String>,
    /// Which of the KEK's key material was used, if KMS said.
    pub material: Option<String>,
}

/// Makes data keys: `GenerateDataKey`, and nothing else.
#[derive(Clone)]
pub struct Wrap(Kms);

/// A fresh data key, plain and wrapped.
pub struct Wrapped {
    /// The plaintext data key, for one seal.
    pub key: DataKey,
    /// The same under the KEK.
    pub wrapped: WrappedDataKey,
    /// The call.
    pub call: KmsCall,
}

impl Wrap {
    /// Has KMS make a data key under `kek`, bound to `context`, within `time`.
    /// A grant token makes a grant usable that KMS has not yet spread.
    ///
    /// # Errors
    /// KMS refused, could not be reached in time, or answered for another key.
    pub async fn generate(
        &self,
        kek: &KeyArn,
        context: &EncryptionContext,
        grant_tokens: &[String],
        time: Duration,
    ) -> Result<Wrapped, KmsFailure> {
        const OPERATION: KmsOperation = KmsOperation::GenerateDataKey;
        let client = self.0.client(kek.region());
        let mut attempts = Attempts::new(OPERATION, time);
        let output = loop {
            let call = client
                .generate_data_key()
                .key_id(kek.as_str())
                .key_spec(DataKeySpec::Aes256)
                .set_encryption_context(Some(pairs(context)))
                .set_grant_tokens(Some(grant_tokens.to_vec()))
                .send();
            match attempts.judge(call).await {
                Ok(output) => break output,
                Err(refused) => {
                    attempts
                        .refused(refused, &self.0, &[kek.clone().into()], grant_tokens)
                        .await?
                }
            }
        };
        let material = output.key_material_id().map(str::to_owned);
        let call = attempts.call(output.request_id(), material.clone());
        let same_key = output.key_id() == Some(kek.as_str());
        let key = output
            .plaintext
            .and_then(|plaintext| DataKey::take(&mut plaintext.into_inner()));
        let ciphertext = output
            .ciphertext_blob
            .map(Blob::into_inner)
            .filter(|blob| BLOB.contains(&blob.len()));
        match (key, ciphertext) {
            (Some(key), Some(ciphertext)) if same_key => Ok(Wrapped {
                key,
                wrapped: WrappedDataKey {
                    ciphertext,
                    key: kek.clone(),
                    material,
                },
                call,
            }),
            _ => Err(attempts.disbelieved(&call)),
        }
    }
}

/// Opens wrapped data keys: `Decrypt`, and nothing else.
#[derive(Clone)]
pub struct Unwrap(Kms);

/// A data key that KMS has unwrapped.
pub struct Unwrapped {
    /// The plaintext data key, for one open.
    pub key: DataKey,
    /// The call.
    pub call: KmsCall,
}

/// A request to unwrap.
pub struct UnwrapRequest<'a> {
    /// The wrapped data key. Its own key name is not believed: see `allowed`.
    pub wrapped: &'a WrappedDataKey,
    /// What it was wrapped under.
    pub context: &'a EncryptionContext,
    /// The KEKs that the workspace's binding lists, current and former. A
    /// wrapped key that names any other is refused without a call.
    pub allowed: &'a [KeyArn],
    /// The receipt's id, carried in the call's user agent into the customer's log.
    pub receipt: Option<&'a str>,
    /// Grant tokens, for a grant that KMS has not yet spread.
    pub grant_tokens: &'a [String],
    /// How long it may take, retries included.
    pub time: Duration,
}

impl Unwrap {
    /// Has KMS unwrap a data key. Names the KEK in the call, and accepts the
    /// answer only for that KEK and of a data key's length.
    ///
    /// # Errors
    /// The KEK is not the workspace's, KMS refused, or could not be reached in time.
    pub async fn unwrap(&self, request: UnwrapRequest<'_>) -> Result<Unwrapped, KmsFailure> {
        let mut attempts = Attempts::new(KmsOperation::Decrypt, request.time);
        let output = match self.decrypt(&request, false, &mut attempts).await? {
            Decrypted::Plain(output) => *output,
            Decrypted::Would(_) => return Err(attempts.failure(Refusal::Integrity, None)),
        };
        let kek = request.wrapped.key.as_str();
        let same_key = output.key_id() == Some(kek);
        let call = attempts.call(
            output.request_id(),
            output.key_material_id().map(str::to_owned),
        );
        match output
            .plaintext
            .and_then(|plaintext| DataKey::take(&mut plaintext.into_inner()))
        {
            Some(key) if same_key => Ok(Unwrapped { key, call }),
            _ => Err(attempts.disbelieved(&call)),
        }
    }

    /// Asks KMS whether it would unwrap this very blob now (`DryRun`). Makes no
    /// plaintext anywhere. Answers with KMS's request id.
    ///
    /// # Errors
    /// As [`unwrap`](Self::unwrap).
    pub async fn would_unwrap(&self, request: UnwrapRequest<'_>) -> Result<String, KmsFailure> {
        let mut attempts = Attempts::new(KmsOperation::Decrypt, request.time);
        match self.decrypt(&request, true, &mut attempts).await? {
            Decrypted::Would(request_id) => Ok(request_id),
            Decrypted::Plain(output) => {
                let call = attempts.call(output.request_id(), None);
                discard(output.plaintext);
                Err(attempts.disbelieved(&call))
            }
        }
    }

    async fn decrypt(
        &self,
        request: &UnwrapRequest<'_>,
        dry_run: bool,
        attempts: &mut Attempts,
    ) -> Result<Decrypted, KmsFailure> {
        let kek = &request.wrapped.key;
        let could_be_a_blob = BLOB.contains(&request.wrapped.ciphertext.len());
        if !request.allowed.contains(kek) || !could_be_a_blob {
            return Err(attempts.failure(Refusal::Integrity, None));
        }
        let client = self.0.client(kek.region());
        loop {
            let mut call = client
                .decrypt()
                .key_id(kek.as_str())
                .ciphertext_blob(Blob::new(request.wrapped.ciphertext.as_slice()))
                .set_encryption_context(Some(pairs(request.context)))
                .set_grant_tokens(Some(request.grant_tokens.to_vec()));
            if dry_run {
                call = call.dry_run(true);
            }
            let call = with_receipt(call.customize(), request.receipt);
            match attempts.judge(call.send()).await {
                Ok(output) => return Ok(Decrypted::Plain(Box::new(output))),
                Err(refused) if dry_run && refused.would() => {
                    return Ok(Decrypted::Would(refused.request_id.unwrap_or_default()));
                }
                Err(refused) => {
                    attempts
                        .refused(
                            refused,
                            &self.0,
                            &[kek.clone().into()],
                            request.grant_tokens,
                        )
                        .await?
                }
            }
        }
    }
}

enum Decrypted {
    Plain(Box<DecryptOutput>),
    Would(String),
}

fn pairs(context: &EncryptionContext) -> HashMap<String, String> {
    context
        .pairs()
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

/// Carries a receipt's id in a call's user agent, into the customer's log.
fn with_receipt<T, E, B>(
    call: CustomizableOperation<T, E, B>,
    receipt: Option<&str>,
) -> CustomizableOperation<T, E, B> {
    let Some(receipt) = receipt else {
        return call;
    };
    let product = format!("byok-receipt/{receipt}");
    call.mutate_request(move |http| {
        let agent = http.headers().get("user-agent").unwrap_or_default();
        let agent = format!("{agent} {product}");
        http.headers_mut()
            .insert("user-agent", agent.trim_start().to_owned());
    })
}

/// Wipes a plaintext that was not asked for.
fn discard(plaintext: Option<Blob>) {
    drop(plaintext.map(|plaintext| DataKey::take(&mut plaintext.into_inner())));
}

const _: () = assert!(DATA_KEY_LEN == 32, "GenerateDataKey asks for AES_256");
