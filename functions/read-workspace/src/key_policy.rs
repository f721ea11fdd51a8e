//! `GET …/key/policy`: what the customer pastes into the key's policy; and
//! `POST …/key/policy/lint`: what their own would do.
//!
//! Neither asks KMS: that a key works, and for nobody else, only a proof shows.

use crate::{
    ReadWorkspace,
    schema::{LintProblems, PolicyDraft, PolicyReport, ReadProblems, ShownFinding, ShownKeyPolicy},
};
use api::{Call, Fields, Need, Problem, json, openapi::OfWorkspace};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use envelope::{
    KeyArn, KeyPolicy, PolicyFormat, Way, WorkspaceId,
    lint::{self, Draft, Report},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;
use store::Permission;

/// Twice what a key policy can have (AWS KMS Developer Guide, "Quotas").
const DRAFT_MAX: usize = 64 * 1024;

/// Writes what the customer pastes into the key's policy.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace}/key/policy", operation_id = "showKeyPolicy",
    params(
        OfWorkspace,
        ("format" = Option<String>, Query, description = "`json`, if left out: the parts. `cloudformation`, `terraform` and `cli` are whole texts to paste.", pattern = "^(json|cloudformation|terraform|cli)$"),
        ("as" = Option<String>, Query, description = "Whether a text lets the broker in by the key's policy, as it does if left out, or by a grant. `json` always has both: use one.", pattern = "^(policy|grants)$"),
    ),
    responses(
        (status = 200, description = "The statements, the grant, and the statement that cuts; or a text that makes them.", content((ShownKeyPolicy = "application/json"), (String = "text/plain"))),
        ReadProblems,
    )
)]
pub(crate) async fn show(
    State(this): State<Arc<ReadWorkspace>>,
    call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&["format", "as"]);
    let need = Need::new(call.param("workspace"), Permission::Read);
    let admitted = this.api.admit(&call.headers, need).await?;
    let query = query?;
    let format = match query.get("format").map(String::as_str) {
        None | Some("json") => None,
        Some("cloudformation") => Some(PolicyFormat::CloudFormation),
        Some("terraform") => Some(PolicyFormat::Terraform),
        Some("cli") => Some(PolicyFormat::Cli),
        Some(_) => {
            return Err(Problem::invalid(
                "format",
                "json, cloudformation, terraform or cli",
            ));
        }
    };
    let way = match query.get("as").map(String::as_str) {
        None | Some("policy") => Way::Policy,
        Some("grants") => Way::Grants,
        Some(_) => return Err(Problem::invalid("as", "policy or grants")),
    };
    let policy = this.policy(&admitted.caller.workspace);
    Ok(match format {
        Some(format) => text(policy.text(format, way)),
        None => json(
            StatusCode::OK,
            ShownKeyPolicy {
                role: policy.role.to_owned(),
                statements: policy.statements(),
                grant: policy.grant(),
                cut: policy.cut(),
            },
        ),
    })
}

/// Judges a key policy and grants that the customer wrote, without asking KMS.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace}/key/policy/lint", operation_id = "lintKeyPolicy",
    params(OfWorkspace), request_body = PolicyDraft,
    responses((status = 200, description = "What is wrong with it, whatever it is.", body = PolicyReport), LintProblems)
)]
pub(crate) async fn lint(
    State(this): State<Arc<ReadWorkspace>>,
    mut call: Call,
) -> Result<Response, Problem> {
    let query = call.query(&[]);
    let need = Need::new(call.param("workspace"), Permission::Read);
    let admitted = this.api.admit(&call.headers, need).await?;
    query?;
    let draft = parse(&call.body(DRAFT_MAX).await?)?;
    let report = this.policy(&admitted.caller.workspace).lint(&draft);
    Ok(json(StatusCode::OK, shown(report)))
}

impl ReadWorkspace {
    fn policy<'a>(&'a self, workspace: &'a WorkspaceId) -> KeyPolicy<'a> {
        KeyPolicy {
            role: &self.broker_role,
            broker: &self.api.broker,
            workspace,
        }
    }
}

