//! The demo workspace: opened, bound and granted at the first start, found again
//! at every later one; and `local.json`, which tells scripts where everything is.

use crate::{
    cast::Role,
    client,
    stack::{Stack, StartError},
};
use api::{Code, Token};
use envelope::WorkspaceId;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use store::Wanted;

/// The workspace that is there from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoWorkspace {
    /// Its id.
    pub workspace: WorkspaceId,
    /// Its first token.
    pub token: String,
    /// The ARN of the customer's key that it is bound to.
    pub key: String,
}

/// `local.json` of a state folder.
pub struct LocalFile(PathBuf);

impl LocalFile {
    /// The file of a state folder.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self(state.join("local.json"))
    }

    /// Finds the demo workspace again, or makes it, and writes the file.
    ///
    /// # Errors
    /// The file is broken, or the workspace cannot be made.
    pub async fn prepare(&self, stack: &Stack) -> Result<DemoWorkspace, StartError> {
        let found = match self.read()? {
            Some(found) => {
                self.check(stack, &found).await?;
                found
            }
            None => make(stack).await?,
        };
        self.write(stack, &found)
            .map_err(|error| self.broken(&error))?;
        Ok(found)
    }

    /// The workspace that the file tells of; none if there is no file yet.
    ///
    /// # Errors
    /// The file is broken.
    pub fn read(&self) -> Result<Option<DemoWorkspace>, StartError> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.broken(&error)),
        };
        let value: Value =
            serde_json::from_str(&text).map_err(|_| self.broken(&"it is not JSON"))?;
        let field = |name: &str| {
            value[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| self.broken(&format!("it has no {name}")))
        };
        Ok(Some(DemoWorkspace {
            workspace: WorkspaceId::parse(&field("workspace")?)
                .map_err(|error| self.broken(&error))?,
            token: field("token")?,
            key: field("key")?,
        }))
    }

    /// The table may be another folder's. Whether the token still works is its owner's affair.
    async fn check(&self, stack: &Stack, demo: &DemoWorkspace) -> Result<(), StartError> {
        let token = Token::parse(&demo.token).ok_or_else(|| self.broken(&"its token is none"))?;
        let id = token.id();
        let wanted = Wanted {
            token: &id,
            secret: None,
            version: None,
            idempotency: None,
            state: false,
        };
        let records = stack
            .store
            .read(&demo.workspace, wanted)
            .await
            .map_err(|error| self.broken(&error))?;
        match records.binding {
            Some(_) => Ok(()),
            None => Err(self.broken(&format!(
                "the table broker.sqlite beside it has no workspace {}",
                demo.workspace
            ))),
        }
    }

    /// Written aside and renamed, so that a reader sees the old one or the new one.
    fn write(&self, stack: &Stack, demo: &DemoWorkspace) -> io::Result<()> {
        let principals: serde_json::Map<String, Value> = Role::ALL
            .into_iter()
            .map(|role| {
                let keys = json!({
                    "arn": role.arn(),
                    "accessKeyId": role.access_key_id(),
                    "secretAccessKey": role.secret_access_key(),
                });
                (role.name().to_owned(), keys)
            })
            .collect();
        let value = json!({
            "http": format!("http://{}", stack.http),
            "kms": format!("http://{}", stack.kms_address),
            "dynamodb": format!("http://{}", stack.dynamodb),
            "region": crate::cast::REGION,
            "broker": stack.broker.as_str(),
            "workspace": demo.workspace.as_str(),
            "token": demo.token,
            "key": demo.key,
            "principals": principals,
        });
        let aside = self.0.with_extension("json.new");
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&aside)?;
        file.write_all(format!("{value:#}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &self.0)
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> StartError {
        StartError::Workspace(format!("cannot use {}: {why}", self.0.display()))
    }
}

/// What a customer and an operator do once: open, make a key, grant, bind.
async fn make(stack: &Stack) -> Result<DemoWorkspace, StartError> {
    let failed = |what: &str, why: String| {
        StartError::Workspace(format!("cannot {what} the demo workspace: {why}"))
    };
    let (workspace, token) = open(stack).await?;
    let customer = stack.customer(Role::Customer);
    let key = customer
        .create_key()
        .map_err(|error| failed("make a key for", error.to_string()))?;
    customer
        .grant(&key, &stack.broker, &workspace)
        .map_err(|error| failed("grant a key to", error.to_string()))?;
    let path = format!("/v1/workspaces/{workspace}/key");
    let bound = client::call(stack.http, "PUT", &path, &token, Some(&json!({"key": key})))
        .await
        .map_err(|error| failed("bind", error.to_string()))?;
    if bound.status != http::StatusCode::OK {
        return Err(failed("bind", bound.header("byok-error").to_owned()));
    }
    Ok(DemoWorkspace {
        workspace,
        token,
        key,
    })
}

/// Opens `demo`. If a start was killed before it wrote down the token of the
/// last one, that one is lost, and the next name is taken.
async fn open(stack: &Stack) -> Result<(WorkspaceId, String), StartError> {
    let failed =
        |why: &str| StartError::Workspace(format!("cannot open the demo workspace: {why}"));
    let invoke = stack
        .invocable
        .get("open-workspace")
        .ok_or_else(|| failed("no such function"))?;
    for number in 1..=99 {
        let name = if number == 1 {
            "demo".to_owned()
        } else {
            format!("demo-{number}")
        };
        match invoke(json!({"workspace": name})).await {
            Ok(answer) => {
                let workspace = WorkspaceId::parse(&name).map_err(|error| failed(error.rule))?;
                return Ok((
                    workspace,
                    answer["token"].as_str().unwrap_or_default().to_owned(),
                ));
            }
            Err(problem) if problem.code() == Code::Conflict => {}
            Err(problem) => return Err(failed(problem.code().as_str())),
        }
    }
    Err(failed("its names are used up"))
}
