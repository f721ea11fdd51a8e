//! CloudTrail-shaped events: one line of JSON for every call, allowed or refused,
//! written before the answer goes out (CloudTrail user guide, "CloudTrail record contents").
//!
//! A call across accounts is logged once, for the key's owner (AWS writes one event to
//! each account, under one `sharedEventID`). Of a request only the listed parameters are
//! written: never ciphertext, plaintext, MAC, message or grant token.

use crate::clock::{from_millis, millis_of, time_text};
use crate::journal::at;
use crate::key::KeyRecord;
use crate::ops::{After, Cx, Operation};
use crate::{KmsError, OpenError};
use serde_json::{Map, Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use time::macros::format_description;

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
    "ExpirationModel",
    "GrantId",
    "GranteePrincipal",
    "ImportType",
    "IncludeKeyMaterial",
    "KeyId",
    "KeyMaterialDescription",
    "KeyMaterialId",
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
    "PrimaryRegion",
    "ReplicaRegion",
    "RetiringPrincipal",
    "RotationPeriodInDays",
    "SourceEncryptionAlgorithm",
    "SourceEncryptionContext",
    "SourceKeyId",
    "TagKeys",
    "Tags",
    "TargetKeyId",
    "ValidTo",
    "WrappingAlgorithm",
    "WrappingKeySpec",
];

/// `requestParameters` of a request, names in CloudTrail's spelling; none if there are none.
pub(crate) fn request_parameters(input: &Value) -> Option<Value> {
    let mut shown = Map::new();
    for name in SHOWN {
        match (*name, input.get(*name)) {
            (_, None | Some(Value::Null)) => {}
            ("Constraints", Some(constraints)) => {
                shown.insert(camel(name), camel_names(constraints));
            }
            ("Tags", Some(Value::Array(tags))) => {
                let tags = tags.iter().map(camel_names).collect();
                shown.insert(camel(name), Value::Array(tags));
            }
            ("ValidTo", Some(date)) => {
                shown.insert(camel(name), json!(date_text(date)));
            }
            (_, Some(value)) => {
                shown.insert(camel(name), value.clone());
            }
        }
    }
    (!shown.is_empty()).then_some(Value::Object(shown))
}

/// The object with its names, but not what is within its values, in CloudTrail's spelling.
fn camel_names(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (camel(k), v.clone())).collect())
        }
        other => other.clone(),
    }
}

/// A date in epoch seconds as CloudTrail writes the dates of parameters.
fn date_text(seconds: &Value) -> Option<String> {
    let date = from_millis(millis_of(seconds.as_f64()?)?);
    date.format(format_description!(
        "[month repr:short] [day padding:none], [year], \
         [hour repr:12 padding:none]:[minute]:[second] [period]"
    ))
    .ok()
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
            .map(|(account, arn)| resource(account, arn))
            .collect();
        let mut event = envelope(cx, "kms.amazonaws.com", operation.name(), origin)?;
        event["requestParameters"] = parameters.unwrap_or_default();
        event["responseElements"] = match result {
            Ok(answer) => {
                operation.response_elements(answer, touched.first().map(|(_, arn)| arn.as_str()))
            }
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
        self.append(&event)?;
        for after in cx.after.borrow().iter() {
            match after {
                After::Service(event) => self.write_service(event)?,
                After::MadeThere {
                    region,
                    account,
                    arn,
                } => self.write_made_there(&cx.there(region), account, arn, origin)?,
            }
        }
        Ok(())
    }

    /// ReplicateKey is a CreateKey too (developer guide, "ReplicateKey" among the CloudTrail log
    /// entries).
    fn write_made_there(
        &self,
        there: &Cx<'_>,
        account: &str,
        arn: &str,
        origin: &Origin,
    ) -> io::Result<()> {
        let mut event = envelope(there, "kms.amazonaws.com", "CreateKey", origin)?;
        event["requestParameters"] = Value::Null;
        event["responseElements"] = json!({"keyMetadata": {"arn": arn}});
        event["readOnly"] = json!(false);
        event["resources"] = json!([resource(account, arn)]);
        event["recipientAccountId"] = json!(account);
        self.append(&event)
    }

    /// Writes the event of what KMS does by itself (KMS developer guide, "RotateKey",
    /// "DeleteKey", "DeleteExpiredKeyMaterial" among the CloudTrail log entries).
    pub(crate) fn write_service(&self, event: &ServiceEvent) -> io::Result<()> {
        let id = crate::state::random_uuid().map_err(io::Error::other)?;
        self.append(&json!({
            "eventVersion": "1.11",
            "userIdentity": {"accountId": event.account, "invokedBy": "AWS Internal"},
            "eventTime": time_text(event.at),
            "eventSource": "kms.amazonaws.com",
            "eventName": event.name,
            "awsRegion": event.region,
            "sourceIPAddress": "AWS Internal",
            "userAgent": "AWS Internal",
            "requestParameters": null,
            "responseElements": null,
            "eventID": id.to_string(),
            "readOnly": false,
            "resources": [resource(&event.account, &event.arn)],
            "eventType": "AwsServiceEvent",
            "managementEvent": true,
            "recipientAccountId": event.account,
            "serviceEventDetails": event.details,
            "eventCategory": "Management",
        }))
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

/// Something that KMS does to a key by itself.
#[derive(Debug, Clone)]
pub(crate) struct ServiceEvent {
    name: &'static str,
    at: i64,
    account: String,
    region: String,
    arn: String,
    details: Value,
}

impl ServiceEvent {
    pub(crate) fn new(name: &'static str, at: i64, key: &KeyRecord, details: Value) -> Self {
        Self {
            name,
            at,
            account: key.account.clone(),
            region: key.region.clone(),
            arn: key.arn(),
            details,
        }
    }
}

fn resource(account: &str, arn: &str) -> Value {
    json!({"accountId": account, "type": "AWS::KMS::Key", "ARN": arn})
}

fn envelope(cx: &Cx<'_>, source: &str, name: &str, origin: &Origin) -> io::Result<Value> {
    let id = crate::state::random_uuid().map_err(io::Error::other)?;
    Ok(json!({
        "eventVersion": "1.11",
        "userIdentity": cx.caller.user_identity(),
        "eventTime": time_text(cx.now),
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