/// A text of no page's, for nobody to cache.
fn text(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)));
    (StatusCode::OK, headers, text).into_response()
}

/// Takes an untrusted body apart. What is within the documents is for the judgement.
fn parse(body: &[u8]) -> Result<Draft, Problem> {
    let mut fields = Fields::parse(body)?;
    let mut value = |name: &'static str| {
        let value = fields.raw(name).map(lint::value).transpose();
        value.map_err(|_| {
            Problem::invalid(
                name,
                "JSON in which no object has a name twice, nested less than 128 deep",
            )
        })
    };
    let (policy, statements, grants) = (value("policy")?, value("statements")?, value("grants")?);
    let key = fields.optional::<String>("key", "text")?;
    fields.finish()?;
    let wrong = |field: &str, rule: &str| Err(Problem::invalid(field, rule));
    match (&policy, &statements) {
        (Some(Value::Object(_) | Value::String(_)), None) | (None, None) => {}
        (None, Some(Value::Object(_) | Value::Array(_))) => {}
        (Some(_), Some(_)) => return wrong("statements", "absent where there is a policy"),
        (Some(_), None) => {
            return wrong("policy", "a key policy, as an object or as its JSON text");
        }
        (None, Some(_)) => return wrong("statements", "a list of statements"),
    }
    let grants = match grants {
        Some(Value::Array(grants)) => grants,
        Some(_) => return wrong("grants", "a list of grants"),
        None if policy.is_none() && statements.is_none() => {
            return wrong("policy", "required, or statements, or grants");
        }
        None => Vec::new(),
    };
    Ok(Draft {
        policy,
        statements,
        grants,
        key: key
            .map(|key| KeyArn::parse(&key))
            .transpose()
            .map_err(|error| Problem::invalid_id("key", error))?,
    })
}

fn shown(report: Report) -> PolicyReport {
    PolicyReport {
        grade: report.grade.as_str(),
        findings: report
            .findings
            .into_iter()
            .map(|finding| ShownFinding {
                severity: finding.severity.as_str(),
                code: finding.code,
                at: finding.at,
                message: finding.message,
                mend: finding.mend,
            })
            .collect(),
        more: report.more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(body: &str) -> String {
        let problem = parse(body.as_bytes()).unwrap_err().document();
        assert_eq!(problem["code"], "invalid_request");
        problem["field"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_draft_that_is_none_is_refused_by_the_name_of_its_field() {
        for (wrong, body) in [
            ("body", "[]"),
            ("body", "{"),
            ("body", r#"{"policy": {}, "policy": {}}"#),
            ("policy", ""),
            ("policy", "{}"),
            ("policy", r#"{"policy": 7}"#),
            ("policy", r#"{"policy": {"Id": "a", "Id": "b"}}"#),
            ("policy", r#"{"policy": []}"#),
            ("statements", r#"{"statements": "x"}"#),
            ("statements", r#"{"policy": {}, "statements": []}"#),
            ("grants", r#"{"grants": {}}"#),
            ("key", r#"{"policy": {}, "key": "alias/mine"}"#),
            ("key", r#"{"policy": {}, "key": 7}"#),
            ("Policy", r#"{"Policy": {}}"#),
        ] {
            assert_eq!(field(body), wrong, "{body}");
        }
        let deep = format!(r#"{{"policy": {}1{}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(field(&deep), "policy");
    }

    #[test]
    fn a_draft_is_taken_as_it_is_written() {
        for body in [
            r#"{"policy": {}}"#,
            r#"{"policy": "{}"}"#,
            r#"{"statements": []}"#,
            r#"{"statements": {}}"#,
            r#"{"grants": []}"#,
            r#"{"policy": {}, "grants": [7], "key": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        ] {
            assert!(parse(body.as_bytes()).is_ok(), "{body}");
        }
    }
}
