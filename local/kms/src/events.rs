//! CloudTrail-shaped events: one line of JSON for every call, allowed or refused,
//! written before the answer goes out (CloudTrail user guide, "CloudTrail record contents").
//!
//! A call across accounts is logged once, for the key's owner (AWS writes one event to
//! each account, under one `sharedEventID`). Of a request only the listed parameters are
//! written: never ciphertext, plaintext, MAC, message or grant token.

use crate::journal::at;
use crate::ops::{Cx, Operation};
use crate::{KmsError, OpenError};
use serde_json::{Map, Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where a call came from, and its id.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) source_ip: String,
    pub(crate) user_agent: String,
    pub(crate) request_id: String,
}

/// The parameters that an event may show. None of them is secret.
const SHOWN: &[&str] = &[
    "AliasName",
    "BypassPolicyLockoutSafetyCheck",
    "Constraints",
    "CustomerMasterKeySpec",
    "Description",
    "DestinationEncryptionAlgorithm",
    "DestinationEncryptionContext",
    "DestinationKeyId",
    "DryRun",
    "DryRunModifiers",
    "EncryptionAlgorithm",
    "EncryptionContext",
    "GrantId",
    "GranteePrincipal",
    "KeyId",
    "KeySpec",
    "KeyUsage",
    "Limit",
    "MacAlgorithm",
    "MultiRegion",
    "Name",
    "NumberOfBytes",
    "Operations",
    "Origin",
    "PendingWindowInDays",
    "Policy",
    "PolicyName",
    "RetiringPrincipal",
    "SourceEncryptionAlgorithm",
    "SourceEncryptionContext",
    "SourceKeyId",
    "TargetKeyId",
];

/// `requestParameters` of a request, names in CloudTrail's spelling; none if there are none.
pub(crate) fn request_parameters(input: &Value) -> Option<Value> {
    let mut shown = Map::new();
    for name in SHOWN {
        match (*name, input.get(*name)) {
            (_, None | Some(Value::Null)) => {}
            ("Constraints", Some(Value::Object(constraints))) => {
                let constraints = constraints.iter().map(|(k, v)| (camel(k), v.clone()));
                shown.insert(camel(name), Value::Object(constraints.collect()));
            }
            (_, Some(value)) => {
                shown.insert(camel(name), value.clone());
            }
        }
    }
    (!shown.is_empty()).then_some(Value::Object(shown))
}

fn camel(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(chars)
        .collect()
}

/// The log: opened once, appended to. Not synced: it is evidence for tests, not state.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: Mutex<File>,
}

impl EventLog {
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("cloudtrail.jsonl");
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        let torn = fs::read(&path)
            .map_err(at(&path))?
            .last()
            .is_some_and(|last| *last != b'\n');
        if torn {
            // A line that a kill cut off must not swallow the next one.
            file.write_all(b"\n").map_err(at(&path))?;
        }
        Ok(Self {
            path,
            file: Mutex::new(file),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every whole event in the log.
    pub(crate) fn read(&self) -> io::Result<Vec<Value>> {
        let text = fs::read(&self.path)?;
        Ok(text
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// Writes the event of one KMS call.
    pub(crate) fn write(
        &self,
        cx: &Cx<'_>,
        operation: Operation,
        parameters: Option<Value>,
        result: &Result<Value, KmsError>,
        origin: &Origin,
    ) -> io::Result<()> {
        let touched = cx.touched.borrow();
        let owner = touched
            .first()
            .map_or(cx.caller.account.as_str(), |(account, _)| account);
        let resources: Vec<Value> = touched
            .iter()
            .map(
                |(account, arn)| json!({"accountId": account, "type": "AWS::KMS::Key", "ARN": arn}),
            )
            .collect();
        let mut event = envelope(cx, "kms.amazonaws.com", operation.name(), origin)?;
        event["requestParameters"] = parameters.unwrap_or_default();
        event["responseElements"] = match result {
            Ok(answer) => operation.response_elements(answer),
            Err(_) => Value::Null,
        };
        event["readOnly"] = json!(operation.read_only());
        if !resources.is_empty() {
            event["resources"] = Value::Array(resources);
        }
        event["recipientAccountId"] = json!(owner);
        if let Err(error) = result {
            event["errorCode"] = json!(short_code(error.code));
            event["errorMessage"] = json!(error.message);
        }
        self.append(&event)
    }

    /// Writes the event of STS GetCallerIdentity.
    pub(crate) fn write_sts(&self, cx: &Cx<'_>, origin: &Origin) -> io::Result<()> {
        let mut event = envelope(cx, "sts.amazonaws.com", "GetCallerIdentity", origin)?;
        event["requestParameters"] = Value::Null;
        event["responseElements"] = Value::Null;
        event["readOnly"] = json!(true);
        event["recipientAccountId"] = json!(cx.caller.account);
        self.append(&event)
    }

    fn append(&self, event: &Value) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&line)
    }
}

fn envelope(cx: &Cx<'_>, source: &str, name: &str, origin: &Origin) -> io::Result<Value> {
    let id = crate::state::random_uuid().map_err(io::Error::other)?;
    Ok(json!({
        "eventVersion": "1.11",
        "userIdentity": cx.caller.user_identity(),
        "eventTime": cx.now_text(),
        "eventSource": source,
        "eventName": name,
        "awsRegion": cx.region,
        "sourceIPAddress": origin.source_ip,
        "userAgent": origin.user_agent,
        "requestID": origin.request_id,
        "eventID": id.to_string(),
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "eventCategory": "Management",
    }))
}

/// CloudTrail writes some codes without their ending: `AccessDenied`.
fn short_code(code: &str) -> &str {
    match code {
        "AccessDeniedException" => "AccessDenied",
        other => other,
    }
}
